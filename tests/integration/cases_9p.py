"""Shares by 9p: store, closure and results as by virtio-fs, with the messages of 9P2000.L."""

import contextlib
import hashlib
import os
import shutil
import stat
import time

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
from harness import (
    READY,
    Api,
    Vm,
    case,
    check,
    check_equal,
    guest_files,
    have,
    new_image,
    run,
    wait_until,
)

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
    """Shares one store by both protocols at once. The guest's kernel supports 9p."""
    store, closure = make_store(folder)
    fill_big_directory(store)
    share = {"tag": "store", "path": store, "closure": closure, "readonly": True, "proto": "9p"}
    beside = {**share, "tag": "beside", "proto": "virtiofs"}
    api = Api(f"{folder}/api.sock")
    config = share_config("full", [share, beside])
    # an uncompressed kernel starts faster
    config["payload"]["kernel"] = guest_files("full")["vmlinux"]
    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell(f"mkdir -p /mnt /beside; mount -t 9p -o ro,{OPTIONS} store /mnt")
        check_hidden(vm, folder)
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
    """What was read once is not read again. Each use still opens files and lists directories."""
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
    """The other protocol shows the same files at the same time."""
    vm.shell("mount -t virtiofs -o ro beside /beside")
    shown = f"cd %s/{APP} && cat bin/hello lib/libx.so && ls -l . many/7; cd /"
    check_equal(vm.shell(shown % "/beside"), vm.shell(shown % "/mnt"), "files by both protocols")


# --- writable shares ------------------------------------------------------------------------------

WRITABLE = "trans=virtio,version=9p2000.L,msize=512000"


def make_work(folder):
    """Makes a directory in which guests write, and returns its path."""
    work = f"{folder}/work"
    for name, mode in (("", 0o755), ("open", 0o1777), ("group", 0o2777), ("doomed", 0o755)):
        os.makedirs(f"{work}/{name}", exist_ok=True)
        os.chmod(f"{work}/{name}", mode)
    os.chown(f"{work}/group", 0, 99)
    os.chmod(f"{work}/group", 0o2777)
    for name in ("open/roots", "doomed/file"):
        with open(f"{work}/{name}", "wb") as f:
            f.write(b"of the host\n")
    return work


def status(work, name):
    """Returns (mode, owner, group) of a file on the host."""
    s = os.lstat(f"{work}/{name}")
    return stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid


def content(work, name):
    with open(f"{work}/{name}", "rb") as f:
        return f.read()


def md5(work, name):
    return hashlib.md5(content(work, name)).hexdigest()


@case("9p-share-can-be-changed")
def writable_by_9p(folder):
    """The guest's changes appear on the host, and the host's changes appear in the guest."""
    work = make_work(folder)
    share = {"tag": "work", "path": work, "readonly": False, "proto": "9p", "cache": "never"}
    beside = {**share, "tag": "beside", "proto": "virtiofs"}
    frozen = {**beside, "tag": "frozen", "path": f"{folder}/frozen"}
    api = Api(f"{folder}/api.sock")
    config = share_config("full", [share, beside, frozen])
    config["payload"]["kernel"] = guest_files("full")["vmlinux"]
    with own_file_system(folder, frozen["path"]), Vm(
        folder, config, "--api-socket", api.path
    ) as vm:
        vm.expect(READY)
        vm.shell(f"mkdir -p /mnt /beside /etc; mount -t 9p -o {WRITABLE},cache=none work /mnt")
        vm.shell("echo user:x:1234:4321::/:/bin/sh >/etc/passwd; echo them:x:4321: >/etc/group")
        check_owners_and_modes(vm, work)
        check_contents(vm, work)
        check_names(vm, work)
        check_open_files(vm, work)
        check_doomed(vm, work)
        check_both_protocols(vm, work)
        check_cached(vm, api, work)
        check_frozen(vm, work, frozen["path"])
        vm.shell("umount /beside /mnt /frozen")
        for counter, wanted in (("fids", 0), ("nodes", 1), ("open_files", 0)):
            check_equal(counters(api)[counter], wanted, f"{counter} after the share was unmounted")
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_owners_and_modes(vm, work):
    vm.shell("su user -c 'umask 027; echo mine >/mnt/open/own; mkdir /mnt/open/folder'")
    check_equal(status(work, "open/own"), (0o640, 1234, 4321), "a file made by a user")
    check_equal(status(work, "open/folder"), (0o750, 1234, 4321), "a directory made by a user")
    vm.shell("su user -c 'umask 022; echo x >/mnt/group/own; mkdir /mnt/group/folder'")
    check_equal(status(work, "group/own"), (0o644, 1234, 99), "a file in a set-group-id directory")
    check_equal(status(work, "group/folder"), (0o2755, 1234, 99), "a directory in one")
    answer = vm.shell("su user -c 'rm -f /mnt/open/roots; echo x >/mnt/open/roots; echo >/mnt/no'")
    check("not permitted" in answer, f"removing root's file from a sticky directory: {answer!r}")
    check(answer.count("Permission denied") == 2, f"writing root's file, or at the root: {answer!r}")
    check_equal(content(work, "open/roots"), b"of the host\n", "root's file")
    vm.shell("chown 7:8 /mnt/open/own; chmod 4711 /mnt/open/own; chown -h 9 /mnt/open/roots")
    check_equal(status(work, "open/own"), (0o4711, 7, 8), "after chown and chmod")
    vm.shell("touch -d @1234567890 /mnt/open/own")
    check_equal(os.stat(f"{work}/open/own").st_mtime_ns, 1234567890 * 10**9, "time that was set")


