#!/usr/bin/env python3
"""Tests of the check of std includes: it must find each kind of problem."""

import unittest

import rule
import std_includes


class StdIncludesTest(unittest.TestCase):
    def problems(self, files):
        """Returns what the check says about a tree of {path: text}."""
        return rule.problems_in_tree(std_includes.check, files)

    def test_accepts_headers_that_are_used(self):
        text = "#include <optional>\n#include <vector>\nstd::vector<int> a = {std::nullopt};\n"
        self.assertEqual(self.problems({"base/a.cc": text}), [])

    def test_finds_a_name_without_its_header(self):
        found = self.problems({"base/a.cc": "#include <string>\nstd::string a = std::move(b);\n"})
        self.assertEqual(found, ["base/a.cc:1: std::move is used without <utility>"])

    def test_finds_an_unused_header(self):
        found = self.problems({"base/a.cc": "#include <errno.h>\n#include <vector>\nint a;\n"})
        self.assertEqual(
            found,
            [
                "base/a.cc:1: <errno.h> is included and nothing of it is used",
                "base/a.cc:2: <vector> is included and nothing of it is used",
            ],
        )

    def test_a_comment_or_a_string_uses_nothing(self):
        text = '#include <vector>  // std::vector\nauto a = "std::vector"; /* std::vector */\n'
        self.assertEqual(len(self.problems({"base/a.cc": text})), 1)
        self.assertEqual(self.problems({"base/a.cc": 'auto a = R"(\n"std::set" // )";\n'}), [])

    def test_a_source_and_its_test_may_rely_on_their_header(self):
        header = "#include <vector>\nstd::vector<int> F();\n"
        use = "std::vector<int> a = F();\n"
        self.assertEqual(
            self.problems({"base/a.h": header, "base/a.cc": use, "base/a_test.cc": use}), []
        )
        self.assertEqual(len(self.problems({"base/a.h": header, "base/b.cc": use})), 1)

    def test_one_of_several_headers_is_enough(self):
        self.assertEqual(
            self.problems({"base/a.cc": "#include <map>\nstd::map<int> a; std::erase_if(a);\n"}), []
        )
        found = self.problems({"base/a.cc": "auto a = std::get<0>(b);\n"})
        self.assertIn("<array> or <tuple> or <utility> or <variant>", found[0])

    def test_names_without_std_use_the_headers_of_c(self):
        text = "#include <cstdint>\n#include <string.h>\nuint8_t a = strlen(b);\n"
        self.assertEqual(self.problems({"base/a.cc": text}), [])

    def test_finds_a_name_that_its_table_does_not_have(self):
        found = self.problems({"base/a.cc": "std::flux_capacitor a;\n"})
        self.assertEqual(len(found), 1)
        self.assertIn("std::flux_capacitor is not in the table", found[0])


if __name__ == "__main__":
    unittest.main()
