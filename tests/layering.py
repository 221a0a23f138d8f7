#!/usr/bin/env python3
"""Checks every #include line against the tables of docs/design.md, and that there are no cycles.

Usage: tests/layering.py [SOURCE_DIR]
"""

import os
import re

import rule

# For each folder, the other folders that it may include.
MAY_INCLUDE = {
    "base": set(),
    "net": {"base"},
    "boot": {"base"},
    "devices": {"base"},
    "virtio": {"base", "devices", "net"},
    "vmm": {"base", "boot", "devices", "net", "virtio"},
    "tests": {"base", "boot", "devices", "net", "virtio", "vmm"},
    # Clients of vmm. They share its sockets, JSON and HTTP, so that both ends agree.
    "tools": {"base", "vmm"},
}
# The same for folders within virtio/. A folder that is not named here is a device's folder. Tests
# may include all of virtio/.
VIRTIO_MAY_INCLUDE = {
    "virtio": {"virtio/queue"},
    "virtio/queue": {"virtio"},
    "virtio/transport": {"virtio", "virtio/queue"},
    "virtio/host_tree": set(),
    "virtio/share": {"virtio", "virtio/queue", "virtio/host_tree"},
    "virtio/fs": {"virtio", "virtio/queue", "virtio/host_tree", "virtio/share"},
    "virtio/p9": {"virtio", "virtio/queue", "virtio/host_tree", "virtio/share"},
}
VIRTIO_DEVICE_MAY_INCLUDE = {"virtio", "virtio/queue"}
# Code for one architecture. Other code includes a neutral header of the parent folder, and CMake
# chooses the folder that implements it.
ARCHITECTURE = re.compile(r"(^|/)x86_64/")
# Libraries and kernel interfaces that only some folders may include; anything else is free.
ONLY_IN = [
    (re.compile(r"liburing(\.h|/)"), {"base"}),
    (re.compile(r"(lib)?fdt\.h"), {"boot"}),
    (re.compile(r"linux/kvm"), {"vmm", "tests"}),
    (re.compile(r"linux/virtio"), {"virtio", "net", "vmm", "tests"}),
    (re.compile(r"(nlohmann|CLI|boost)/|seccomp\.h"), {"vmm", "tests", "tools"}),
    (re.compile(r"benchmark/"), {"tests"}),
]
# The same, but tests may include these headers anywhere. Unix sockets: base/unix_listener.h makes
# all listening sockets, so that no socket removes the name of another.
ONLY_IN_BUT_TESTS = [(re.compile(r"sys/un\.h"), {"base"})]
TEST_ONLY = re.compile(r"g(test|mock)/")
# Prefixes of quoted includes that are not in the repository.
LIBRARIES = ("absl/", "gtest/", "gmock/", "benchmark/")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def sources(root):
    return rule.sources(root, MAY_INCLUDE, (".h", ".cc", ".c"))


def includes(text):
    """Yields (line number, quoted, path) of every include line of a source."""
    for number, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def is_test(source):
    """Returns whether a file is compiled only into tests."""
    return (
        source.startswith("tests/")
        or "/testing/" in source
        or source.endswith("_test.cc")
    )


def problem(root, source, quoted, included):
    """Returns what is wrong with one include, or None."""
    folder = source.split("/")[0]
    for pattern, allowed in ONLY_IN + ([] if is_test(source) else ONLY_IN_BUT_TESTS):
        if pattern.match(included) and folder not in allowed:
            return f"{included} may be included in {', '.join(sorted(allowed))} only"
    if not is_test(source) and "/testing/" in included:
        return f"{included} is for tests, and this file is not a test"
    if TEST_ONLY.match(included) and not is_test(source):
        return f"{included} in a file that is not a test"
    if not quoted or included.startswith(LIBRARIES):
        return None
    if not os.path.exists(os.path.join(root, included)):
        return f'"{included}" is not a path from the repository root'
    if ARCHITECTURE.search(included) and not ARCHITECTURE.search(source) and not is_test(source):
        return f"{included} is for one architecture; include a neutral header of its parent folder"
    if source.startswith("virtio/") and included.startswith("virtio/") and not is_test(source):
        a, b = os.path.dirname(source), os.path.dirname(included)
        allowed = VIRTIO_MAY_INCLUDE.get(a, VIRTIO_DEVICE_MAY_INCLUDE)
        if a != b and b not in allowed:
            return f"{a}/ may not include {b}/ (only {', '.join(sorted(allowed)) or 'nothing'})"
    target = included.split("/")[0]
    if target == folder or target in MAY_INCLUDE[folder]:
        return None
    if included.startswith("tests/fakes/") and is_test(source):
        return None
    allowed = ", ".join(sorted(MAY_INCLUDE[folder])) or "nothing"
    return f"{folder}/ may not include {target}/ (only {allowed})"


def cycle(graph):
    """Returns the nodes of one cycle of a graph {node: set of nodes}, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node) :] + [node]
        if node in done:
            return None
        path.append(node)
        for following in sorted(graph.get(node, ())):
            found = visit(following)
            if found:
                return found
        path.pop()
        done.add(node)
        return None

    for start in sorted(graph):
        found = visit(start)
        if found:
            return found
    return None


def nested(a, b):
    """Returns whether a folder is the other's sub-folder, such as x86_64/ behind a header above."""
    return a.startswith(b + "/") or b.startswith(a + "/")


def check(root):
    """Returns (problems, number of files)."""
    files, folders = {}, {}

    def problems_of(source, text):
        for number, quoted, included in includes(text):
            what = problem(root, source, quoted, included)
            if what:
                yield number, what
            if not quoted or included.startswith(LIBRARIES) or is_test(source):
                continue
            files.setdefault(source, set()).add(included)
            a, b = os.path.dirname(source), os.path.dirname(included)
            if a != b and not nested(a, b):
                folders.setdefault(a, set()).add(b)

    problems, count = rule.check_each(root, sources(root), problems_of)
    for what, graph in (("files", files), ("folders", folders)):
        found = cycle(graph)
        if found:
            problems.append(f"include cycle of {what}: {' -> '.join(found)}")
    return problems, count


if __name__ == "__main__":
    rule.main("layering", check)
