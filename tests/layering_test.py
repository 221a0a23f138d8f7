#!/usr/bin/env python3
"""Tests of the layering check: it must find each kind of problem."""

import unittest

import layering
import rule


class LayeringTest(unittest.TestCase):
    def problems(self, files):
        """Returns the problems that the check finds in a tree of {path: includes}."""
        texts = {
            name: "".join(f"#include {line}\n" for line in lines.split())
            for name, lines in files.items()
        }
        return rule.problems_in_tree(layering.check, texts)

    def assert_accepted(self, files):
        self.assertEqual(self.problems(files), [])

    def assert_refused(self, what, files):
        """Asserts that there is one problem, whose text has `what`."""
        found = self.problems(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(what, found[0])

    def test_accepts_the_table(self):
        self.assert_accepted(
            {"base/a.h": "<vector>", "virtio/b.cc": '"base/a.h" "absl/status/status.h"'}
        )

    def test_refuses_an_arrow_up(self):
        self.assert_refused("may not include vmm/", {"vmm/a.h": "", "base/b.cc": '"vmm/a.h"'})

    def test_refuses_devices_that_know_kvm(self):
        self.assert_refused("linux/kvm.h", {"devices/b.cc": "<linux/kvm.h>"})

    def test_refuses_liburing_outside_base(self):
        self.assert_refused("liburing.h", {"virtio/b.cc": "<liburing.h>"})

    def test_refuses_unix_sockets_outside_base_but_in_tests(self):
        self.assert_refused("sys/un.h", {"devices/b.cc": "<sys/un.h>"})
        self.assert_accepted({"devices/b_test.cc": "<sys/un.h>", "base/b.cc": "<sys/un.h>"})

    def test_refuses_fixtures_and_fakes_outside_tests(self):
        for header, what in (
            ("base/testing/f.h", "is for tests"),
            ("tests/fakes/f.h", "may not include tests/"),
        ):
            with self.subTest(header):
                self.assert_refused(what, {header: "", "base/b.cc": f'"{header}"'})
                self.assert_accepted({header: "", "base/b_test.cc": f'"{header}"'})

    def test_refuses_relative_includes(self):
        self.assert_refused("repository root", {"base/a.h": "", "base/b.cc": '"a.h"'})

    def test_refuses_a_queue_that_knows_the_transport(self):
        self.assert_refused(
            "virtio/queue/b.cc:1: virtio/queue/ may not include virtio/transport/ (only virtio)",
            {"virtio/transport/a.h": "", "virtio/queue/b.cc": '"virtio/transport/a.h"'},
        )
        self.assert_accepted(
            {"virtio/queue/a.h": "", "virtio/transport/b.cc": '"virtio/queue/a.h"'}
        )

    def test_refuses_a_transport_that_knows_a_device(self):
        self.assert_refused(
            "may not include virtio/net/",
            {"virtio/net/a.h": "", "virtio/transport/b.cc": '"virtio/net/a.h"'},
        )

    def test_refuses_devices_that_know_the_transport_or_each_other(self):
        for folder in ("transport", "block", "host_tree"):
            with self.subTest(folder):
                header = f"virtio/{folder}/a.h"
                self.assert_refused(
                    "(only virtio, virtio/queue)", {header: "", "virtio/net/b.cc": f'"{header}"'}
                )
                self.assert_accepted({header: "", "virtio/net/b_test.cc": f'"{header}"'})

    def test_host_tree_is_below_both_servers_of_shares(self):
        for server in ("virtio/fs", "virtio/p9"):
            with self.subTest(server):
                self.assert_accepted(
                    {"virtio/host_tree/a.h": "", f"{server}/b.cc": '"virtio/host_tree/a.h"'}
                )
                self.assert_refused(
                    "(only nothing)",
                    {f"{server}/a.h": "", "virtio/host_tree/b.cc": f'"{server}/a.h"'},
                )

    def test_share_is_between_host_tree_and_the_servers_of_shares(self):
        layers = ["host_tree", "share", "fs"]
        for lower, upper in zip(layers, layers[1:]):
            with self.subTest(lower):
                below, above = f"virtio/{lower}", f"virtio/{upper}"
                self.assert_accepted({f"{below}/a.h": "", f"{above}/b.cc": f'"{below}/a.h"'})
                self.assert_refused(
                    f"may not include {above}/",
                    {f"{above}/a.h": "", f"{below}/b.cc": f'"{above}/a.h"'},
                )

    def test_refuses_an_architecture_outside_of_its_folders_but_in_tests(self):
        self.assert_refused(
            "neutral header", {"vmm/x86_64/a.h": "", "vmm/b.h": '"vmm/x86_64/a.h"'}
        )
        self.assert_accepted(
            {
                "boot/x86_64/a.h": "",
                "vmm/x86_64/b.cc": '"boot/x86_64/a.h"',
                "vmm/b_test.cc": '"boot/x86_64/a.h"',
            }
        )

    def test_refuses_cycles(self):
        found = self.problems({"vmm/x/a.h": '"vmm/y/b.h"', "vmm/y/b.h": '"vmm/x/a.h"'})
        self.assertEqual(len(found), 2)
        found = self.problems(
            {
                "vmm/x/a.h": '"vmm/y/b.h"',
                "vmm/y/b.h": "",
                "vmm/x/c.h": "",
                "vmm/y/d.h": '"vmm/x/c.h"',
            }
        )
        self.assertEqual(found, ["include cycle of folders: vmm/x -> vmm/y -> vmm/x"])


if __name__ == "__main__":
    unittest.main()
