#!/usr/bin/env python3
"""Tests of the frame of the rule checks: a check that finds a problem, or nothing at all, fails."""

import contextlib
import io
import unittest

import rule


class RuleTest(unittest.TestCase):
    def status(self, problems, count):
        """Returns the exit status of a check with this result, and what it prints."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), self.assertRaises(SystemExit) as end:
            rule.main("title", lambda root: (problems, count))
        return end.exception.code, output.getvalue()

    def test_fails_if_there_are_problems_or_no_files(self):
        self.assertEqual(self.status([], 3), (0, "title: 3 files, 0 problem(s)\n"))
        self.assertEqual(self.status(["a"], 3), (1, "a\ntitle: 3 files, 1 problem(s)\n"))
        self.assertEqual(self.status([], 0), (1, "title: 0 files, 0 problem(s)\n"))

    def test_checks_each_source_of_the_folders(self):
        def check(root):
            return rule.check_each(root, rule.sources(root, ["a", "b"]), lambda *file: [(7, file)])

        files = {"a/y.h": "1", "a/x/z.cc": "2", "a/x/z.md": "3", "b/v.cc": "4", "c/u.cc": "5"}
        self.assertEqual(
            rule.problems_in_tree(check, files),
            [
                "a/x/z.cc:7: ('a/x/z.cc', '2')",
                "a/y.h:7: ('a/y.h', '1')",
                "b/v.cc:7: ('b/v.cc', '4')",
            ],
        )


if __name__ == "__main__":
    unittest.main()
