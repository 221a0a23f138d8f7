"""Writable shares in typical use: around mount(2), below an overlay, with sync and with mmap."""

import os
import re
import shutil
import stat

from cases_fs import counters, share_config, write
from harness import READY, Api, Vm, case, check, check_equal, guest_files, guests

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_FILES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools", "guest")
OVERLAY = (
    "mount -t overlay -o userxattr,lowerdir=/low/top:/low/base,upperdir=/mnt/upper,"
    "workdir=/mnt/work overlay /ov"
)


def make_lower(folder):
    """Makes two layers. A directory of the first is opaque, by a user.* attribute."""
    write(f"{folder}/base/file", b"of the lower layer\n")
    write(f"{folder}/base/dir/a", b"a\n")
    write(f"{folder}/base/dir/b", b"b\n")
    write(f"{folder}/base/again/old", b"old\n")
    write(f"{folder}/base/opaque/hidden", b"hidden\n")
    write(f"{folder}/top/opaque/shown", b"shown\n")
    os.setxattr(f"{folder}/top/opaque", "user.overlay.opaque", b"y")
    write(f"{folder}/base/set-id", b"#!/bin/sh\necho of the lower layer\n")
    os.chown(f"{folder}/base/set-id", 1000, 100)
    os.chmod(f"{folder}/base/set-id", 0o6755)


def use_case(folder, kernel):
    for name in ("work", "uncached"):
        os.mkdir(f"{folder}/{name}")
    make_lower(f"{folder}/lower")
    shutil.copytree(guests()["posix-programs"], f"{folder}/tools")
    shutil.copy(f"{GUEST_FILES}/virtiofs-read-ahead", f"{folder}/tools")
    config = share_config(
        kernel,
        [
            {"tag": "work", "path": f"{folder}/work"},
            {"tag": "lower", "path": f"{folder}/lower", "readonly": True},
            {"tag": "tools", "path": f"{folder}/tools", "readonly": True},
            {"tag": "uncached", "path": f"{folder}/uncached", "cache": "never"},
        ],
    )
    config["payload"]["kernel"] = guest_files(kernel)["vmlinux"]
    api = Api(f"{folder}/api.sock")
    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell(
            "mkdir /mnt /low /tools /uncached /ov; mount -t virtiofs -o ro lower /low;"
            " mount -t virtiofs -o ro tools /tools; mount -t virtiofs uncached /uncached"
        )
        check_late_answer(vm, folder)
        check_read_ahead_helper(vm)
        check_sync(vm, api)
        check_overlay_upper(vm, folder)
        check_shared_mappings(vm, kernel)
        vm.send("poweroff -f\n")
        vm.wait(0)


# The number of a mount in the kernel's name for it in /sys/class/bdi, without a request to the
# share.
NUMBER = "$(grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f3)"


def read_ahead(vm):
    return vm.shell(f"cat /sys/class/bdi/{NUMBER}/read_ahead_kb")


def check_late_answer(vm, folder):
    """A setting between mount(2) and the share's answer to INIT is kept."""
    vm.shell("mount -t virtiofs work /mnt; ls /mnt; umount /mnt")
    with vm.stopped_thread("share0"):
        vm.shell(f"mount -t virtiofs work /mnt; echo 1024 >/sys/class/bdi/{NUMBER}/read_ahead_kb")
        check_equal(read_ahead(vm), "1024", "read-ahead before the answer")
        vm.shell("(umask 077; mkdir /mnt/early; echo x >/mnt/early/file; sync) & usleep 200000")
        check_equal(os.listdir(f"{folder}/work"), [], "files made by a thread that stands still")
    vm.shell("wait; cat /mnt/early/file")
    check_equal(read_ahead(vm), "1024", "read-ahead after the answer")
    early = os.stat(f"{folder}/work/early")
    check_equal(oct(early.st_mode), "0o40700", "mode of what was made before the answer")
    with vm.stopped_thread("share0"):
        vm.shell("(umount /mnt; mount -t virtiofs work /mnt; umount /mnt) & usleep 200000")
    answer = vm.shell("wait; mount -t virtiofs work /mnt; cat /mnt/early/file; rm -r /mnt/early")
    check_equal(answer, "x", "file after mounts that were undone before the answer")


