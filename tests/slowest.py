#!/usr/bin/env python3
"""Prints the ten slowest of all unit tests and guest cases that have run, with their seconds.

Usage: tests/slowest.py BUILD_FOLDER

Reads what GoogleTest programs wrote to BUILD_FOLDER/PRESET.test.results, and what the guest cases
came to in BUILD_FOLDER/integration/results.jsonl.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree

COUNT = 10


def unit_tests(build):
    """Yields (seconds, name) of each unit test, with the preset it ran in."""
    for path in sorted(build.glob("*.test.results/*.xml")):
        preset = path.parent.name.removesuffix(".test.results")
        for test in xml.etree.ElementTree.parse(path).iter("testcase"):
            yield float(test.get("time", 0)), f"{test.get('classname')}.{test.get('name')} ({preset})"


def guest_cases(build):
    """Yields (seconds, name) of each guest case that has ended."""
    path = build / "integration/results.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        case = json.loads(line)
        if case["state"] != "STARTED":
            yield case["seconds"], f"{case['case']} (guest)"


def slowest(build):
    return sorted([*unit_tests(build), *guest_cases(build)], reverse=True)[:COUNT]


if __name__ == "__main__":
    for seconds, name in slowest(pathlib.Path(sys.argv[1])):
        print(f"{seconds:7.1f} s  {name}")
