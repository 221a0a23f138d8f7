#!/usr/bin/env python3
"""Faults of the lab are told from faults of the guest and of vmm."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "integration"))
import lab_faults

# Ends of the consoles of two guests to which an interrupt was delivered twice, and of one whose
# kernel module followed a null pointer in an interrupt.
ENTRY_STACK_FULL = """\
[   10.039200] BUG: ENTRY_TRAMPOLINE stack guard page was hit at 00000000f9a3f1d7\r
[   10.039704] FS:  000000001673c3c0(0000) GS:ffff88800f000000(0000) knlGS:ffff88800f000000\r
[   10.039711] CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033\r
[   10.039716] CR2: fffffe0000001ff8 CR3: 0000000006388000 CR4: 0000000000750ef0\r
[   10.039935] Kernel panic - not syncing: Fatal exception in interrupt\r
"""
PANIC_AT_ONCE = """\
[   18.054061] FS:  00000000150b63c0(0000) GS:ffff88800f000000(0000) knlGS:ffff88800f000000\r
[   18.054071] CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033\r
[   18.054079] CR2: 00007ffffb8dcde8 CR3: 0000000006396000 CR4: 0000000000750ef0\r
[   18.054486] Kernel panic - not syncing: Fatal exception in interrupt\r
"""
NULL_POINTER = PANIC_AT_ONCE.replace("knlGS:ffff88800f000000", "knlGS:0000000000000000")


class LabFaultsTest(unittest.TestCase):
    def test_an_interrupt_that_came_twice_is_recognised(self):
        for text in (ENTRY_STACK_FULL, PANIC_AT_ONCE):
            self.assertEqual(lab_faults.recognise("vm.console", text), "an interrupt came twice")

    def test_another_panic_is_not_excused(self):
        self.assertEqual(lab_faults.recognise("vm.console", NULL_POINTER), "")

    def test_registers_without_a_panic_are_not_excused(self):
        oops = PANIC_AT_ONCE.replace("Fatal exception in interrupt", "VFS: no root")
        self.assertEqual(lab_faults.recognise("vm.console", oops), "")

    def test_a_triple_fault_is_recognised_by_what_vmm_says(self):
        text = "vmm: error: guest reset by a triple fault\n"
        self.assertEqual(lab_faults.recognise("vm.stderr", text), "its guest triple faulted")
        self.assertEqual(lab_faults.recognise("vm.console", text), "")


if __name__ == "__main__":
    unittest.main()
