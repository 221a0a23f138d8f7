"""Writable shares: a POSIX suite in the guest (tests/posix), and load whose result the host checks.

The suite prints a line for each case that fails. tests/posix/differences.cc lists the cases that a
protocol cannot support, with reasons.
"""

import os
import random
import re
import shutil
import threading

from cases_fs import listing, make_any_file, on_host, share_config
from harness import READY, Failure, Vm, case, check, check_equal, guest_files, guests, have

# By 9p Linux tries to take a lock that is held again every 30 s, unless locktimeout is given.
OPTIONS_9P = "trans=virtio,version=9p2000.L,cache=mmap,msize=512000,locktimeout=1"
MOUNTS = {
    "virtiofs": "mount -t virtiofs work /mnt",
    "9p": f"mount -t 9p -o {OPTIONS_9P} work /mnt",
}
SUMS = "find . -type f -exec md5sum {} + | LC_ALL=C sort | md5sum"
# Prints everything about a tree except times, which a tar archive stores in whole seconds, and the
# sizes of directories.
TREE = (
    "find . -type f -exec stat -c '%n %f %s %u %g %Y' {} + | LC_ALL=C sort;"
    " find . -type d -exec stat -c '%n %f %u %g' {} + | LC_ALL=C sort;"
    " find . -type l -exec readlink {} \\; | LC_ALL=C sort"
)


def writable_vm(folder, kernel, proto, **share):
    """Returns a VM with an empty writable share, and with one that contains programs."""
    os.makedirs(f"{folder}/work")
    shutil.copytree(guests()["posix-programs"], f"{folder}/tools", dirs_exist_ok=True)
    work = {"tag": "work", "path": f"{folder}/work", "proto": proto, "readonly": False, **share}
    tools = {"tag": "tools", "path": f"{folder}/tools", "readonly": True, "cache": "always"}
    config = share_config(kernel, [work, tools])
    # an uncompressed kernel starts faster
    config["payload"]["kernel"] = guest_files(kernel)["vmlinux"]
    return Vm(folder, config)


def mount(vm, proto):
    answer = vm.shell(
        "mkdir -p /mnt /tools; mount -t virtiofs -o ro tools /tools;"
        f" {MOUNTS[proto]}; grep -c ' /mnt ' /proc/mounts"
    )
    check_equal(answer, "1", "mounts of the writable share")


