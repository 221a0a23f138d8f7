#!/usr/bin/env python3
"""Checks that vmm accepts every vm.json of the documents: blocks that are marked as json.

Usage: tests/doc_examples.py VMM

A block may also be a part of a vm.json: keys of the top level, or of an element of `fs`.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
REST = '"name": "web", "payload": {"kernel": "vmlinuz"}'


def examples(text):
    """Returns the line and the text of every block, completed to a vm.json."""
    for match in BLOCK.finditer(text):
        block = match.group(1).strip().rstrip(",")
        if '_map": [' in block and not block.startswith(("{", '"fs"')):
            block = f'"fs": [{{"tag": "t", "path": "/", {block}}}]'
        if not block.startswith("{"):
            block = f"{{{REST}, {block}}}"
        yield text.count("\n", 0, match.start()) + 2, block


def main(vmm):
    problems = []
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "vm.json"
        for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
            for line, text in examples(path.read_text(encoding="utf-8")):
                count += 1
                where = f"{path.relative_to(ROOT)}:{line}"
                try:
                    json.loads(text)
                except json.JSONDecodeError as error:
                    problems.append(f"{where}: no JSON: {error}")
                    continue
                config.write_text(text, encoding="utf-8")
                done = subprocess.run(
                    [vmm, "--config", config, "--print-config"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode != 0:
                    problems.append(f"{where}: {done.stderr.strip()}")
    for problem in problems:
        print(problem)
    print(f"examples: {count} examples, {len(problems)} problem(s)")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