def check_read_ahead_helper(vm):
    """The program for udev waits for the mount, and leaves mounts other than virtio-fs alone."""
    helper = "/tools/virtiofs-read-ahead"
    # The kernel gives a freed number to the next mount.
    answer = vm.shell(
        "umount /mnt; mount -t tmpfs next /mnt; next="
        f"{NUMBER}; {helper} $next; echo status $?; umount /mnt;"
        f" {helper} $next & usleep 300000; mount -t virtiofs work /mnt; wait; echo $next {NUMBER}"
    ).split()
    check_equal(answer[:2], ["status", "0"], "the program for a mount of another type")
    check_equal(answer[2], answer[3], "number of the mount that the program has waited for")
    check_equal(read_ahead(vm), "1024", "read-ahead set by the program")
    vm.shell(f"echo 2048 >/sys/class/bdi/{NUMBER}/read_ahead_kb; {helper} {NUMBER}")
    check_equal(read_ahead(vm), "2048", "read-ahead that was larger")


def check_sync(vm, api):
    """sync and syncfs in the guest run syncfs on the host."""
    before = counters(api)
    vm.shell("echo durable >/mnt/synced; sync; rm /mnt/synced; sync")
    after = counters(api)
    for name in ("syncfs", "host_syncs"):
        check_equal(after[name] - before[name], 2, f"{name} by two syncs of the guest")


def is_whiteout(path):
    status = os.lstat(path)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def check_overlay_upper(vm, folder):
    """One share is the upper layer of an overlay, and another share has the lower layers."""
    upper = f"{folder}/work/upper"
    mounted = vm.shell(f"mkdir /mnt/upper /mnt/work; {OVERLAY}; grep -c ' /ov overlay rw' /proc/mounts")
    check_equal(mounted, "1", "overlay with a share as its upper layer")
    check_equal(vm.shell("ls /ov/opaque"), "shown", "opaque directory of a lower layer")
    vm.shell("rm /ov/file; mv /ov/dir/a /ov/moved; rm -r /ov/again; mkdir /ov/again")
    vm.shell("echo more >>/ov/dir/b; touch /ov/set-id")
    for name in ("file", "dir/a"):
        check(is_whiteout(f"{upper}/{name}"), f"no whiteout {name} in the upper layer")
    opaque = os.getxattr(f"{upper}/again", "user.overlay.opaque")
    check_equal(opaque, b"y", "attribute of a directory made anew")
    see = "cd /ov; ls . again dir; cat moved dir/b; stat -c '%u %a' set-id; tail -n1 set-id; cd /"
    seen = vm.shell(see).split("\n")
    print(f"       a set-id file after copy-up: {seen[-2]}")
    # The owner of a file that is copied up is set last, which clears the set-id bits.
    check_equal(seen[-2:], ["1000 755", "echo of the lower layer"], "set-id file, copied up")
    vm.shell("chmod 6755 /ov/set-id")
    check_equal(os.stat(f"{upper}/set-id").st_mode & 0o7777, 0o6755, "set-id bits set again")
    vm.shell("umount /ov; echo 3 >/proc/sys/vm/drop_caches")
    again = vm.shell(f"{OVERLAY}; {see}").split("\n")
    check_equal(again, [*seen[:-2], "1000 6755", seen[-1]], "the overlay mounted again")
    check("hidden" not in vm.shell("ls /ov/opaque /ov/again"), "names below opaque directories")
    vm.shell("umount /ov")


def check_shared_mappings(vm, kernel):
    """Files can be mapped to be written without the guest's cache too, if Linux supports it."""
    if kernel == "cloud":  # before 6.6
        return
    answer = vm.shell("/tools/posix-suite --on virtiofs --only mmap /uncached", seconds=600)
    check(re.search(r"[1-9]\d* passed, 0 failed, 0 not supported$", answer), f"mmap: {answer}")


@case("writable-share-as-guests-use-it")
def on_stable(folder):
    use_case(folder, "cloud")


@case("writable-share-as-guests-use-it-on-linux-6.12", full=True)
def on_newer(folder):
    use_case(folder, "backports")