def check_contents(vm, work):
    sums = vm.shell("dd if=/dev/urandom of=/mnt/big bs=1M count=8 2>/dev/null; md5sum </mnt/big")
    check_equal(sums.split()[0], md5(work, "big"), "8 MiB that the guest wrote")
    vm.shell("dd if=/dev/zero of=/mnt/big bs=999 seek=1000 count=7 conv=notrunc 2>/dev/null")
    check_equal(vm.shell("md5sum </mnt/big").split()[0], md5(work, "big"), "written in the middle")
    vm.shell("truncate -s 1000000 /mnt/big; truncate -s 5000000000 /mnt/sparse")
    check_equal(os.path.getsize(f"{work}/big"), 1000000, "size of what was cut")
    check_equal(os.path.getsize(f"{work}/sparse"), 5000000000, "size of what was grown")
    with open(f"{work}/big", "ab") as f:
        f.write(b"of the host")
    check_equal(vm.shell("tail -c 11 /mnt/big"), "of the host", "what the host has appended")
    vm.shell(
        "for p in a b c d; do (for i in $(seq 25); do echo $p$i >>/mnt/log; done) & done; wait"
    )
    wanted = sorted(f"{p}{i}".encode() for p in "abcd" for i in range(1, 26))
    check_equal(sorted(content(work, "log").split()), wanted, "lines that were appended at once")
    vm.shell("rm /mnt/sparse; sync")


def check_names(vm, work):
    vm.shell("cd /mnt/open; ln -s ../big soft; ln own hard; mkfifo pipe; mv own moved; cd /")
    check_equal(os.readlink(f"{work}/open/soft"), "../big", "target of a symbolic link")
    check_equal(os.stat(f"{work}/open/moved").st_nlink, 2, "names of a file with two")
    check(stat.S_ISFIFO(os.lstat(f"{work}/open/pipe").st_mode), "no pipe was made")
    check_equal(vm.shell("echo hello >/mnt/open/pipe & cat /mnt/open/pipe; wait"), "hello", "pipe")
    vm.shell("mkdir -p /mnt/open/a/b; echo in >/mnt/open/a/b/c; mv /mnt/open/a /mnt/open/folder/")
    check_equal(content(work, "open/folder/a/b/c"), b"in\n", "file in a directory that was moved")
    check_equal(vm.shell("cat /mnt/open/folder/a/b/c"), "in", "the same in the guest")
    answer = vm.shell("rmdir /mnt/open/folder; mv /mnt/open /mnt/open/folder/x; mkdir /mnt/big")
    for text in ("not empty", "Invalid argument", "File exists"):
        check(text in answer, f"no {text!r} in {answer!r}")
    vm.shell("rm -r /mnt/open/folder /mnt/open/soft /mnt/open/hard /mnt/open/pipe")
    check_equal(sorted(os.listdir(f"{work}/open")), ["moved", "roots"], "names that are left")


def check_open_files(vm, work):
    """Files without a name can be used until they are closed."""
    vm.shell("echo one >/mnt/old; echo two >/mnt/new; exec 3</mnt/old 4>>/mnt/old 5</mnt/old")
    vm.shell("mv /mnt/new /mnt/old")
    check_equal(vm.shell("cat /mnt/old; echo more >&4; cat <&3").split(), ["two", "one", "more"], "")
    check_equal(content(work, "old"), b"two\n", "what has replaced it")
    vm.shell("exec 3<&- 4>&-; exec 3<>/mnt/gone; rm /mnt/gone; echo kept >&3; chmod 600 /proc/self/fd/3")
    check_equal(vm.shell("cat /proc/self/fd/5; stat -L -c %h /proc/self/fd/5").split()[-1], "0", "")
    check(not os.path.exists(f"{work}/gone"), "the file is there still")
    vm.shell("exec 3<&- 5<&-")