def run_suite(vm, proto, every):
    answer = vm.shell(f"/tools/posix-suite --on {proto} --every {every} /mnt", seconds=1500)
    last = answer.splitlines()[-1]
    print(f"       posix suite on {proto}: {last}")
    found = re.fullmatch(r"(\d+) passed, 0 failed, \d+ not supported", last)
    if not found:
        raise Failure(f"posix suite on {proto}:\n{answer}")
    check(int(found.group(1)) >= 500 // every, f"fewer cases than wanted: {last}")


def run_stress(vm, workers, rounds, seconds=600):
    answer = vm.shell(f"mkdir /mnt/stress; /tools/posix-stress /mnt/stress {workers} {rounds} 7", seconds)
    check("STRESS-OK" in answer.splitlines()[-1], f"stress: {answer}")
    print(f"       {answer.splitlines()[-1]}")


def check_same_sums(vm, folder, path="", seconds=300):
    """The guest's sums equal the host's, of cached contents and of contents read anew."""
    host = on_host(f"cd {folder}/work/{path} && {SUMS}").split()[0].decode()
    guest = f"cd /mnt/{path} && {SUMS}; cd /"
    check_equal(vm.shell(guest, seconds).split()[0], host, "sums that the guest has in its cache")
    vm.shell("sync; echo 3 >/proc/sys/vm/drop_caches")
    check_equal(vm.shell(guest, seconds).split()[0], host, "sums that the guest reads anew")


def make_tree(root, files):
    """Makes a tree with links, and with files of many sizes and modes."""
    rng = random.Random(1)
    for i in range(files):
        path = f"{root}/{i % 7}/{i % 5}/file-{i}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(rng.randbytes(rng.choice((0, 10, 4096, 5000, 100000))))
        os.chmod(path, rng.choice((0o600, 0o644, 0o755, 0o444)))
        os.chown(path, rng.choice((0, 1000)), rng.choice((0, 1000)))
        os.utime(path, (1_600_000_000 + i, 1_500_000_000 + i))
        if i % 10 == 0:
            os.symlink(f"file-{i}", f"{path}-link")


def check_every_kind(vm, folder, files):
    """Files of every type, mode, owner, size and time, and odd names, look as on the host."""
    root = f"{folder}/work/kinds"
    os.mkdir(root)
    for i in range(files):
        make_any_file(f"{root}/file-{i}".encode(), i)
    odd = bytes(byte for byte in range(1, 256) if byte != ord("/"))
    for name in (odd[:127], odd[127:], b"x" * 255):
        with open(root.encode() + b"/" + name, "wb") as f:
            f.write(name)
    host = on_host(f"({listing(root)}) | md5sum").split()[0].decode()
    guest = vm.shell(f"usleep 1100000; ({listing('/mnt/kinds')}) | md5sum", seconds=120).split()[0]
    if guest != host:
        with open(f"{folder}/kinds-on-host.txt", "wb") as f:
            f.write(on_host(listing(root)))
        raise Failure(f"the guest sees: {vm.shell(listing('/mnt/kinds') + '; cd /')[-3000:]}")
    vm.shell("rm -r /mnt/kinds")
    check_equal(os.listdir(f"{folder}/work").count("kinds"), 0, "folders that the guest removed")


def tar_round_trip(vm, folder, files):
    """Packs in the guest what the host made, and unpacks it on the guest and on the host."""
    make_tree(f"{folder}/work/tree", files)
    answer = vm.shell(
        "usleep 1100000; cd /mnt && tar cf tree.tar -C tree . && mkdir unpacked &&"
        " tar xf tree.tar -C unpacked && echo packed; sync; cd /",
        seconds=300,
    )
    check_equal(answer, "packed", "tar in the guest")
    os.mkdir(f"{folder}/from-tar")
    on_host(f"tar xf {folder}/work/tree.tar -C {folder}/from-tar")
    trees = [f"{folder}/work/tree", f"{folder}/work/unpacked", f"{folder}/from-tar"]
    for command in (TREE, SUMS):
        seen = {on_host(f"cd {tree} && ({command})") for tree in trees}
        check_equal(len(seen), 1, f"different trees by {command}")


def end(vm):
    vm.shell("cd /; umount /mnt")
    vm.send("poweroff -f\n")
    vm.wait(0)


# An emulated guest needs minutes for the suite. Each change runs a part of it, and --full runs all.
PART = 9


def posix_case(folder, kernel, proto, every=1):
    with writable_vm(folder, kernel, proto) as vm:
        vm.expect(READY)
        mount(vm, proto)
        run_suite(vm, proto, every)
        run_stress(vm, workers=3, rounds=1000 // every)
        check_same_sums(vm, folder, "stress")
        check_every_kind(vm, folder, files=1000 // every)
        tar_round_trip(vm, folder, files=600 // every)
        end(vm)


@case("writable-share-is-posix")
def part_on_virtiofs(folder):
    posix_case(folder, "cloud", "virtiofs", PART)


@case("writable-share-is-posix-in-all-cases", full=True)
def all_on_virtiofs(folder):
    posix_case(folder, "cloud", "virtiofs")


@case("writable-share-on-linux-6.12-is-posix-in-all-cases", full=True)
def all_on_newer(folder):
    posix_case(folder, "backports", "virtiofs")


@case("writable-share-by-9p-is-posix-in-all-cases", full=True)
def all_on_9p(folder):
    posix_case(folder, "full", "9p")


FIO_JOBS = [
    "--name=random --rw=randrw --bsrange=512-64k --size=24m",
    "--name=direct --rw=randwrite --bs=4k --size=8m --direct=1 --iodepth=8 --ioengine=libaio",
    "--name=mapped --rw=randwrite --bs=4k --size=8m --ioengine=mmap",
    "--name=parallel --rw=randwrite --bs=8k --size=4m --numjobs=4 --fsync=50",
]


def run_fio(vm):
    from_host = "/tools/fio-command"
    for job in FIO_JOBS:
        answer = vm.shell(
            f"$(cat {from_host}) --directory=/mnt/fio --verify=crc32c --do_verify=1"
            f" --verify_fatal=1 --fallocate=none --thread --minimal {job} >/fio.log 2>&1;"
            " echo status $?; grep -i -E 'verify|error' /fio.log | head -5",
            seconds=600,
        )
        check_equal(answer, "status 0", f"fio {job}")


def stress_case(folder, kernel, proto):
    import sys

    have("fio")
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lab"))
    import posix_programs

    os.makedirs(f"{folder}/tools")
    command = posix_programs.copy_dynamic("fio", f"{folder}/tools")
    with open(f"{folder}/tools/fio-command", "w", encoding="utf-8") as f:
        f.write(command)
    with writable_vm(folder, kernel, proto) as vm:
        vm.expect(READY)
        mount(vm, proto)
        vm.shell("mkdir /mnt/fio")
        run_fio(vm)
        run_stress(vm, workers=6, rounds=3000, seconds=1200)
        check_same_sums(vm, folder)
        tar_round_trip(vm, folder, files=1500)
        check_reset_under_load(vm, folder, proto)
        end(vm)


def check_reset_under_load(vm, folder, proto):
    """A guest that resets itself while it reads and writes finds the other files unchanged."""
    vm.shell(
        "mkdir /mnt/load; for i in 1 2 3 4; do (while :; do"
        " dd if=/dev/zero of=/mnt/load/$i bs=64k count=64; cat /mnt/unpacked/*/*/* >/dev/null;"
        " echo 3 >/proc/sys/vm/drop_caches; done >/dev/null 2>&1) & done;"
        " for i in 1 2 3 4; do until [ -s /mnt/load/$i ]; do usleep 10000; done; done",
        seconds=300,
    )
    vm.reboot()
    mount(vm, proto)
    check_equal(vm.shell("ls /mnt/load").split(), ["1", "2", "3", "4"], "files written to")
    vm.shell("rm -r /mnt/load")
    check_same_sums(vm, folder)


@case("writable-share-under-load", full=True)
def load_on_virtiofs(folder):
    stress_case(folder, "cloud", "virtiofs")


@case("writable-share-by-9p-under-load", full=True)
def load_on_9p(folder):
    stress_case(folder, "full", "9p")


class HostChanges(threading.Thread):
    """Makes, replaces, moves and removes files below a folder until it is stopped."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root = root
        self.outside = f"{root}-outside"
        os.mkdir(self.outside)
        self.stopped = threading.Event()
        self.rounds = 0
        for name in ("host", "away", "both", "swapped/inner"):
            os.makedirs(f"{root}/{name}", exist_ok=True)

    def run(self):
        rng = random.Random(2)
        while not self.stopped.wait(0.002):
            self.rounds += 1
            self._change(rng, f"{rng.randrange(30)}")

    def _change(self, rng, name):
        path = f"{self.root}/host/{name}"
        with open(f"{path}.new", "wb") as f:
            f.write(rng.randbytes(rng.randrange(9000)))
        os.rename(f"{path}.new", path)
        if self.rounds % 3 == 0:
            os.rename(path, f"{self.root}/away/{name}")
        if self.rounds % 5 == 0:
            shutil.rmtree(f"{self.root}/swapped", ignore_errors=True)
            # A file that the guest has just made in the folder may have kept the folder from being
            # removed.
            os.makedirs(f"{self.root}/swapped/inner", exist_ok=True)
        if self.rounds % 5 == 2:
            # Replaces a folder by a link that leads out of the share.
            os.rename(f"{self.root}/swapped", f"{self.root}/away/swapped-{self.rounds}")
            os.symlink(self.outside, f"{self.root}/swapped")
        if self.rounds % 5 == 4:
            os.unlink(f"{self.root}/swapped")
            shutil.rmtree(f"{self.root}/away/swapped-{self.rounds - 2}", ignore_errors=True)

    def stop(self):
        self.stopped.set()
        self.join()


def host_changes_case(folder, kernel, proto):
    """The guest's own files stay as it left them while the host keeps changing other files."""
    with writable_vm(folder, kernel, proto) as vm:
        changes = HostChanges(f"{folder}/work")
        vm.expect(READY)
        mount(vm, proto)
        vm.shell(
            "(while :; do ls -lR /mnt; cat /mnt/host/* /mnt/away/* /mnt/swapped/*; done"
            " >/dev/null 2>&1) & (while :; do for i in 1 2 3 4 5; do echo guest >/mnt/both/$i;"
            " mv /mnt/both/$i /mnt/host/guest-$i; touch /mnt/swapped/new; done; done"
            " >/dev/null 2>&1) & true"
        )
        changes.start()
        try:
            run_stress(vm, workers=3, rounds=1000, seconds=1200)
        finally:
            changes.stop()
        vm.shell("kill %1 %2; wait; usleep 1500000")
        print(f"       changes on the host meanwhile: {changes.rounds}")
        check_equal(os.listdir(changes.outside), [], "files outside of the share")
        check(changes.rounds > 100, "the host changed hardly anything")
        check_same_sums(vm, folder)
        names = "find . | LC_ALL=C sort | md5sum"
        check_equal(
            vm.shell(f"cd /mnt && {names}; cd /").split()[0],
            on_host(f"cd {folder}/work && {names}").split()[0].decode(),
            "names",
        )
        end(vm)


@case("writable-share-under-host-changes", full=True)
def host_changes_on_virtiofs(folder):
    host_changes_case(folder, "cloud", "virtiofs")


@case("writable-share-by-9p-under-host-changes", full=True)
def host_changes_on_9p(folder):
    host_changes_case(folder, "full", "9p")
