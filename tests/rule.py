"""The frame that the rule checks share: finding sources, and reporting what is wrong.

A check is a function check(root) that returns (problems, number of things it looked at).
"""

import pathlib
import sys
import tempfile


def sources(root, folders, suffixes=(".h", ".cc")):
    """Yields the paths, relative to `root`, of all sources in `folders`."""
    for folder in folders:
        for path in sorted(pathlib.Path(root, folder).rglob("*")):
            if path.suffix in suffixes:
                yield path.relative_to(root).as_posix()


def check_each(root, names, problems_of):
    """Checks each file; problems_of(name, text) yields (line number from 1, what is wrong)."""
    problems, count = [], 0
    for count, name in enumerate(names, 1):
        text = pathlib.Path(root, name).read_text(encoding="utf-8")
        problems += [f"{name}:{number}: {what}" for number, what in problems_of(name, text)]
    return problems, count


def main(title, check, things="files"):
    """Checks the folder that the command line names, or this repository, and ends the program.

    Prints the problems and a line that counts them. The exit status is 1 if there are problems, or
    if the check has looked at nothing.
    """
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1]
    problems, count = check(pathlib.Path(root).resolve())
    for text in problems:
        print(text)
    print(f"{title}: {count} {things}, {len(problems)} problem(s)")
    sys.exit(1 if problems or not count else 0)


def problems_in_tree(check, files):
    """Returns what `check` says about a tree of {path: text}. For tests of checks."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return check(pathlib.Path(root))[0]
