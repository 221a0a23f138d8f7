#!/usr/bin/env python3
"""Tests of tests/conformance: it must report clauses without tests and wrong names."""

import importlib.machinery
import importlib.util
import os
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


def load():
    loader = importlib.machinery.SourceFileLoader("conformance", os.path.join(HERE, "conformance"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("conformance", loader))
    loader.exec_module(module)
    return module


conformance = load()
TESTS = {"Pci_2_1_2_Works", "Console_5_3_2_OnePort", "Queue_2_7_4_Framing", "P9_walk_Walks"}


def errors_of(text):
    clauses, errors = conformance.read_clauses(text.splitlines())
    for clause in clauses:
        errors += conformance.check(clause, TESTS)
    return errors


class ConformanceTest(unittest.TestCase):
    def test_covered_or_excused(self):
        self.assertEqual(errors_of("2.1.2.a  Text.\n    Pci_2_1_2_Works\n"), [])
        self.assertEqual(errors_of("2.7.4.1.a  Text.\n    Queue_2_7_4_Framing\n"), [])
        self.assertEqual(errors_of("9P.walk.a  Text.\n    P9_walk_Walks\n"), [])
        self.assertEqual(
            errors_of("5.3.6.2.1.a  Text.\n    n/a: not offered (Console_5_3_2_OnePort)\n"), []
        )

    def test_errors(self):
        for text, error in (
            ("2.1.2.a  Text.\n", "not covered"),
            ("2.1.2.a  Text.\n    Pci_2_1_2_Gone\n", "no test Pci_2_1_2_Gone"),
            ("2.2.a  Text.\n    Pci_2_1_2_Works\n", "not named after the clause"),
            ("9P.read.a  Text.\n    P9_walk_Walks\n", "not named after the clause"),
            ("9P.walk.a  Text.\n    Pci_2_1_2_Works\n", "not named after the clause"),
            ("2.1.2.a  Text.\n    n/a: never\n", "names no test"),
            ("2.1.2.a  Text.\n    n/a: not offered (Pci_Gone)\n", "no test Pci_Gone"),
            ("2.1.2.a  Text.\n    Pci_2_1_2_Works\n    n/a: x (Pci_2_1_2_Works)\n", "both"),
            ("2.1.2.a  T.\n    Pci_2_1_2_Works\n2.1.2.a  T.\n    Pci_2_1_2_Works\n", "twice"),
            ("2.1.2  Text.\n", "neither a clause"),
        ):
            with self.subTest(text=text):
                self.assertTrue(any(error in line for line in errors_of(text)), errors_of(text))


if __name__ == "__main__":
    unittest.main()
