#!/usr/bin/env python3
"""The list of slow tests has unit tests and guest cases, and the slowest come first."""

import json
import pathlib
import tempfile
import unittest

import slowest


class SlowestTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = pathlib.Path(folder.name)

    def test_shows_ten_of_both_kinds(self):
        results = self.build / "asan.test.results"
        results.mkdir()
        tests = "".join(f'<testcase name="t{i}" classname="A" time="0.{i:02}"/>' for i in range(20))
        (results / "a.xml").write_text(f"<testsuites><testsuite>{tests}</testsuite></testsuites>")
        (self.build / "integration").mkdir()
        (self.build / "integration/results.jsonl").write_text(
            json.dumps({"case": "boot", "state": "STARTED", "seconds": 99})
            + "\n"
            + json.dumps({"case": "boot", "state": "PASS", "seconds": 0.185})
            + "\n"
        )
        found = slowest.slowest(self.build)
        self.assertEqual(found[:3], [(0.19, "A.t19 (asan)"), (0.185, "boot (guest)"), (0.18, "A.t18 (asan)")])
        self.assertEqual(len(found), 10)

    def test_is_empty_when_nothing_has_run(self):
        self.assertEqual(slowest.slowest(self.build), [])


if __name__ == "__main__":
    unittest.main()
