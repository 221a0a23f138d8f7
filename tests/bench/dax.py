"""Host memory while two VMs read the same files of a share, with and without a DAX window."""

import base64
import json
import os
import time

from machines import Vm
from report import spread

FILES = 50
FILE_MIB = 4
GUEST_MIB = 512
WINDOW_MIB = 256
# The guests begin when a file appears in the share.
SCRIPT = """
mkdir -p /mnt
mount -t virtiofs -o ro store /mnt && echo BENCH-MOUNTED
while [ ! -e /mnt/go-NUMBER ]; do usleep 100000; done
cat /mnt/files/* | wc -c
echo BENCH-READ
while :; do sleep 1000; done
"""


def used_kib():
    """Returns how much memory is in use, including the page cache."""
    with open("/proc/meminfo", encoding="utf-8") as f:
        values = {line.split(":")[0]: int(line.split()[1]) for line in f}
    return values["MemTotal"] - values["MemFree"]


def make_share(folder):
    os.makedirs(f"{folder}/files", exist_ok=True)
    for i in range(FILES):
        with open(f"{folder}/files/{i}", "wb") as f:
            f.write(os.urandom(FILE_MIB << 20))
            os.fsync(f.fileno())


def start(lab, share, number, with_dax):
    script = base64.b64encode(SCRIPT.replace("NUMBER", str(number)).encode()).decode()
    config = {
        "cpus": {"boot_vcpus": 1},
        "memory": {"size": f"{GUEST_MIB}M"},
        "payload": {"kernel": lab.guest["vmlinux"], "initramfs": lab.guest["share-initrd"],
                    "cmdline": f"console=hvc0 quiet vmmtest={script}"},
        "console": {"mode": "Tty"},
        "fs": [{"tag": "store", "path": share, "readonly": True, "cache": "always",
                "dax_window": f"{WINDOW_MIB}M" if with_dax else None}],
    }  # fmt: skip
    path = f"{lab.folder}/vm{number}.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    return Vm([lab.vmm, "--config", path])


def settle():
    """Drops the host's page cache, and returns how much memory is in use then."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")
    time.sleep(1)
    return used_kib()


def grow(lab, share, with_dax):
    """Returns by how many KiB the host's memory grows when the first VM reads the files, and when the second does."""
    for name in os.listdir(share):
        if name.startswith("go-"):
            os.unlink(f"{share}/{name}")
    with start(lab, share, 1, with_dax) as first, start(lab, share, 2, with_dax) as second:
        for vm in (first, second):
            vm.wait_for("BENCH-MOUNTED")
        before, growths = settle(), []
        for number, vm in ((1, first), (2, second)):
            with open(f"{share}/go-{number}", "wb"):
                pass
            match, _ = vm.wait_for(r"(\d+)\s+BENCH-READ")
            if int(match[1]) != FILES * FILE_MIB << 20:
                raise RuntimeError(f"the guest read {match[1]} bytes")
            after = used_kib()
            growths.append(after - before)
            before = after
    return growths


def dax(report, lab):
    share = f"{os.environ['LAB_SCRATCH']}/share"
    make_share(share)
    rows = {True: [], False: []}
    for _ in range(min(lab.args.runs, 3)):
        for with_dax, growths in rows.items():
            growths.append(grow(lab, share, with_dax))
    for with_dax, growths in rows.items():
        first, second = ([growth[i] / 1024 for growth in growths] for i in range(2))
        how = "with DAX" if with_dax else "without DAX"
        report.add(f"two VMs read the same {FILES * FILE_MIB} MiB, {how}: first", spread(first, 0), "MiB")
        report.add(f"  {how}: second", spread(second, 0), "MiB", "0" if with_dax else "",
                   note="growth of the host's memory in use, page cache and guests' memory together")  # fmt: skip
