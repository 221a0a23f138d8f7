#!/usr/bin/env python3
"""The layering check finds what it is there to find."""

import os
import tempfile
import unittest

import layering


class LayeringTest(unittest.TestCase):
    def problems(self, **files):
        """Returns what the check says about a tree of {path: includes}.

        In a path "__" stands for a slash and "_dot_" for a dot.
        """
        with tempfile.TemporaryDirectory() as root:
            for name, lines in files.items():
                path = os.path.join(root, name.replace("__", "/").replace("_dot_", "."))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write("".join(f"#include {line}\n" for line in lines.split()))
            return layering.check(root)[0]

    def test_accepts_the_table(self):
        self.assertEqual(
            self.problems(
                base__a_dot_h="<vector>", virtio__b_dot_cc='"base/a.h" "absl/status/status.h"'
            ),
            [],
        )

    def test_refuses_an_arrow_up(self):
        self.assertIn(
            "may not include vmm/", self.problems(vmm__a_dot_h="", base__b_dot_cc='"vmm/a.h"')[0]
        )

    def test_refuses_devices_that_know_kvm(self):
        self.assertIn("linux/kvm.h", self.problems(devices__b_dot_cc="<linux/kvm.h>")[0])

    def test_refuses_liburing_outside_base(self):
        self.assertIn("liburing.h", self.problems(virtio__b_dot_cc="<liburing.h>")[0])

    def test_refuses_unix_sockets_outside_base_but_in_tests(self):
        self.assertIn("sys/un.h", self.problems(devices__b_dot_cc="<sys/un.h>")[0])
        self.assertEqual(
            self.problems(devices__b_test_dot_cc="<sys/un.h>", base__b_dot_cc="<sys/un.h>"), []
        )

    def test_refuses_fakes_outside_tests(self):
        self.assertEqual(
            len(self.problems(tests__fakes__f_dot_h="", base__b_dot_cc='"tests/fakes/f.h"')), 1
        )
        self.assertEqual(
            self.problems(tests__fakes__f_dot_h="", base__b_test_dot_cc='"tests/fakes/f.h"'), []
        )

    def test_refuses_relative_includes(self):
        self.assertIn("repository root", self.problems(base__a_dot_h="", base__b_dot_cc='"a.h"')[0])

    def test_refuses_cycles(self):
        found = self.problems(
            virtio__x__a_dot_h='"virtio/y/b.h"', virtio__y__b_dot_h='"virtio/x/a.h"'
        )
        self.assertEqual(len(found), 2)
        found = self.problems(
            virtio__x__a_dot_h='"virtio/y/b.h"',
            virtio__y__b_dot_h="",
            virtio__x__c_dot_h="",
            virtio__y__d_dot_h='"virtio/x/c.h"',
        )
        self.assertEqual(found, ["include cycle of folders: virtio/x -> virtio/y -> virtio/x"])


if __name__ == "__main__":
    unittest.main()
