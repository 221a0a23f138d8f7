"""Shares by 9p: the same store, closure and answers as by virtio-fs, in the words of 9P2000.L."""

import os

from cases_fs import (
    APP,
    LATER,
    check_content,
    check_grows,
    check_hidden,
    check_overlay,
    check_reload,
    check_writes_refused,
    counters,
    make_store,
    share_config,
)
from harness import READY, Api, Vm, case, check, check_equal, guest_files

OPTIONS = "trans=virtio,version=9p2000.L,cache=loose,msize=512000"
BIG_DIRECTORY = 1500


def fill_big_directory(store):
    """Makes a directory whose names fill several messages, in the path that appears last."""
    folder = f"{store}/{LATER}/big-directory"
    os.mkdir(folder)
    for i in range(BIG_DIRECTORY):
        with open(f"{folder}/an-entry-with-a-name-of-some-length-{i}", "wb"):
            pass


@case("share-by-9p")
def share_by_9p(folder):
    """One store by both protocols at once; the guest's kernel is one that has 9p."""
    store, closure = make_store(folder)
    fill_big_directory(store)
    share = {"tag": "store", "path": store, "closure": closure, "readonly": True, "proto": "9p"}
    beside = {**share, "tag": "beside", "proto": "virtiofs"}
    api = Api(f"{folder}/api.sock")
    config = share_config("full", [share, beside])
    config["payload"]["kernel"] = guest_files("full")["vmlinux"]  # nothing to unpack
    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell(f"mkdir -p /mnt /beside; mount -t 9p -o ro,{OPTIONS} store /mnt")
        check_hidden(vm)
        check_content(vm, folder)
        check_warm(vm, api)
        check_beside(vm)
        check_writes_refused(vm)
        check_grows(vm, folder)
        check_reload(vm, api, folder)
        check_big_directory(vm)
        check_overlay(vm)
        vm.shell("umount /ov /mnt")
        check_equal(counters(api)["fids"], 0, "fids after the share was unmounted")
        check_equal(counters(api)["nodes"], 1, "nodes after the share was unmounted")
        vm.shell(f"mount -t 9p -o ro,{OPTIONS} store /mnt")
        check_equal(vm.shell(f"cat /mnt/{APP}/many/0/0"), "file 0", "after another mount")
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_big_directory(vm):
    listed = vm.shell(f"ls /mnt/{LATER}/big-directory | sort -u | wc -l; cd /")
    check_equal(listed, str(BIG_DIRECTORY), "names in a big directory")


def check_warm(vm, api):
    """What was read once is not read again; 9p still opens and lists each time."""
    walk = "find /mnt -type f -exec cat {} + | md5sum; ls -lR /mnt | md5sum"
    vm.shell(walk, seconds=120)
    before = counters(api)
    vm.shell(walk, seconds=120)
    after = counters(api)
    spent = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    print(f"       a warm walk by 9p: {spent}")
    check_equal(spent.get("read", 0), 0, "reads of a warm walk")
    check_equal(spent.get("getattr", 0), 0, "getattrs of a warm walk")
    check(spent["lopen"] > 200, f"fewer opens than files: {spent}")


def check_beside(vm):
    """The other protocol shows the same at the same time."""
    vm.shell("mount -t virtiofs -o ro beside /beside")
    shown = f"cd %s/{APP} && cat bin/hello lib/libx.so && ls -l . many/7; cd /"
    check_equal(vm.shell(shown % "/beside"), vm.shell(shown % "/mnt"), "files by both protocols")
