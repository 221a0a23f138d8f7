#!/usr/bin/env python3
"""Tests of the check of exit statuses: it must find each kind of difference."""

import unittest

import exit_statuses

EXPECTED = {0: "the guest powered off", 3: "the end was forced: --stop-timeout, vmm.shutdown"}

HEADER = """enum class ExitStatus : int {
  kPowerOff = 0,
  kForced = 3,  // why
};
kExitStatusMeanings[] = {
    {ExitStatus::kPowerOff, "the guest powered off"},
    {ExitStatus::kForced,
     "the end was forced: --stop-timeout, vmm.shutdown"},
};
"""
README = """| key | |
| 7 | other |

| status | |
|---|---|
| 0 | the guest powered off |
| 3 | the end was forced: `--stop-timeout`, `vmm.shutdown`. A line says more. |

| 9 | other |
"""
HELP = """
  9  other

Exit status (more):
  0  the guest powered off
  3  the end was forced: --stop-timeout, vmm.shutdown
"""
MAN = """.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
The guest powered off.
.It 3
The end was forced:
.Fl -stop-timeout ,
.Cm vmm.shutdown .
A line says more.
.El
.Sh EXAMPLES
"""


class ExitStatusesTest(unittest.TestCase):
    def problems(self, statuses):
        return len(exit_statuses.problems_of(EXPECTED, "x", statuses))

    def test_reads_the_header(self):
        self.assertEqual(exit_statuses.of_header(HEADER), EXPECTED)

    def test_refuses_an_enum_with_more_than_the_table(self):
        with self.assertRaises(ValueError):
            exit_statuses.of_header(HEADER.replace("kForced = 3,", "kForced = 3,\n  kBug = 70,"))

    def test_accepts_texts_that_say_the_same(self):
        self.assertEqual(self.problems(exit_statuses.of_readme(README)), 0)
        self.assertEqual(self.problems(exit_statuses.of_help(HELP)), 0)
        self.assertEqual(self.problems(exit_statuses.of_man_page(MAN)), 0)

    def test_refuses_a_missing_status_and_one_too_many(self):
        line = "| 0 | the guest powered off |\n"
        self.assertEqual(self.problems(exit_statuses.of_readme(README.replace(line, ""))), 1)
        more = exit_statuses.of_help(HELP + "  4  another\n")
        self.assertEqual(self.problems(more), 1)

    def test_refuses_another_meaning(self):
        for parse, text in (
            (exit_statuses.of_readme, README),
            (exit_statuses.of_help, HELP),
            (exit_statuses.of_man_page, MAN),
        ):
            self.assertEqual(self.problems(parse(text.replace("powered off", "stopped"))), 1)
            self.assertEqual(self.problems(parse(text.replace("powered off", "powered off now"))), 1)


if __name__ == "__main__":
    unittest.main()
