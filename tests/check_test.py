#!/usr/bin/env python3
"""Every step that tools/check runs or lists in its help must exist."""

import pathlib
import re
import unittest

CHECK = pathlib.Path(__file__).resolve().parent.parent / "tools/check"


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.text = CHECK.read_text()
        self.steps = set(re.findall(r"^step_([\w-]+)\(\)", self.text, re.M))

    def test_all_runs_steps_that_exist(self):
        run = re.findall(r"\brun_step ([a-z][\w-]*)", self.text)
        self.assertIn("integration", run)
        self.assertEqual([name for name in run if name not in self.steps], [])

    def test_help_lists_only_steps_that_exist(self):
        told = re.findall(r"^#   ([\w-]+) ", self.text, re.M)
        self.assertEqual(sorted(set(told) - {"all"}), sorted(self.steps))


if __name__ == "__main__":
    unittest.main()
