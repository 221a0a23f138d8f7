#!/usr/bin/env python3
"""Tests of the check of documents: it must find each kind of problem."""

import pathlib
import tempfile
import unittest

import documents


class DocumentsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("docs/tour.md", "# Tour\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def problems(self, name, text):
        """Returns the number of problems with a document that has this name and text."""
        self.write(name, text)
        return len(documents.check(self.root)[0])

    def test_lines_have_at_most_100_characters(self):
        self.assertEqual(self.problems("a.md", "ä " * 50 + "\n"), 0)
        self.assertEqual(self.problems("a.md", "ä " * 50 + "ä\n"), 1)
        self.assertEqual(self.problems("a.md", "```\n" + "a " * 51 + "\n```\n"), 1)

    def test_rows_of_tables_and_single_words_may_be_longer(self):
        self.assertEqual(self.problems("a.md", "| " + "a " * 60 + "|\n"), 0)
        self.assertEqual(self.problems("a.md", "a" * 101 + "\n"), 0)

    def test_links_lead_to_files(self):
        self.assertEqual(self.problems("docs/a.md", "[x](tour.md) [y](../docs) [z](https://x.y)"), 0)
        self.assertEqual(self.problems("docs/a.md", "[x](docs/tour.md)"), 1)
        self.assertEqual(self.problems("docs/a.md", "```\n[x](nowhere.md)\n```"), 0)

    def test_links_lead_to_headings(self):
        text = "## What `is` it, then?\n[x](#what-is-it-then) [y](tour.md#tour)"
        self.assertEqual(self.problems("docs/a.md", text), 0)
        self.assertEqual(self.problems("docs/a.md", "[x](#nothing) [y](tour.md#nothing)"), 2)

    def test_each_decision_has_its_own_number(self):
        self.write("docs/adr/0001-a.md", "# 1. A\n")
        self.assertEqual(self.problems("docs/adr/0002-b.md", "# 2. B\n"), 0)
        self.assertEqual(self.problems("docs/adr/0002-c.md", "# 2. C\n"), 1)
        self.assertEqual(self.problems("docs/adr/0002-c.md", "# 3. C\n"), 2)

    def test_the_tour_names_files_and_functions_that_exist(self):
        self.write("base/loop.cc", "void Loop::Run() { KVM_RUN; }\n")
        self.write("base/other.cc", "void Other() {}\n")
        for text, expected in (
            ("`base/loop.cc`: `Loop::Run()` with `KVM_RUN` as `vmm --x` says", 0),
            ("`Loop::Run` in `base/loop.cc`", 0),
            ("`base/loop.cc`: `Loop::Stop()`", 1),
            ("`base/loop.cc`: `Other()`", 1),
            ("`base/loops.cc`", 1),
            ("`base/loop.cc`\n## Next\n`Loop`", 1),
        ):
            self.assertEqual(self.problems("docs/tour.md", text), expected, text)

    def test_a_missing_tour_is_a_problem(self):
        (self.root / "docs/tour.md").unlink()
        self.assertEqual(self.problems("a.md", ""), 1)


if __name__ == "__main__":
    unittest.main()
