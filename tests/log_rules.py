#!/usr/bin/env python3
"""Checks that no guest can flood the log: the rules of base/log.h and base/limited_log.h.

Usage: tests/log_rules.py [SOURCE_DIR]

A plain LOG(...) has a comment before it, or on its line, that begins with "UNLIMITED: " and says why
no guest can cause the line again and again. Everything else is limited over the life of the process:
by LOG_LIMITED, for each device, in the folders of devices; elsewhere LOG_EVERY_N_SEC will do.
"""

import re

import rule

FOLDERS = ("base", "boot", "devices", "net", "virtio", "vmm")
OF_DEVICES = ("devices", "net", "virtio")
# The files that define the macros.
DEFINITIONS = ("base/log.h", "base/log.cc", "base/limited_log.h")
NOT_SHIPPED = re.compile(r"_test\.cc$|/testing/|(^|/)fake_")

PLAIN = re.compile(r"\bLOG\(\w+\)|\bWriteLog\(")
PER_PLACE = re.compile(r"\bLOG_EVERY_N_SEC\(")
BY_HAND = re.compile(r"\bRateLimits?\s+\w|\bLogLine\(")
REASON = re.compile(r"//.*\bUNLIMITED: \S+")
COMMENT = re.compile(r"^\s*//")


def sources(root):
    for source in rule.sources(root, FOLDERS):
        if not NOT_SHIPPED.search(source) and source not in DEFINITIONS:
            yield source


def has_reason(lines, number):
    """Returns whether the line, or the comment that ends before it, gives a reason."""
    if REASON.search(lines[number]):
        return True
    while number > 0 and COMMENT.match(lines[number - 1]):
        number -= 1
        if REASON.search(lines[number]):
            return True
    return False


def problems_of(source, text):
    """Yields (line number from 1, what is wrong)."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if COMMENT.match(line):
            continue
        if PLAIN.search(line) and not has_reason(lines, number):
            yield number + 1, (
                "LOG without a limit: use LOG_LIMITED or LOG_EVERY_N_SEC, or say in a comment "
                '"UNLIMITED: " why no guest can cause it again and again'
            )
        if PER_PLACE.search(line) and source.split("/")[0] in OF_DEVICES:
            yield number + 1, "LOG_EVERY_N_SEC hides other devices: use LOG_LIMITED with the device's id"
        if BY_HAND.search(line):
            yield number + 1, "a limit or a line made by hand: use LOG_LIMITED"


def check(root):
    """Returns (problems, number of files)."""
    return rule.check_each(root, sources(root), problems_of)


if __name__ == "__main__":
    rule.main("log rules", check)
