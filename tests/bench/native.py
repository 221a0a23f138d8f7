"""The group shares-native: the cost of shares for this machine's own FUSE client, without a guest (tests/fuse).

CPU time is that of the share's thread, which serves only the share. Every run has its own mount, so that the client has
cached nothing yet. The host has all files in its page cache.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from report import ratios, spread

FILES = 2000
SMALL_BYTES = 5000
LARGE_BYTES = 64 << 20

# --- inside the mount -------------------------------------------------------------------------------------------------


def small_files():
    return [f"small/{i}" for i in range(FILES)]


def read(path):
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass


def stat_all():
    for path in small_files():
        os.stat(path)


def read_all():
    for path in small_files():
        read(path)


def read_one_again():
    for _ in range(50):
        read("file")


def look_for_nothing():
    for _ in range(50):
        os.path.exists("small/none")


def list_again():
    for _ in range(50):
        os.listdir("small")


def write_all():
    os.mkdir("new")
    for i in range(FILES):
        with open(f"new/{i}", "wb", buffering=0) as f:
            f.write(bytes(SMALL_BYTES))


# Name: the preparation, the measured function, the requests that are counted ("" means all), and
# the options of the mount.
LOADS = {
    "cold stat": (None, stat_all, "", ("--cache", "always", "--readonly")),
    "cold read of 5 kB": (stat_all, read_all, "read", ("--cache", "always", "--readonly")),
    "read of 64 MiB in order": (None, lambda: read("large"), "read", ("--cache", "always", "--readonly")),
    "50 opens and reads of 500 kB": (lambda: os.stat("file"), read_one_again, "read", ("--cache", "auto", "--readonly")),
    "50 failed stats of one name": (lambda: os.stat("small"), look_for_nothing, "lookup", ("--cache", "auto", "--readonly")),
    "50 listings of 2000 files": (None, list_again, "", ("--cache", "auto", "--readonly")),
    "read of 2000 files by open": (stat_all, read_all, "", ("--cache", "auto")),
    "2000 files made": (None, write_all, "", ("--cache", "auto")),
}


def measure_inside(name):
    """Prints the number of requests and the CPU time of a load."""
    control = socket.socket(fileno=int(os.environ["SHARE_CONTROL"]))

    def counters():
        control.send(b"?")
        return json.loads(control.recv(1 << 16))

    before, load, counted, _ = LOADS[name]
    if before:
        before()
    start = counters()
    load()
    end = counters()
    requests = end["chains"] - start["chains"] if counted == "" else end[counted] - start[counted]
    print(json.dumps({"requests": requests, "cpu_us": (end["cpu_ns"] - start["cpu_ns"]) / 1000}))


# --- outside ----------------------------------------------------------------------------------------------------------


def fill(root):
    os.mkdir(f"{root}/small")
    for i in range(FILES):
        with open(f"{root}/small/{i}", "wb") as f:
            f.write(bytes(SMALL_BYTES))
    for name, size in (("file", 500_000), ("large", LARGE_BYTES)):
        with open(f"{root}/{name}", "wb") as f:
            f.write(bytes(size))
    time.sleep(2.5)  # a share treats a file that changed just now as still changing


def run(mount_share, name, folder):
    subprocess.run(["rm", "-rf", f"{folder}/root/new"], check=True)
    command = [mount_share, *LOADS[name][3], f"{folder}/root", f"{folder}/mnt", sys.executable, os.path.abspath(__file__), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: exit status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)


def add_rows(report, name, ours, theirs):
    per_request = [run["cpu_us"] / max(run["requests"], 1) for run in ours]
    ratio = ratios([run["cpu_us"] for run in ours], [run["cpu_us"] for run in theirs]) if theirs else None
    before = f"before: {spread([run['requests'] for run in theirs], 0)['median']} requests" if theirs else ""
    targets = {"50 opens and reads of 500 kB": "those of the first", "50 failed stats of one name": "1"}
    report.add(f"{name}: requests", spread([run["requests"] for run in ours], 0), target=targets.get(name, ""), note=before)
    report.add(f"{name}: CPU time a request", spread(per_request, 2), "us",
               "0.75x before" if name == "cold read of 5 kB" else "", ratio, "of all it took" if ratio else "")  # fmt: skip


def native(report, args, _paths):
    """`args.before` is another build to alternate with, or None."""
    programs = [f"{build}/tests/fuse/mount_share" for build in (args.build, args.before) if build]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(programs[0])) as folder:
        for part in ("root", "mnt"):
            os.mkdir(f"{folder}/{part}")
        fill(f"{folder}/root")
        for name in LOADS:
            taken = {program: [] for program in programs}
            for _ in range(args.runs):
                for program, runs in taken.items():
                    runs.append(run(program, name, folder))
            add_rows(report, name, taken[programs[0]], taken[programs[1]] if args.before else [])


if __name__ == "__main__":
    measure_inside(sys.argv[1])
