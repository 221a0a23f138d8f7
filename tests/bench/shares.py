"""File shares: ours beside virtiofsd, QEMU's 9p and an erofs image, in guests that read what the host requests.

Unless a row says otherwise, "cold" means cold in the guest (a new mount), with everything in the host's page cache.
"""

import contextlib
import json
import os
import re
import subprocess
import time

import assets
from machines import Qemu, Vm
from report import ratios, spread

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Only Debian 12's qemu-system-common (7.2) has the C daemon. Later releases have none, or another
# one.
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
GUEST_MIB = 768
FILES_IN_DIRECTORY = 100
DIRECTORIES = 200
SMALL_DIRECTORIES = 30
P9_DIRECTORIES = 20
BIG_MIB = 512
P9_BIG_MIB = 128
CLOSURE_PATHS = 50
CLOSURE_FILES = 5000
CLOSURE_MIB = 200
MANY_DIRECTORIES = 1000
RANDOM_SECONDS = 4
TRIES = 3
# How far guests read ahead, in KiB. The first value is Linux's default, whatever the share allows.
# The second is as far as one request of a share goes.
READ_AHEADS = (128, 1024)
VIRTIOFS = "mount virtiofs store -"
P9 = "mount 9p store trans=virtio,version=9p2000.L,cache=loose,msize=131072"
EROFS = "mount erofs /dev/vda -"


class Guest:
    """A guest that serves commands on its console (guest_shares.c)."""

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
        """Sends a command. Returns what the guest printed, and the seconds that the command took."""
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
    data = os.urandom(max(sizes, default=0))
    sizes = iter(sizes)
    for i in range(directories):
        os.makedirs(f"{folder}/{i}")
        for number, size in zip(range(FILES_IN_DIRECTORY), sizes):
            with open(f"{folder}/{i}/file-{number}", "wb") as f:
                f.write(data[:size])


def small_sizes(count):
    """1 to 16 KiB."""
    return [1024 + i * 7919 % (15 << 10) for i in range(count)]


def make_tree(folder, directories, big_mib=BIG_MIB):
    """A tree of directories of small files, some of them below small, and a big file beside it."""
    small = min(directories, SMALL_DIRECTORIES)
    for name, count in (("small", small), ("rest", directories - small)):
        write_files(f"{folder}/tree/{name}", count, small_sizes(count * FILES_IN_DIRECTORY))
    with open(f"{folder}/big", "wb") as f:
        for _ in range(big_mib):
            f.write(os.urandom(1 << 20))


