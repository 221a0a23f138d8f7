"""File shares: ours beside Debian's virtiofsd, QEMU's 9p and an erofs image, in guests that are told what to read.

Unless a row says otherwise "cold" means cold in the guest (mounted afresh), with everything in the host's page cache.
"""

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import time

import assets
from machines import Qemu, Vm
from report import ratios, spread

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The C daemon is in Debian 12's qemu-system-common (7.2) only; later releases have none, or another.
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
GUEST_MIB = 768
FILES_IN_DIRECTORY = 100
DIRECTORIES = 200
SMALL_DIRECTORIES = 30
P9_DIRECTORIES = 20
BIG_MIB = 512
CLOSURE_PATHS = 50
CLOSURE_FILES = 5000
CLOSURE_MIB = 200
MANY_DIRECTORIES = 1000
RANDOM_SECONDS = 4
VIRTIOFS = "mount virtiofs store -"
P9 = "mount 9p store trans=virtio,version=9p2000.L,cache=loose,msize=131072"
EROFS = "mount erofs /dev/vda -"


class Guest:
    """A guest that does what it is told by lines on its console (guest_shares.c)."""

    def __init__(self, command, environment=None):
        self.vm = Vm(command, environment, stdin=subprocess.PIPE)

    def __enter__(self):
        try:
            self.vm.wait_for("BENCH-SHARES")
        except RuntimeError:
            self.vm.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.vm.process.stdin.close()
        self.vm.__exit__()

    def answer(self, line, files=None, mib=None):
        """Has something done; returns what the guest printed and its seconds."""
        self.vm.text = ""
        self.vm.process.stdin.write(f"{line}\n".encode())
        self.vm.process.stdin.flush()
        match, _ = self.vm.wait_for(r"BENCH-SHARE (\d+) (\d+) (\d+) (\d+)")
        us, seen, read, errors = (int(text) for text in match.groups())
        if errors or files not in (None, seen) or mib is not None and read < mib << 20:
            raise RuntimeError(f"{line}: {seen} files, {read} bytes, {errors} errors: {self.vm.text.strip()[-500:]}")
        return self.vm.text, us / 1e6

    def do(self, line, files=None, mib=None):
        return self.answer(line, files, mib)[1]


# --- what is shared ---------------------------------------------------------------------------------------------------


def write_files(folder, directories, sizes):
    """Writes files of the sizes, as many into each directory."""
    data = os.urandom(max(1, *sizes))
    sizes = iter(sizes)
    for i in range(directories):
        os.makedirs(f"{folder}/{i}")
        for number, size in zip(range(FILES_IN_DIRECTORY), sizes):
            with open(f"{folder}/{i}/file-{number}", "wb") as f:
                f.write(data[:size])


def small_sizes(count):
    """1 to 16 KiB."""
    return [1024 + i * 7919 % (15 << 10) for i in range(count)]


def make_tree(folder):
    """A tree of 20,000 files, 3,000 of them below small, and a big file beside it."""
    for name, directories in (("small", SMALL_DIRECTORIES), ("rest", DIRECTORIES - SMALL_DIRECTORIES)):
        write_files(f"{folder}/tree/{name}", directories, small_sizes(directories * FILES_IN_DIRECTORY))
    with open(f"{folder}/big", "wb") as f:
        for _ in range(BIG_MIB):
            f.write(os.urandom(1 << 20))