def check_doomed(vm, work):
    """The host deletes a directory while the guest uses it."""
    vm.shell("cd /mnt/doomed; exec 3<file")
    shutil.rmtree(f"{work}/doomed")
    answer = vm.shell("ls; echo x >new; mkdir sub; cat <&3; cd /; exec 3<&-; ls -d /mnt/doomed")
    check("of the host" in answer, f"the open file is gone: {answer!r}")
    errors = sum(answer.count(text) for text in ("No such file", "nonexistent", "Stale"))
    check(errors >= 3, f"too few errors: {answer!r}")
    vm.shell("mkdir /mnt/doomed; echo again >/mnt/doomed/file")
    check_equal(content(work, "doomed/file"), b"again\n", "file in the directory made anew")


def check_both_protocols(vm, work):
    vm.shell("mount -t virtiofs beside /beside; echo by 9p >/mnt/both")
    check_equal(vm.shell("cat /beside/both; echo by fs >>/beside/both; cat /mnt/both"),
                "by 9p\nby 9p\nby fs", "a file by both protocols")
    vm.shell("mkdir /beside/x; mv /mnt/both /mnt/x/moved; rm /beside/log")
    check_equal(content(work, "x/moved"), b"by 9p\nby fs\n", "the same on the host")
    check_equal(vm.shell("ls /mnt/log 2>&1").count("No such file"), 1, "what was removed beside")


def check_cached(vm, api, work):
    """The same holds with caches in the guest, which keep a fid open for each written file."""
    vm.shell(f"umount /mnt && mount -t 9p -o {WRITABLE},cache=loose work /mnt")
    check_equal(vm.shell("md5sum </mnt/big").split()[0], md5(work, "big"), "after another mount")
    vm.shell(
        "mkdir /mnt/many; for i in $(seq 300); do echo file $i >/mnt/many/$i; done;"
        " chmod 444 /mnt/many/7; dd if=/dev/urandom of=/mnt/cached bs=64k count=50; sync",
        seconds=300,
    )
    check_equal(sorted(map(int, os.listdir(f"{work}/many"))), list(range(1, 301)), "files made")
    for i in (1, 7, 300):
        check_equal(content(work, f"many/{i}"), f"file {i}\n".encode(), "content of a file")
    check_equal(vm.shell("md5sum </mnt/cached").split()[0], md5(work, "cached"), "from the cache")
    check(counters(api)["write"] > 300, f"too few writes: {counters(api)['write']}")
    vm.shell("rm -r /mnt/many", seconds=300)
    check(not os.path.exists(f"{work}/many"), "the directory is there still")


@contextlib.contextmanager
def own_file_system(folder, path):
    """Mounts a new file system at `path`."""
    have("mke2fs", "fsfreeze")
    run("mke2fs", "-q", "-t", "ext4", new_image(f"{folder}/frozen.raw", 32 << 20))
    os.mkdir(path)
    run("mount", "-o", "loop", f"{folder}/frozen.raw", path)
    try:
        yield
    finally:
        run("umount", path)


def check_frozen(vm, work, frozen):
    """A file system of the host that hangs blocks its share, but no other share nor the console."""
    vm.shell("mkdir /frozen; mount -t virtiofs frozen /frozen; echo early >/frozen/early")
    run("fsfreeze", "-f", frozen)
    try:
        vm.shell("(echo late >/frozen/late) & true")
        wait_until(lambda: "share2 D" in vm.threads(), "the share's thread waits for the host", 60)
        vm.shell("echo meanwhile >/mnt/meanwhile; cp /mnt/meanwhile /beside/copy")
        check_equal(content(work, "copy"), b"meanwhile\n", "file by the other shares")
        check(not os.path.exists(f"{frozen}/late"), "the file system is not frozen")
    finally:
        run("fsfreeze", "-u", frozen)
    late = f"{frozen}/late"
    wait_until(lambda: os.path.exists(late) and os.path.getsize(late) > 0, "the guest's write", 60)
    # The job that wrote has ended by now, or it ends while the shell waits for its next command.
    time.sleep(1)
    check_equal(vm.shell("wait; cat /frozen/late"), "late", "file once the host goes on")