def make_closure(folder):
    """Makes a store of paths with files of several sizes, its closure and its image."""
    sizes, left = [], CLOSURE_MIB << 20
    # Most files of a system are small, but most bytes are in large files.
    for i in range(CLOSURE_FILES - 100):
        sizes.append(512 + i * 7919 % (24 << 10))
    left -= sum(sizes)
    sizes += [left // 100 + 1] * 100
    # a multiplier of 49 uses every size exactly once
    sizes = [sizes[i * 49 % CLOSURE_FILES] for i in range(CLOSURE_FILES)]
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
    """Starts QEMU with shared memory, which vhost-user needs."""
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
        if not os.path.exists(VIRTIOFSD):
            raise RuntimeError(f"no {VIRTIOFSD}: apt-get install qemu-system-common of Debian 12")
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
        # virtiofsd ends by itself when its QEMU does.
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(1)
            self.log.seek(0)
            if status:
                print(f"virtiofsd has ended with {status}: {self.log.read()[-500:].strip()}", flush=True)
        self.process.kill()
        self.process.wait()
        self.log.close()


# --- figures ----------------------------------------------------------------------------------------------------------


class Requests:
    """The requests that a share of ours has received since this object was made, by name."""

    def __init__(self, lab, share="_fs0"):
        self.lab, self.share = lab, share
        self.before = self.counters()

    def counters(self):
        return self.lab.ours.get("vm.counters")[self.share]

    def grown(self):
        return {name: count - self.before[name] for name, count in self.counters().items() if count != self.before[name]}


def take_walk(guest, mount, path, files):
    """Returns the seconds of a cold walk, and of a warm walk after it."""
    guest.do(mount)
    cold, warm = guest.do(f"walk {path}", files), guest.do(f"walk {path}", files)
    guest.do("umount")
    return cold, warm


def take_cold(guest, mount, line, before=None, **expected):
    guest.do(mount)
    if before:
        guest.do(before)
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
    """Returns {side: values} of alternating runs."""
    values = {name: [] for name in sides}
    for _ in range(runs):
        for name, guest in sides.items():
            values[name].append(take(guest))
    return values


def take_figure(report, runs, what, machines, take, show):
    """Alternates runs on guests started for them, and shows the results.

    Guests of an emulated lab die sometimes (docs/assurance.md). The runs are then repeated, and if they fail every time
    there is no figure.
    """
    for _ in range(TRIES):
        try:
            with machines() as sides:
                return show(alternate(runs, sides, take))
        except (RuntimeError, BrokenPipeError) as failed:
            print(f"{what}: failed: {failed}", flush=True)
            error = failed
    report.missing(what, why="does not count", note=str(error)[-200:].replace("\n", " "))


def compare(report, figure, values, unit, target, more_is_better=False, note="", digits=2):
    """Reports both sides, and by which factor the first is better."""
    (our_name, mine), (peer, its) = values.items()
    ratio = ratios(mine, its) if more_is_better else ratios(its, mine)
    report.add(f"{figure}: {peer}", spread(its, digits), unit)
    report.add(f"{figure}: {our_name}", spread(mine, digits), unit, target, ratio, note)


def compare_walks(report, what, taken, target):
    """Reports cold walks and warm walks, and how much longer a cold walk takes than the guest's own work.

    The guests of virtiofsd list directories again in the warm walk, while our guests send no request. The time of our
    warm walk is therefore the guest's own work. One row subtracts it from both sides; another row subtracts each side's
    own warm walk.
    """
    cold, warm = ({name: [run[i] for run in runs] for name, runs in taken.items()} for i in (0, 1))
    own = next(iter(warm.values()))
    compare(report, f"{what}, cold walk with stat", cold, "s", "")
    compare(report, "  the warm walk", warm, "s", "")
    compare(report, "  cold less our warm walk", {name: [c - o for c, o in zip(cold[name], own)] for name in cold}, "s", target)
    compare(report, "  cold less its own warm walk", {name: [c - w for c, w in zip(cold[name], warm[name])] for name in cold},
            "s", target)  # fmt: skip


def report_requests(report, lab, guest, mount, path, files, warm_target, of_interest):
    """Reports the requests that our share receives in a cold walk and in a warm walk."""
    guest.do(mount)
    for figure in ("cold", "warm"):
        requests = Requests(lab)
        guest.do(f"walk {path}", files)
        counts = requests.grown()
        shown = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
        value = ", ".join(f"{name.replace('_', ' ')} {counts.get(name, 0)}" for name in of_interest)
        report.add(f"{mount.split()[1]}, requests of the {figure} walk", value, "", warm_target if figure == "warm" else "", note=shown or "none",
                   detail=counts)  # fmt: skip
    guest.do("umount")


def rates(values, mib):
    return {name: [mib / seconds for seconds in side] for name, side in values.items()}


def shares_fs(report, lab):
    folder = f"{os.environ['LAB_SCRATCH']}/share"
    make_tree(folder, DIRECTORIES)
    warm_host(folder)
    files, small, runs = DIRECTORIES * FILES_IN_DIRECTORY, SMALL_DIRECTORIES * FILES_IN_DIRECTORY, lab.args.runs
    share = {"tag": "store", "path": folder, "readonly": True, "cache": "always"}

    @contextlib.contextmanager
    def both():
        with Virtiofsd(lab, folder) as daemon, ours(lab, [share]) as mine, theirs(lab, daemon.devices) as peer:
            yield {"vmm": mine, "virtiofsd": peer}

    @contextlib.contextmanager
    def both_by_read_ahead():
        with both() as sides:
            yield {(name, kib): (guest, kib) for kib in READ_AHEADS for name, guest in sides.items()}

    with ours(lab, [share]) as mine:
        report_requests(report, lab, mine, VIRTIOFS, "/mnt/tree", files, "0 below the root", ["requests_below_root"])
    what = f"virtio-fs, {files} files"
    take_figure(report, runs, what, both, lambda guest: take_walk(guest, VIRTIOFS, "/mnt/tree", files),
                lambda taken: compare_walks(report, what, taken, "at least 2x"))  # fmt: skip
    reading = f"virtio-fs, cold read of {small} small files"
    take_figure(report, runs, reading, both, lambda guest: take_cold(guest, VIRTIOFS, "read /mnt/tree/small", files=small),
                lambda taken: compare(report, reading, taken, "s", "at least 1.5x"))  # fmt: skip
    random = "virtio-fs, randread-4k-qd16"
    take_figure(report, runs, random, both, lambda guest: take_random(guest, VIRTIOFS, "/mnt/big"),
                lambda taken: compare(report, random, taken, "IOPS", "at least 1.5x", True, "Linux AIO, O_DIRECT", digits=0))  # fmt: skip
    sequential = f"virtio-fs, cold sequential read of {BIG_MIB} MiB"
    take_figure(report, runs, sequential, both_by_read_ahead,
                lambda side: take_cold(side[0], VIRTIOFS, "seq /mnt/big", f"readahead {side[1]}", mib=BIG_MIB),
                lambda taken: report_sequential(report, sequential, rates(taken, BIG_MIB)))  # fmt: skip


def report_sequential(report, figure, taken):
    """Compares both at equal read-ahead, and ours with the read-ahead of docs/shares.md to the peer with Linux's."""
    low, high = READ_AHEADS
    for mine, its, note in (
        (low, low, f"guests read {low} KiB ahead"),
        (high, high, f"guests read {high} KiB ahead"),
        (high, low, f"ours reads {high} KiB ahead, as docs/shares.md has it, the peer's {low}"),
    ):
        compare(report, figure, {"vmm": taken["vmm", mine], "virtiofsd": taken["virtiofsd", its]}, "MiB/s", "at least 2x", True,
                note, digits=1)  # fmt: skip


def shares_9p(report, lab):
    folder = f"{os.environ['LAB_SCRATCH']}/share"
    make_tree(folder, P9_DIRECTORIES, P9_BIG_MIB)
    warm_host(folder)
    files, runs = P9_DIRECTORIES * FILES_IN_DIRECTORY, lab.args.runs
    share = {"tag": "store", "path": folder, "readonly": True, "cache": "always", "proto": "9p"}
    devices = ["-fsdev", f"local,id=fs,path={folder},security_model=none,readonly=on",
               "-device", "virtio-9p-pci,fsdev=fs,mount_tag=store"]  # fmt: skip

    @contextlib.contextmanager
    def both():
        with ours(lab, [share]) as mine, theirs(lab, devices) as peer:
            yield {"vmm": mine, f"QEMU {Qemu().version}": peer}

    with ours(lab, [share]) as mine:
        report_requests(report, lab, mine, P9, "/mnt/tree", files, "read 0, getattr 0", ["read", "getattr", "lopen"])
    what = f"9p, {files} files"
    take_figure(report, runs, what, both, lambda guest: take_walk(guest, P9, "/mnt/tree", files),
                lambda taken: compare_walks(report, what, taken, "at least 2x"))  # fmt: skip
    reading = f"9p, cold read of {files} small files"
    take_figure(report, runs, reading, both, lambda guest: take_cold(guest, P9, "read /mnt/tree", files=files),
                lambda taken: compare(report, reading, taken, "s", "at least 2x"))  # fmt: skip
    sequential = f"9p, cold sequential read of {P9_BIG_MIB} MiB"
    take_figure(report, runs, sequential, both, lambda guest: take_cold(guest, P9, "seq /mnt/big", mib=P9_BIG_MIB),
                lambda taken: compare(report, sequential, rates(taken, P9_BIG_MIB), "MiB/s", "at least 2x", True, digits=1))  # fmt: skip


def take_closure(guest, mount, host_is_warm):
    """Returns the seconds from the mount to the end of reading all of it, and of reading it again."""
    if not host_is_warm:
        cool_host()
    seconds = guest.do(mount)
    first, again = (guest.do("read /mnt", CLOSURE_FILES, CLOSURE_MIB) for _ in range(2))
    guest.do("umount")
    return seconds + first, again


def shares_erofs(report, lab):
    folder = f"{os.environ['LAB_SCRATCH']}"
    store = make_closure(folder)
    share = {"tag": "store", "path": store, "closure": f"{folder}/store-paths", "readonly": True}
    figure = f"mount and read {CLOSURE_FILES} files"
    with ours(lab, [share], [f"{folder}/store.erofs"]) as guest:
        taken = {}
        for host_is_warm in (True, False):
            if host_is_warm:
                warm_host(folder)
            taken[host_is_warm] = alternate(lab.args.runs, {"virtio-fs": VIRTIOFS, "erofs": EROFS},
                                            lambda mount, warm=host_is_warm: take_closure(guest, mount, warm))  # fmt: skip
    for what, warm, column, target, note in (
        ("host cold", False, 0, "at most 1.5x", f"{CLOSURE_MIB} MiB on virtio-blk, mounted afresh, the host's page cache dropped"),
        ("host warm", True, 0, "at most 1.1x", "mounted afresh, all in the host's page cache"),
        ("again", True, 1, "at most 1.1x", "all in the guest's page cache"),
    ):
        (_, mine), (peer, its) = (
            (name, [run[column] for run in side]) for name, side in taken[warm].items()
        )
        report.add(f"{figure}, {what}: {peer}", spread(its, 2), "s", note=note)
        report.add("  virtio-fs", spread(mine, 2), "s", target, ratios(mine, its), "time, of erofs's")


def shares_memory(report, lab):
    folder = f"{os.environ['LAB_SCRATCH']}/many"
    write_files(folder, MANY_DIRECTORIES, [0] * MANY_DIRECTORIES * FILES_IN_DIRECTORY)
    files, values = MANY_DIRECTORIES * FILES_IN_DIRECTORY, {"walked": [], "dropped": [], "unmounted": []}
    share = {"tag": "store", "path": folder, "readonly": True, "cache": "always"}
    with ours(lab, [share]) as guest:
        for _ in range(min(lab.args.runs, 3)):
            before, _ = guest.vm.memory_outside_guest(GUEST_MIB)
            guest.do(VIRTIOFS)
            guest.do("walk /mnt", files)
            for state, line in (("walked", None), ("dropped", "drop"), ("unmounted", "umount")):
                if line:
                    guest.do(line)
                    wait_forgotten(lab, MANY_DIRECTORIES)
                values[state].append((guest.vm.memory_outside_guest(GUEST_MIB)[0] - before) / 1024)
            last = lab.ours.get("vm.counters")["_fs0"]["nodes"]
    report.add(f"memory after a walk of {files} files, over the start", spread(values["walked"]), "MiB", "at most 24 MiB")
    report.add("  after the guest dropped its caches (FORGET)", spread(values["dropped"]), "MiB", "at most 4 MiB")
    report.add("  after umount", spread(values["unmounted"]), "MiB", "at most 4 MiB", note=f"nodes left: {last}")


def wait_forgotten(lab, most):
    """Waits until a share of ours has at most `most` nodes. The guest sends what it forgets only when it has time."""
    end = time.monotonic() + 60
    while lab.ours.get("vm.counters")["_fs0"]["nodes"] > most and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(1)


# Each group runs in a lab session of its own.
GROUPS = {"shares-fs": shares_fs, "shares-9p": shares_9p, "shares-erofs": shares_erofs, "shares-memory": shares_memory}
# The kernel of each group's guests: only the full kernel has 9p.
KERNELS = {"shares-fs": "cloud", "shares-9p": "full", "shares-erofs": "cloud", "shares-memory": "cloud"}
