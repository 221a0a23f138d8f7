"""Bad configs and bad files: each with its exact message, through the real program."""

import json
import os
import subprocess

from harness import Skip, case, check, vmm_path

TABLE = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "bad_configs.json"
)


@case("bad-configs-table", group="host", boots=0)
def bad_configs(folder):
    if not os.path.exists(TABLE):
        raise Skip("tests/data/bad_configs.json is missing")
    with open(TABLE, encoding="utf-8") as f:
        rows = json.load(f)
    check(len(rows) >= 40, f"the table has {len(rows)} rows, 40 are wanted")
    wrong = []
    for row in rows:
        with open(os.path.join(folder, "vm.json"), "w", encoding="utf-8") as f:
            f.write(row["text"] if "text" in row else json.dumps(row["config"]))
        done = subprocess.run(
            [vmm_path(), "--check", "--config", "vm.json"],
            text=True,
            capture_output=True,
            check=False,
            cwd=folder,
            timeout=20,
        )
        lines = done.stderr.strip().splitlines()
        if done.returncode != 1 or len(lines) != 1 or not lines[0].endswith(row["message"]):
            wrong.append(
                f"{row['name']}: exit status {done.returncode}, "
                f"wanted {row['message']!r}, got {done.stderr!r}"
            )
    check(not wrong, "\n".join(wrong))
