#!/usr/bin/env python3
"""Checks the Markdown documents: width, links, numbers of decisions, and names of code.

Usage: tests/documents.py [SOURCE_DIR]

- A line has at most 100 characters. Rows of tables, and a word that is longer by itself, may have
  more.
- A relative link leads to a file, and to a heading of it if it has a fragment.
- The decisions in docs/adr have numbers of their own, the same in title and name of the file.
- What docs/tour.md names in backticks exists: files, and each part of a name of code, such as
  `SplitQueue::Pop()`, as a word of a file that the same section names.
"""

import pathlib
import re

import rule

WIDTH_MAX = 100
TOUR = "docs/tour.md"
# Folders that are not written by people of this project, or that do not belong to it.
NOT_OURS = {"build", ".git", ".cache", "corpus"}

FENCE = re.compile(r"^\s*(```|~~~)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
FILE = re.compile(r"[\w./-]+\.(cc|h|c|py|md|json|txt)|[\w.-]+(/[\w.-]+)+/?")
NAME = re.compile(r"~?[A-Za-z_]\w*(::~?[A-Za-z_]\w*)*(\(\))?")


def documents(root):
    """Returns the paths of all documents, relative to `root`."""
    found = []
    for path in sorted(root.rglob("*.md")):
        name = path.relative_to(root)
        if not NOT_OURS.intersection(name.parts):
            found.append(name)
    return found


def without_fences(text):
    """Returns the text with fenced blocks made empty; the numbers of lines stay."""
    lines, fenced = [], False
    for line in text.split("\n"):
        is_fence = bool(FENCE.match(line))
        lines.append("" if fenced or is_fence else line)
        fenced ^= is_fence
    return "\n".join(lines)


def anchors(text):
    """Returns the fragments that links may have: the headings as hosting platforms spell them."""
    headings = HEADING.findall(without_fences(text))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def wide_lines(text):
    """Yields (line number from 1, what is wrong)."""
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > WIDTH_MAX and not line.startswith("|") and " " in line.strip():
            yield number, f"has {len(line)} characters; {WIDTH_MAX} are allowed"


def broken_links(root, name, text):
    """Yields (line number from 1, what is wrong) for relative links of the document `name`."""
    for number, line in enumerate(without_fences(text).split("\n"), 1):
        for target in LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, fragment = target.partition("#")
            path = root / name.parent / file if file else root / name
            if not path.exists():
                yield number, f"the link {target} leads nowhere"
            elif fragment and fragment not in anchors(path.read_text()):
                yield number, f"the link {target} leads to no heading"


def decision_problems(root):
    """Yields what is wrong with the numbers of the decisions."""
    owners = {}
    for path in sorted((root / "docs/adr").glob("*.md")):
        number = path.name.split("-", 1)[0]
        if number in owners:
            yield f"docs/adr/{path.name}: {owners[number]} has this number, too"
        owners[number] = path.name
        if not path.read_text().startswith(f"# {int(number)}. "):
            yield f'docs/adr/{path.name}: the title does not begin with "{int(number)}. "'


def missing_names(root, text):
    """Yields (line number from 1, what is wrong) for code that the text names and that is missing."""
    section = []
    for number, line in enumerate(without_fences(text).split("\n"), 1):
        if HEADING.match(line):
            yield from missing_in_section(root, section)
            section = []
        section += [(number, code) for code in CODE.findall(line)]
    yield from missing_in_section(root, section)


def missing_in_section(root, section):
    """Does the same for the pairs (line number, text in backticks) of one section."""
    words = set()
    for number, code in section:
        if FILE.fullmatch(code):
            path = root / code
            if path.is_file():
                words |= set(re.findall(r"\w+", path.read_text()))
            elif not path.is_dir():
                yield number, f"there is no file {code}"
    for number, code in section:
        if NAME.fullmatch(code) and not FILE.fullmatch(code):
            for part in re.findall(r"\w+", code):
                if part not in words:
                    yield number, f"{code}: {part} is in no file that the section names"


def check(root):
    """Returns (problems, number of documents)."""
    names = documents(root)

    def problems_of(name, text):
        yield from wide_lines(text)
        yield from broken_links(root, name, text)
        if str(name) == TOUR:
            yield from missing_names(root, text)

    problems, count = rule.check_each(root, names, problems_of)
    problems += decision_problems(root)
    if pathlib.Path(TOUR) not in names:
        problems.append(f"{TOUR} is missing")
    return problems, count


if __name__ == "__main__":
    rule.main("documents", check)
