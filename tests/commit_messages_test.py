#!/usr/bin/env python3
"""Tests of the check of commit messages, in full and in shallow clones."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import commit_messages

GOOD = "base: add a loop\n\nWaiting for one descriptor at a time was too slow.\n"


class MessageTest(unittest.TestCase):
    def refused(self, message):
        return bool(commit_messages.problems_of(message))

    def test_accepts_area_verb_and_a_reason(self):
        self.assertFalse(self.refused(GOOD))
        for area in ("fs, p9", "virtio/block", "host_tree", "p9"):
            self.assertFalse(self.refused(GOOD.replace("base", area, 1)), area)

    def test_refuses_a_subject_without_area_or_verb(self):
        for subject in ("Add a loop", "base:add a loop", "base: Add a loop", "base: add", "base:", ""):
            self.assertTrue(self.refused(GOOD.replace("base: add a loop", subject, 1)), subject)

    def test_refuses_a_subject_of_more_than_72_characters(self):
        longest = "base: add " + "x" * 62
        self.assertFalse(self.refused(GOOD.replace("base: add a loop", longest, 1)))
        self.assertTrue(self.refused(GOOD.replace("base: add a loop", longest + "x", 1)))

    def test_refuses_a_full_stop_after_the_subject(self):
        self.assertTrue(self.refused(GOOD.replace("a loop", "a loop.", 1)))

    def test_refuses_a_message_without_a_body(self):
        self.assertTrue(self.refused("base: add a loop\n"))
        self.assertTrue(self.refused("base: add a loop\n\nIt is so.\n"))
        self.assertTrue(
            self.refused("base: add a loop\n\nSigned-off-by: One Two Three Four Five <a@b>\n")
        )

    def test_refuses_a_body_right_after_the_subject(self):
        self.assertTrue(self.refused(GOOD.replace("\n\n", "\n", 1)))


class HistoryTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.repository = self.top / "repository"
        # The user's configuration and a repository around this one must not affect the test.
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            self.addCleanup(os.environ.__setitem__, name, os.environ.pop(name))
        self.git(self.top, "init", "-q", str(self.repository))
        self.commit("Old ways", file="old")

    def git(self, folder, *arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, "-C", str(folder), *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def commit(self, message, file=None):
        if file:
            path = self.repository / file
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
            self.git(self.repository, "add", file)
        self.git(self.repository, "commit", "-q", "--allow-empty", "-m", message)

    def clone(self, *options):
        clone = self.top / "clone"
        self.git(self.top, "clone", "-q", *options, f"file://{self.repository}", str(clone))
        return clone

    def test_fails_if_no_commit_has_the_check(self):
        self.assertEqual(commit_messages.check(self.repository), ([], 0))

    def test_does_not_look_at_commits_from_before_the_check(self):
        self.commit(GOOD, file=commit_messages.THIS_FILE)
        self.commit(GOOD)
        self.assertEqual(commit_messages.check(self.repository), ([], 2))

    def test_finds_a_bad_commit_after_the_check(self):
        self.commit(GOOD, file=commit_messages.THIS_FILE)
        self.commit("Bad")
        self.commit(GOOD)
        problems, count = commit_messages.check(self.repository)
        self.assertEqual(count, 3)
        self.assertTrue(problems and all(text.endswith(": Bad") for text in problems), problems)

    def test_shallow_clones_check_the_commits_that_they_have(self):
        self.commit(GOOD, file=commit_messages.THIS_FILE)
        self.commit("Bad")
        self.commit(GOOD)
        self.assertEqual(commit_messages.check(self.clone("--depth", "1")), ([], 1))

    def test_the_last_commit_of_a_shallow_clone_can_fail(self):
        self.commit(GOOD, file=commit_messages.THIS_FILE)
        self.commit("Bad")
        problems, count = commit_messages.check(self.clone("--depth", "1"))
        self.assertEqual(count, 1)
        self.assertTrue(problems)

    def test_does_not_check_merges(self):
        self.commit(GOOD, file=commit_messages.THIS_FILE)
        self.git(self.repository, "checkout", "-q", "-b", "side", "HEAD~1")
        self.commit(GOOD)
        self.git(self.repository, "checkout", "-q", "-")
        self.git(self.repository, "merge", "-q", "side", "-m", "Merge side")
        self.assertEqual(commit_messages.check(self.repository), ([], 2))


if __name__ == "__main__":
    unittest.main()
