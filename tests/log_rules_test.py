#!/usr/bin/env python3
"""Tests of the check of log lines: it must find each line that breaks a rule."""

import unittest

import log_rules


class LogRulesTest(unittest.TestCase):
    def problems(self, source, *lines):
        """Returns the numbers of the lines of `source` that are refused."""
        return [number for number, _ in log_rules.problems_of(source, "\n".join(lines))]

    def test_refuses_a_line_without_a_limit(self):
        self.assertEqual(self.problems("vmm/a.cc", "void F() {", '  LOG(Info) << "x";'), [2])
        self.assertEqual(self.problems("virtio/a.h", 'if (x) LOG(Debug) << "x";'), [1])

    def test_a_comment_must_say_why_and_stand_before_the_line(self):
        line = 'LOG(Info) << "x";'
        self.assertEqual(self.problems("vmm/a.cc", "// UNLIMITED: once.", line), [])
        self.assertEqual(self.problems("vmm/a.cc", "// UNLIMITED: a", "// reason.", line), [])
        self.assertEqual(self.problems("vmm/a.cc", line + "  // UNLIMITED: once."), [])
        self.assertEqual(self.problems("vmm/a.cc", "// UNLIMITED: ", line), [2])
        self.assertEqual(self.problems("vmm/a.cc", "// It is said once.", line), [2])
        self.assertEqual(self.problems("vmm/a.cc", "// UNLIMITED: once.", "F();", line), [3])
        self.assertEqual(self.problems("vmm/a.cc", "// UNLIMITED: once.", line, line), [3])

    def test_devices_have_separate_limits(self):
        line = 'LOG_EVERY_N_SEC(Info, 10) << "x";'
        self.assertEqual(self.problems("virtio/a.cc", line), [1])
        self.assertEqual(self.problems("devices/a.cc", line), [1])
        self.assertEqual(self.problems("vmm/a.cc", line), [])
        self.assertEqual(self.problems("virtio/a.cc", 'LOG_LIMITED(Info, 10, id_) << "x";'), [])

    def test_refuses_limits_made_by_hand(self):
        self.assertEqual(self.problems("virtio/a.h", "  base::RateLimit limit_;"), [1])
        self.assertEqual(self.problems("virtio/a.cc", "base::LogLine(level) << text;"), [1])
        self.assertEqual(self.problems("virtio/a.cc", "base::WriteLog(level, text);"), [1])
        self.assertEqual(
            self.problems("vmm/a.cc", "// UNLIMITED: once.", "base::WriteLog(level, text);"), []
        )

    def test_comments_do_not_count_as_log_lines(self):
        self.assertEqual(self.problems("vmm/a.cc", "// LOG(Info) << is what this does not do"), [])


if __name__ == "__main__":
    unittest.main()