def make_closure(folder):
    """A store of paths of several sizes of files, its closure and its image."""
    sizes, left = [], CLOSURE_MIB << 20
    # Most files of a system are small, and most bytes are in large ones.
    for i in range(CLOSURE_FILES - 100):
        sizes.append(512 + i * 7919 % (24 << 10))
    left -= sum(sizes)
    sizes += [left // 100 + 1] * 100
    sizes = [sizes[i * 49 % CLOSURE_FILES] for i in range(CLOSURE_FILES)]  # 49: every one once
    store = f"{folder}/store"
    write_files(store, CLOSURE_PATHS, sizes)
    with open(f"{folder}/store-paths", "w", encoding="ascii") as f:
        f.writelines(f"/nix/store/{i}\n" for i in range(CLOSURE_PATHS))
    subprocess.run([f"{ROOT}/tools/store-image", "--store", store, f"{folder}/store-paths", f"{folder}/store.erofs"],
                   check=True)  # fmt: skip
    return store


def warm_host(folder):
    subprocess.run(f"find {folder} -type f -exec cat {{}} + >/dev/null", shell=True, check=True)
    os.sync()


def cool_host():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("3")


# --- the VMs ----------------------------------------------------------------------------------------------------------


def ours(lab, shares, disks=()):
    config = {
        "cpus": {"boot_vcpus": 1},
        "memory": {"size": f"{GUEST_MIB}M"},
        "payload": {"kernel": lab.guest["vmlinux"], "initramfs": lab.guest["initrd"],
                    "cmdline": "console=hvc0 quiet BENCH=share"},
        "console": {"mode": "Tty"},
        "fs": shares,
        "disks": [{"path": disk, "readonly": True} for disk in disks],
    }  # fmt: skip
    path = f"{lab.folder}/shares.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(lab.ours.api)
    return Guest([lab.vmm, "--config", path, "--api-socket", lab.ours.api])


def theirs(lab, devices):
    """QEMU with shared memory, which vhost-user needs."""
    qemu = Qemu()
    command = qemu.command + ["-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", str(GUEST_MIB), "-nodefaults",
                              "-nographic", "-no-reboot", "-kernel", lab.guest["bzImage"],
                              "-initrd", lab.guest["initrd"],
                              "-append", "console=hvc0 quiet BENCH=share",
                              "-object", f"memory-backend-memfd,id=memory,size={GUEST_MIB}M,share=on",
                              "-numa", "node,memdev=memory", "-chardev", "stdio,id=console,signal=off",
                              "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=console", *devices]  # fmt: skip
    return Guest(command, qemu.environment)


class Virtiofsd:
    def __init__(self, lab, folder):
        socket = f"{lab.folder}/virtiofsd.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)
        self.log = open(f"{lab.folder}/virtiofsd.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen([VIRTIOFSD, f"--socket-path={socket}", "-o", f"source={folder}", "-o", "cache=always"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)  # fmt: skip
        end = time.monotonic() + 30
        while not os.path.exists(socket):
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise RuntimeError(f"virtiofsd does not start: {self.log.read()[-500:]}")
            time.sleep(0.05)
        self.devices = ["-chardev", f"socket,id=fs,path={socket}",
                        "-device", "vhost-user-fs-pci,chardev=fs,tag=store,queue-size=1024"]  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()


# --- figures ----------------------------------------------------------------------------------------------------------


class Requests:
    """What the guest asked a share of ours for, by name, since this was made."""

    def __init__(self, lab, share="_fs0"):
        self.lab, self.share = lab, share
        self.before = self.counters()

    def counters(self):
        return self.lab.ours.get("vm.counters")[self.share]

    def grown(self):
        return {name: count - self.before[name] for name, count in self.counters().items() if count != self.before[name]}


def take_walk(guest, mount, path, files):
    """Returns the seconds of a cold walk and of a warm one after it."""
    guest.do(mount)
    cold, warm = guest.do(f"walk {path}", files), guest.do(f"walk {path}", files)
    guest.do("umount")
    return cold, warm


def take_cold(guest, mount, line, **expected):
    guest.do(mount)
    seconds = guest.do(line, **expected)
    guest.do("umount")
    return seconds


def take_random(guest, mount, path):
    guest.do(mount)
    text, _ = guest.answer(f"random {path} {RANDOM_SECONDS}")
    guest.do("umount")
    match = re.search(r"BENCH-BLOCK random (\d+) \d+ (\d+) errors=(\d+)", text)
    if not match or int(match[3]):
        raise RuntimeError(f"random reads: {text.strip()[-500:]}")
    return int(match[1]) / (int(match[2]) / 1e6)


def alternate(runs, sides, take):
    """Returns {side: values} of runs that take turns; the first of each is not counted if there is more than one."""
    values = {name: [] for name in sides}
    for _ in range(runs):
        for name, guest in sides.items():
            values[name].append(take(guest))
    return values


def compare(report, figure, values, unit, target, more_is_better=False, note="", digits=2):
    """Reports both sides and how many times better the first is."""
    (our_name, mine), (peer, its) = values.items()
    ratio = ratios(mine, its) if more_is_better else ratios(its, mine)
    report.add(f"{figure}: {peer}", spread(its, digits), unit)
    report.add(f"{figure}: {our_name}", spread(mine, digits), unit, target, ratio, note)


def walks(report, lab, what, sides, mount, path, files, target):
    taken = alternate(lab.args.runs, sides, lambda guest: take_walk(guest, mount, path, files))
    for figure, value in ((f"{what}, cold walk with stat", lambda run: run[0]), ("  the warm walk", lambda run: run[1])):
        compare(report, figure, {name: [value(run) for run in taken[name]] for name in taken}, "s", "")
    compare(report, "  cold less warm", {name: [cold - warm for cold, warm in taken[name]] for name in taken}, "s", target)


def count_requests(report, lab, what, guest, mount, path, files):
    """What our share is asked for by a cold walk and by a warm one; names are looked up in the root after a second."""
    guest.do(mount)
    for figure in ("cold", "warm"):
        requests = Requests(lab)
        guest.do(f"walk {path}", files)
        yield figure, requests.grown()
    guest.do("umount")


def shown(counts):
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"


def shares_fs(report, lab):
    folder = f"{os.environ['LAB_SCRATCH']}/share"
    make_tree(folder)
    warm_host(folder)
    files = DIRECTORIES * FILES_IN_DIRECTORY
    share = {"tag": "store", "path": folder, "readonly": True, "cache": "always"}
    with Virtiofsd(lab, folder) as daemon, ours(lab, [share]) as mine, \
            theirs(lab, daemon.devices) as peer:  # fmt: skip
        sides, runs = {"vmm": mine, "virtiofsd": peer}, lab.args.runs
        walks(report, lab, f"virtio-fs, {files} files", sides, VIRTIOFS, "/mnt/tree", files, "at least 2x")
        for name, counts in count_requests(report, lab, "virtio-fs", mine, VIRTIOFS, "/mnt/tree", files):
            below = counts.get("requests_below_root", 0)
            report.add(f"  requests below the root, {name}", below, "", "0" if name == "warm" else "",
                       note=shown(counts), detail=counts)  # fmt: skip
        small = SMALL_DIRECTORIES * FILES_IN_DIRECTORY
        compare(report, f"virtio-fs, cold read of {small} small files",
                alternate(runs, sides, lambda guest: take_cold(guest, VIRTIOFS, "read /mnt/tree/small", files=small)),
                "s", "at least 1.5x")  # fmt: skip
        compare(report, "virtio-fs, randread-4k-qd16, AIO and O_DIRECT",
                alternate(runs, sides, lambda guest: take_random(guest, VIRTIOFS, "/mnt/big")),
                "IOPS", "at least 1.5x", more_is_better=True, digits=0)  # fmt: skip
        sequential = alternate(runs, sides, lambda guest: take_cold(guest, VIRTIOFS, "seq /mnt/big", mib=BIG_MIB))
        compare(report, f"virtio-fs, cold sequential read of {BIG_MIB} MiB",
                {name: [BIG_MIB / seconds for seconds in values] for name, values in sequential.items()},
                "MiB/s", "at least 2x", more_is_better=True, digits=1)  # fmt: skip


GROUPS = {"shares-fs": shares_fs}
# The kernel of each group's guests.
KERNELS = {"shares-fs": "cloud"}
