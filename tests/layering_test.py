#!/usr/bin/env python3
"""Tests of the layering check: it must find each kind of problem."""

import os
import tempfile
import unittest

import layering


class LayeringTest(unittest.TestCase):
    def problems(self, **files):
        """Returns the problems that the check finds in a tree of {path: includes}.

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

    def test_refuses_fixtures_outside_tests(self):
        self.assertEqual(
            len(self.problems(base__testing__f_dot_h="", base__b_dot_cc='"base/testing/f.h"')), 1
        )
        self.assertEqual(
            self.problems(base__testing__f_dot_h="", base__b_test_dot_cc='"base/testing/f.h"'), []
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

    def test_refuses_a_queue_that_knows_the_transport(self):
        self.assertEqual(
            self.problems(
                virtio__transport__a_dot_h="", virtio__queue__b_dot_cc='"virtio/transport/a.h"'
            ),
            ["virtio/queue/b.cc:1: virtio/queue/ may not include virtio/transport/ (only virtio)"],
        )
        self.assertEqual(
            self.problems(
                virtio__queue__a_dot_h="", virtio__transport__b_dot_cc='"virtio/queue/a.h"'
            ),
            [],
        )

    def test_refuses_a_transport_that_knows_a_device(self):
        found = self.problems(
            virtio__net__a_dot_h="", virtio__transport__b_dot_cc='"virtio/net/a.h"'
        )
        self.assertIn("may not include virtio/net/", found[0])

    def test_refuses_devices_that_know_the_transport_or_each_other(self):
        for folder in ("transport", "block", "host_tree"):
            with self.subTest(folder):
                name = f"virtio__{folder}__a_dot_h"
                include = f'"virtio/{folder}/a.h"'
                found = self.problems(**{name: "", "virtio__net__b_dot_cc": include})
                self.assertIn("(only virtio, virtio/queue)", found[0])
                found = self.problems(**{name: "", "virtio__net__b_test_dot_cc": include})
                self.assertEqual(found, [])

    def test_host_tree_is_below_both_servers_of_shares(self):
        for server in ("fs", "p9"):
            name = f"virtio__{server}__"
            include = '"virtio/host_tree/a.h"'
            self.assertEqual(
                self.problems(**{"virtio__host_tree__a_dot_h": "", name + "b_dot_cc": include}), []
            )
            found = self.problems(
                **{name + "a_dot_h": "", "virtio__host_tree__b_dot_cc": f'"virtio/{server}/a.h"'}
            )
            self.assertIn("(only nothing)", found[0])

    def test_refuses_an_architecture_outside_of_its_folders_but_in_tests(self):
        self.assertIn(
            "neutral header",
            self.problems(vmm__x86_64__a_dot_h="", vmm__b_dot_h='"vmm/x86_64/a.h"')[0],
        )
        self.assertEqual(
            self.problems(
                boot__x86_64__a_dot_h="",
                vmm__x86_64__b_dot_cc='"boot/x86_64/a.h"',
                vmm__b_test_dot_cc='"boot/x86_64/a.h"',
            ),
            [],
        )

    def test_refuses_cycles(self):
        found = self.problems(vmm__x__a_dot_h='"vmm/y/b.h"', vmm__y__b_dot_h='"vmm/x/a.h"')
        self.assertEqual(len(found), 2)
        found = self.problems(
            vmm__x__a_dot_h='"vmm/y/b.h"',
            vmm__y__b_dot_h="",
            vmm__x__c_dot_h="",
            vmm__y__d_dot_h='"vmm/x/c.h"',
        )
        self.assertEqual(found, ["include cycle of folders: vmm/x -> vmm/y -> vmm/x"])


if __name__ == "__main__":
    unittest.main()
