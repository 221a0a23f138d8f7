#!/usr/bin/env python3
"""Checks the messages of the commits since this check was added (CONTRIBUTING.md, Commits).

Usage: tests/commit_messages.py [REPOSITORY]

A subject is "area: verb ...", at most 72 characters. A blank line and a body that says why follow.
Merges are not checked.

The commits to check are those after the one that added this file, and that one. A clone without
the older history has no such commit; there, every commit that the clone has is checked. With no
history at all (an archive, or this file not committed) the check fails: it has nothing to look at.
"""

import re
import subprocess

import rule

THIS_FILE = "tests/commit_messages.py"
SUBJECT_MAX = 72
SUBJECT = re.compile(r"[a-z0-9][\w./-]*(, [a-z0-9][\w./-]*)*: [a-z][\w-]* \S")
TRAILER = re.compile(r"[A-Z][A-Za-z-]+: ")
BODY_WORDS_MIN = 5


def problems_of(message):
    """Returns what is wrong with a commit message, as a list of texts."""
    subject, *rest = message.rstrip("\n").split("\n")
    problems = []
    if len(subject) > SUBJECT_MAX:
        problems.append(f"the subject has {len(subject)} characters; {SUBJECT_MAX} are allowed")
    if not SUBJECT.match(subject):
        problems.append('the subject is not of the form "area: verb ..."')
    if subject.endswith("."):
        problems.append("the subject ends with a full stop")
    if rest and rest[0]:
        problems.append("the line after the subject is not blank")
    body = [line for line in rest if not TRAILER.match(line)]
    if len(" ".join(body).split()) < BODY_WORDS_MIN:
        problems.append("the body does not say why")
    return problems


def git(repository, *arguments):
    """Returns the output of a git command; raises CalledProcessError if the command fails."""
    return subprocess.run(
        ["git", "-C", str(repository), *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def commits(repository):
    """Returns (short name, message) of each commit to check, the newest first."""
    # In a shallow clone git takes the oldest commit for one that adds all files.
    added = git(repository, "log", "--diff-filter=A", "--format=%H", "--", THIS_FILE).split()
    if not added:
        return []
    text = git(
        repository, "log", "--no-merges", "--format=%h%n%B%x00", "HEAD", "--not", added[-1] + "^@"
    )
    return [tuple(entry.strip("\n").split("\n", 1)) for entry in text.split("\0") if entry.strip()]


def check(repository):
    """Returns (problems, number of commits)."""
    try:
        found = commits(repository)
    except (OSError, subprocess.CalledProcessError):
        return ["git cannot read the history of this folder"], 0
    problems = [
        f"{name}: {text}: {message.splitlines()[0]}"
        for name, message in found
        for text in problems_of(message)
    ]
    return problems, len(found)


if __name__ == "__main__":
    rule.main("commit messages", check, "commits")
