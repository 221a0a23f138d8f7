"""Bad configs and bad files: each gets its exact message from the real program."""

import json
import os
import subprocess

from cases_fs import share_config
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


@case("id-map-warning", group="host", boots=0)
def id_map_warning(folder):
    """vmm warns of an owner map's entry whose user would own no file. The config is still good."""
    share = {"tag": "s", "path": folder}
    for first, warned in ((0, True), (1000, False)):
        share["uid_map"] = [{"guest": first, "host": 990}, {"guest": 1000 - first, "host": 990}]
        with open(f"{folder}/vm.json", "w", encoding="utf-8") as f:
            json.dump(share_config("cloud", [share]), f)
        done = subprocess.run(
            [vmm_path(), "--check", "--config", "vm.json"],
            text=True,
            capture_output=True,
            check=False,
            cwd=folder,
            timeout=20,
        )
        check(done.returncode == 0, f"exit status {done.returncode}: {done.stderr!r}")
        lines = done.stderr.strip().splitlines()
        found = len(lines) == 1 and "fs[0].uid_map[1]: files of the host's id 990" in lines[0]
        check(found if warned else not lines, f"with guest id {first} first: {lines}")
