#!/usr/bin/env python3
"""Checks that README.md, `--help` and docs/vmm.8 explain the exit statuses of vmm/exit_status.h.

Usage: tests/exit_statuses.py [SOURCE_DIR]

Every text has the statuses of the enum, in its order, each with the meaning of the header's table.
More may follow the meaning as a sentence of its own. The text of `--help` is the golden file that
command_line_test compares with what the program prints.
"""

import re

import rule

HEADER = "vmm/exit_status.h"


def normal(text):
    """Returns the text without mark-up, line breaks and the capital letter at its start."""
    text = " ".join(text.replace("`", "").split())
    return text[:1].lower() + text[1:]


def of_header(text):
    """Returns {status: meaning} of the C++ header; raises ValueError if enum and table differ."""
    enum = re.search(r"enum class ExitStatus[^{]*\{(.*?)\};", text, re.S).group(1)
    values = {name: int(value) for name, value in re.findall(r"(k\w+) = (\d+),", enum)}
    table = re.findall(r'\{ExitStatus::(k\w+),\s*"([^"]*)"\}', text)
    if list(values) != [name for name, _ in table]:
        raise ValueError(f"{HEADER}: the table has other statuses than the enum, or in another order")
    return {values[name]: meaning for name, meaning in table}


def of_readme(text):
    section = text[text.index("| status |") :].split("\n\n", 1)[0]
    return {int(s): normal(t) for s, t in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.M)}


def of_help(text):
    section = text[text.index("\nExit status") :]
    return {int(s): normal(t) for s, t in re.findall(r"^  (\d+) +(.*)$", section, re.M)}


def of_man_page(text):
    section = text[text.index(".Sh EXIT STATUS") : text.index(".Sh EXAMPLES")]
    statuses = {}
    for status, body in re.findall(r"^\.It (\d+)\n(.*?)(?=^\.It|^\.El)", section, re.M | re.S):
        body = body.replace(".Nm\n", "vmm\n").replace(" Ns = Ns Cm ", "=")
        body = re.sub(r"^\.Fl -", "--", body, flags=re.M)
        body = re.sub(r"^\.[A-Z][a-z] ", "", body, flags=re.M)
        statuses[int(status)] = re.sub(r" ([.,])", r"\1", normal(body))
    return statuses


def problems_of(expected, name, statuses):
    """Returns how `statuses`, found in the text `name`, differ from those expected."""
    if list(statuses) != list(expected):
        return [f"{name}: has the statuses {list(statuses)} instead of {list(expected)}"]
    return [
        f"{name}: {status} should mean: {meaning}"
        for status, meaning in expected.items()
        if not re.match(re.escape(normal(meaning)) + r"(\.|$)", statuses[status])
    ]


def check(root):
    """Returns (problems, number of statuses)."""
    expected = of_header((root / HEADER).read_text())
    problems = []
    for name, parse in (
        ("README.md", of_readme),
        ("tests/golden/help.txt", of_help),
        ("docs/vmm.8", of_man_page),
    ):
        problems += problems_of(expected, name, parse((root / name).read_text()))
    return problems, len(expected)


if __name__ == "__main__":
    rule.main("exit statuses", check, "statuses")
