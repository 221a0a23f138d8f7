"""Shares: the guest sees only the closure of a store, and requests it only once."""

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time

from harness import (
    READY,
    Api,
    Failure,
    Vm,
    case,
    check,
    check_equal,
    guest_files,
    have,
    vm_config,
    vmm_path,
)

SECRET = "secret-of-another-machine"
APP = "1a-app"
LIBRARY = "2b-library"
HIDDEN = "3c-hidden"
LATER = "4d-later"
LATEST = "6f-latest"


def write(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def make_store(folder):
    """Makes a store of four paths; returns (store, closure file that lists the first two)."""
    store = f"{folder}/store"
    write(f"{store}/{APP}/bin/hello", b"#!/bin/sh\necho hello from the store\n", 0o755)
    os.symlink(f"/mnt/{LIBRARY}/lib", f"{store}/{APP}/lib")
    os.symlink(f"/mnt/{HIDDEN}/key", f"{store}/{APP}/to-hidden")
    os.symlink(f"../../{HIDDEN}/key", f"{store}/{APP}/up-to-hidden")
    os.symlink(f"{store}/{HIDDEN}/key", f"{store}/{APP}/host-path-of-hidden")
    write(f"{store}/{APP}/empty", b"")
    write(f"{store}/{APP}/big", bytes(range(256)) * (3 << 12))  # 3 MiB
    for i in range(200):
        write(f"{store}/{APP}/many/{i % 10}/{i}", f"file {i}\n".encode())
    write(f"{store}/{LIBRARY}/lib/odd-\udcff\\name".encode("utf-8", "surrogateescape"), b"odd\n")
    write(f"{store}/{LIBRARY}/lib/libx.so", b"library\n")
    write(f"{store}/{HIDDEN}/key", SECRET.encode())
    write(f"{store}/{LATER}/later", b"built later\n")
    write(f"{store}/{LATEST}/latest", b"built last\n")
    write_closure(folder, APP, LIBRARY)
    return store, f"{folder}/store-paths"


def write_closure(folder, *names):
    """Replaces the closure file, as a rebuild of a system does."""
    with open(f"{folder}/store-paths.new", "w", encoding="ascii") as f:
        f.writelines(f"/nix/store/{name}\n" for name in names)
    os.rename(f"{folder}/store-paths.new", f"{folder}/store-paths")


def share_config(kernel, shares):
    config = vm_config(kernel, fs=shares)
    config["payload"]["initramfs"] = guest_files(kernel)["share-initrd"]
    return config


def store_vm(folder, kernel, *options, **keys):
    store, closure = make_store(folder)
    share = {"tag": "store", "path": store, "closure": closure, "readonly": True, **keys}
    api_socket = f"{folder}/api.sock"
    vm = Vm(folder, share_config(kernel, [share]), "--api-socket", api_socket, *options)
    return vm, Api(api_socket)


def counters(api):
    status, all_counters = api.call("GET", "vm.counters")
    check_equal(status, 200, "vm.counters")
    return all_counters["_fs0"]


def requests_below_root(api):
    return counters(api)["requests_below_root"]


def check_hidden(vm, folder):
    """Tries everything that root in the guest can do to reach files outside the closure."""
    check_equal(vm.shell("ls /mnt").split(), [APP, LIBRARY], "names at the root of the share")
    check_equal(vm.shell("ls -a /mnt").split(), [".", "..", APP, LIBRARY], "with dots")
    for path in (
        f"/mnt/{HIDDEN}/key",
        f"/mnt/{APP}/../{HIDDEN}/key",
        f"/mnt/{APP}/to-hidden",
        f"/mnt/{APP}/up-to-hidden",
        f"/mnt/{APP}/host-path-of-hidden",
        f"/mnt/../{HIDDEN}/key",
    ):
        answer = vm.shell(f"cat '{path}'; ls -ld '{os.path.dirname(path)}/key'")
        check(SECRET not in answer and "No such file" in answer, f"{path}: {answer!r}")
    found = vm.shell(f"grep -r {SECRET[:6]} /mnt; find /mnt -name 'key*' -o -name '*hidden'")
    check(SECRET not in found, f"found by search: {found!r}")
    inodes = vm.shell("stat -c %i /mnt /mnt/.. | uniq -d")
    check_equal(inodes, "", "the parent of the share's root is the guest's own")
    check_links_and_handles(vm, folder)


def check_links_and_handles(vm, folder):
    """Hard links, and file handles that are forged or changed, do not lead to hidden files."""
    answer = vm.shell(
        f"ln /mnt/{HIDDEN}/key /tmp/key; ln /mnt/{APP}/empty /mnt/{HIDDEN};"
        f" ln /mnt/{APP}/to-hidden /mnt/{APP}/l; ls /tmp/key /mnt/{HIDDEN} /mnt/{APP}/l"
    )
    check(answer.count("No such file") >= 4 and SECRET not in answer, f"hard links: {answer!r}")
    inode = os.stat(f"{folder}/store/{HIDDEN}/key").st_ino
    answer = vm.shell(f"try-handles /mnt {APP}/empty {HIDDEN} {SECRET} {inode}")
    # Linux has no file handles on 9p. On virtio-fs it has handles of the files that it knows.
    ended = re.search(r"^own handle: .*\s\d{4} handles tried, \d+ opened, 0 found$", answer)
    check(ended, f"file handles: {answer!r}")


def check_writes_refused(vm):
    vm.shell("mount -o remount,rw /mnt")
    answer = vm.shell(
        f"echo x >/mnt/new; mkdir /mnt/{APP}/new; rm /mnt/{APP}/empty; mv /mnt/{APP} /mnt/x;"
        f" echo x >>/mnt/{APP}/empty; ln -s x /mnt/{APP}/l; chmod 777 /mnt/{APP}/empty"
    )
    check_equal(answer.count("Read-only file system"), 7, f"refused writes ({answer!r})")
    vm.shell("mount -o remount,ro /mnt")


def check_content(vm, folder):
    store = f"{folder}/store"
    check_equal(vm.shell(f"/mnt/{APP}/bin/hello"), "hello from the store", "program in the store")
    check_equal(vm.shell(f"cat /mnt/{APP}/lib/libx.so"), "library", "file behind a symbolic link")
    check_equal(vm.shell(f"cat /mnt/{LIBRARY}/lib/odd*"), "odd", "name that is no UTF-8")
    check_equal(
        vm.shell(f"md5sum </mnt/{APP}/big").split()[0],
        os.popen(f"md5sum <{store}/{APP}/big").read().split()[0],
        "sum of a file",
    )
    listing = f"cd %s/{APP}/many && find . | sort | md5sum"
    check_equal(
        vm.shell(listing % "/mnt").split()[0],
        os.popen(f"LC_ALL=C; export LC_ALL; {listing % store}").read().split()[0],
        "names below",
    )
    status = f"stat -c '%a %h %s %u %g %Y %F' %s/{APP}/bin/hello %s/{APP}/to-hidden %s/{APP}/many"
    status = status.replace("%s/", "@/").replace("@", "{0}")
    check_equal(
        vm.shell(status.format("/mnt")), os.popen(status.format(store)).read().strip(), "attributes"
    )


@case("share-shows-the-closure-only")
def closure_only(folder):
    vm, api = store_vm(folder, "cloud")
    with vm:
        vm.expect(READY)
        vm.shell("mkdir -p /mnt; mount -t virtiofs -o ro store /mnt")
        check_hidden(vm, folder)
        check_content(vm, folder)
        check_warm(vm, api)
        check_writes_refused(vm)
        check_grows(vm, folder)
        check_reload(vm, api, folder)
        check_overlay(vm)
        check_warm_overlay(vm, api)
        # After this no file is in use any more, and a new mount starts with empty caches.
        vm.shell("umount /ov /mnt && mount -t virtiofs -o ro store /mnt")
        check_equal(vm.shell(f"cat /mnt/{APP}/many/0/0"), "file 0", "after another mount")
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_warm(vm, api):
    """What was read once causes no further request below the root."""
    walk = "find /mnt -type f -exec cat {} + | md5sum; ls -lR /mnt | md5sum; test -e /mnt/1a-app/no"
    vm.shell(walk)
    vm.shell(walk)  # the second walk caches readlink and negative names
    before = requests_below_root(api)
    vm.shell(walk)
    check_equal(requests_below_root(api) - before, 0, "requests of a warm walk below the root")


def check_grows(vm, folder):
    """A path that is added to the closure appears without a new mount."""
    check("No such file" in vm.shell(f"cat /mnt/{LATER}/later"), "the path is there already")
    write_closure(folder, LATER)
    vm.signal(signal.SIGHUP)
    answer = vm.shell(
        f"for i in $(seq 50); do cat /mnt/{LATER}/later 2>/dev/null && break; usleep 100000; done"
    )
    check_equal(answer, "built later", "file of the path that was added")
    names = vm.shell("usleep 1100000; ls /mnt").split()
    check_equal(sorted(names), [APP, LIBRARY, LATER], "names after the closure grew")


def check_reload(vm, api, folder):
    """The control socket returns the error of a closure, or how many paths were added."""
    write_closure(folder, LATEST, "7g-never-built")
    status, errors = api.call("PUT", "vm.reload-closures")
    check(
        status == 500 and len(errors) == 1 and "7g-never-built, which is not in" in errors[0],
        f"closure with a path that is not there: {status} {errors}",
    )
    check_equal(vm.shell(f"ls -d /mnt/{LATEST} 2>/dev/null"), "", "path of a refused closure")
    write_closure(folder, LATER, LATEST)
    status, shares = api.call("PUT", "vm.reload-closures")
    gained = {added["paths_added"] for added in shares.values()} if status == 200 else errors
    check_equal((status, gained), (200, {1}), "reload of a closure with one path more")
    check_equal(vm.shell(f"cat /mnt/{LATEST}/latest"), "built last", "file of that path")
    _, shares = api.call("PUT", "vm.reload-closures")
    check_equal({added["paths_added"] for added in shares.values()}, {0}, "paths, once more")


def check_overlay(vm):
    """Uses a RAM disk over the store, as stage 1 of NixOS does."""
    vm.shell("mkdir -p /rw /ov; mount -t tmpfs tmpfs /rw; mkdir /rw/upper /rw/work")
    vm.shell("mount -t overlay -o lowerdir=/mnt,upperdir=/rw/upper,workdir=/rw/work overlay /ov")
    vm.shell(f"echo changed >/ov/{APP}/empty; echo new >/ov/new; rm /ov/{APP}/many/1/1")
    check_equal(vm.shell(f"cat /ov/{APP}/empty /ov/new").split(), ["changed", "new"], "overlay")
    check_equal(
        vm.shell(f"cat /ov/{APP}/bin/hello | tail -1"), "echo hello from the store", "lower"
    )
    check_equal(vm.shell(f"ls /ov/{APP}/many/1 | wc -l"), "19", "entries after one was removed")


def check_warm_overlay(vm, api):
    """An overlay that has seen its lower layer sends no request either, even for attributes."""
    walk = "find /ov -type f -exec cat {} + | md5sum; ls -lR /ov | md5sum; test -e /ov/1a-app/no"
    vm.shell(walk)
    vm.shell(walk)
    before = requests_below_root(api)
    vm.shell(walk)
    check_equal(requests_below_root(api) - before, 0, "requests of a warm walk by an overlay")


@case("share-on-linux-6.12")
def newer_kernel(folder):
    vm, api = store_vm(folder, "backports", num_queues=2)
    with vm:
        vm.expect(READY)
        vm.shell("mkdir -p /mnt; mount -t virtiofs -o ro store /mnt")
        check_hidden(vm, folder)
        check_content(vm, folder)
        check_warm(vm, api)
        # A guest that resets itself while it reads starts with an empty device.
        vm.shell(
            "for i in 1 2 3; do while :; do echo 3 >/proc/sys/vm/drop_caches;"
            f" cat /mnt/{APP}/big /mnt/{APP}/many/*/* >/dev/null; done & done; usleep 500000"
        )
        vm.reboot()
        vm.shell("mkdir -p /mnt; mount -t virtiofs -o ro store /mnt")
        check_hidden(vm, folder)
        vm.send("poweroff -f\n")
        vm.wait(0)


FORMAT = "%n %f %s %u %g %h %Y %t %T"
SUMS = r"find . -type f -size -9 -exec md5sum {} + | LC_ALL=C sort | md5sum"
KINDS = {0: "regular", 1: "directory", 2: "symlink", 3: "fifo", 4: "socket", 5: "character"}


def make_any_file(path, i):
    """Makes a file of the i-th kind, with its own mode, owner and times."""
    kind = KINDS[i % len(KINDS)]
    if kind == "regular":
        with open(path, "wb") as f:
            f.write(bytes([i % 256]) * (i * 37 % 5000))
            if i % 60 == 0:
                f.truncate((i << 20) * 5 + i)  # sparse, up to 5 GiB
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(b"target-%d" % i, path)
    else:
        kinds = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "character": stat.S_IFCHR}
        os.mknod(path, kinds[kind] | 0o600, os.makedev(i % 400, i * 7919 % (1 << 20)))
    os.chown(path, i * 31 % 70000, i * 17 % 70000, follow_symlinks=False)
    if kind != "symlink":
        os.chmod(path, i * 73 % 0o10000)
    nanoseconds = (i * 1_234_567_891, i * 9_876_543_219_876)
    os.utime(path, ns=nanoseconds, follow_symlinks=False)


def listing(path):
    """Returns a command that prints the output of stat for every file below path, sorted."""
    return f"cd {path} && find . ! -name . -exec stat -c '{FORMAT}' {{}} + | LC_ALL=C sort"


def on_host(command):
    """Runs a command with busybox, as the guest does."""
    return subprocess.run(
        ["busybox", "sh", "-c", command], stdout=subprocess.PIPE, check=True
    ).stdout


@case("share-of-files-of-every-kind", full=True)
def every_kind(folder):
    """1000 files of every type, mode, owner, size and time, and with odd names, look the same."""
    have("busybox")
    root = f"{folder}/kinds".encode()
    os.mkdir(root)
    for i in range(1000):
        make_any_file(root + b"/file-%d" % i, i)
    odd = bytes(byte for byte in range(1, 256) if byte != ord("/"))
    for name in (odd[:127], odd[127:], b"x" * 255, b" ", b"-n", b"\xff\xfe"):
        with open(root + b"/" + name, "wb") as f:
            f.write(name)
    share = {"tag": "kinds", "path": root.decode(), "readonly": True}
    mapped = {**share, "tag": "mapped", "uid_map": [{"guest": 7, "host": 0}], "cache": "never"}
    host = on_host(listing(root.decode()))
    host_sums = on_host(f"cd {root.decode()} && {SUMS}").split()[0].decode()
    times = "TZ=UTC stat -c %y file-7 file-996; cd /"
    host_times = on_host(f"cd {root.decode()}; {times}").decode().strip()
    with Vm(folder, share_config("cloud", [share, mapped])) as vm:
        vm.expect(READY)
        vm.shell("mkdir -p /mnt /map; mount -t virtiofs kinds /mnt; mount -t virtiofs mapped /map")
        guest = vm.shell(f"{listing('/mnt')} | md5sum; cd /", seconds=120).split()[0]
        if guest != hashlib.md5(host).hexdigest():
            with open(f"{folder}/host.txt", "wb") as f:
                f.write(host)
            raise Failure(f"the guest sees: {vm.shell(listing('/mnt') + '; cd /')[-3000:]}")
        sums = vm.shell(f"cd /mnt && {SUMS}; cd /", seconds=120).split()[0]
        check_equal(sums, host_sums, "sum of the content of all small files")
        check_equal(vm.shell(f"cd /mnt; {times}"), host_times, "times with nanoseconds")
        check_equal(vm.shell("stat -c '%u %g' /map /map/file-1"), "7 0\n65534 17", "mapped owners")
        check_deleted(vm, folder)
        vm.send("poweroff -f\n")
        vm.wait(0)


@case("share-of-100000-files", full=True)
def many_files(folder):
    """A walk makes vmm remember little, and vmm gives that back when the guest forgets."""
    root = f"{folder}/many"
    os.mkdir(root)
    for i in range(100000):
        with open(f"{root}/a-file-with-a-name-of-some-length-{i}", "wb"):
            pass
    share = {"tag": "many", "path": root, "readonly": True, "cache": "always"}
    api = Api(f"{folder}/api.sock")
    config = share_config("cloud", [share])
    config["memory"]["size"] = "1G"
    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell("mkdir -p /mnt; mount -t virtiofs -o ro many /mnt; ls /mnt/none")
        before = vm.usage()
        walk = "find /mnt -type f -size 0 | wc -l"
        check_equal(vm.shell(walk, seconds=600).split()[-1], "100000", "files found")
        after = vm.usage()
        below = requests_below_root(api)
        nodes = counters(api)["nodes"]
        check(nodes > 90000, f"only {nodes} nodes are known after the walk")
        vm.shell(walk, seconds=600)
        check_equal(requests_below_root(api) - below, 0, "requests of a warm walk")
        vm.shell("echo 2 >/proc/sys/vm/drop_caches; umount /mnt", seconds=600)
        forgotten = vm.usage()
        check_equal(counters(api)["nodes"], 1, "nodes after the guest forgot them")
        grown, kept = (u["anonymous_kib"] - before["anonymous_kib"] for u in (after, forgotten))
        print(
            f"       resident for 100,000 files: {grown} KiB; after they were forgotten: {kept} KiB"
        )
        check(grown <= 24 << 10, f"{grown} KiB more are resident after the walk")
        check(kept <= 4 << 10, f"{kept} KiB more are resident after all was forgotten")
        check(len(after["descriptors"]) < len(before["descriptors"]) + 20, "descriptors grew")
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_names_of_many(folder, kernel, proto):
    """100,000 names in one directory, and the stat output of 1000, are the same as on the host."""
    root = f"{folder}/many"
    os.mkdir(root)
    for i in range(100000):
        with open(f"{root}/a-file-with-a-name-of-some-length-{i}", "wb") as f:
            f.truncate(i)
    share = {"tag": "many", "path": root, "readonly": True, "cache": "always", "proto": proto}
    config = share_config(kernel, [share])
    config["memory"]["size"] = "1G"
    # The shell reads the directory but looks up no name.
    names = "printf '%s\\n' * | LC_ALL=C sort | md5sum"
    some = f"stat -c '{FORMAT}' *77 | LC_ALL=C sort | md5sum"
    options = "virtiofs -o ro" if proto == "virtiofs" else "9p -o ro,trans=virtio,msize=512000"
    with Vm(folder, config) as vm:
        vm.expect(READY)
        vm.shell(f"mkdir -p /mnt; mount -t {options} many /mnt; cd /mnt")
        for command in ("set -- *; echo $#; set --", names, some):
            host = on_host(f"cd {root}; {command}").decode().strip()
            check_equal(vm.shell(command, seconds=900), host, command)
        vm.shell("cd /")
        vm.send("poweroff -f\n")
        vm.wait(0)


@case("share-of-100000-names-on-linux-6.12", full=True)
def many_names_on_newer(folder):
    check_names_of_many(folder, "backports", "virtiofs")


@case("share-of-100000-names-by-9p", full=True)
def many_names_by_9p(folder):
    check_names_of_many(folder, "full", "9p")


def check_deleted(vm, folder):
    """The host deletes the directory while the guest uses it. The guest only gets errors."""
    shutil.rmtree(f"{folder}/kinds")
    answer = vm.shell("usleep 1100000; ls /map; cat /map/file-6; cat /mnt/file-no; echo alive")
    check(answer.endswith("alive") and "file-1\n" not in answer, f"after deletion: {answer!r}")
    check(vm.process.poll() is None, "vmm ended")


@case("share-with-a-missing-path", group="host", boots=0)
def missing_path(folder):
    """One line names the missing path, before anything starts."""
    store, closure = make_store(folder)
    write_closure(folder, APP, "5e-never-built")
    share = {"tag": "store", "path": store, "closure": closure, "readonly": True}
    with Vm(folder, share_config("cloud", [share])) as vm:
        vm.wait(1, seconds=20)
        lines = vm.stderr().strip().splitlines()
        check(
            len(lines) == 1 and "5e-never-built" in lines[0] and "fs[0].closure" in lines[0],
            f"said: {vm.stderr()!r}",
        )


def host_sum(path):
    with open(path, "rb") as f:
        return hashlib.md5(f.read()).hexdigest()


def as_user(command):
    return f"su user -c '{command}'"


@case("share-that-is-written-to")
def written_to(folder):
    """The guest's changes of a share appear on the host, and the host's changes in the guest."""
    root = f"{folder}/shared"
    os.mkdir(root)
    write(f"{root}/from-host", b"made by the host\n")
    share = {"tag": "shared", "path": root}
    api = Api(f"{folder}/api.sock")
    with Vm(folder, share_config("cloud", [share]), "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell("echo user:x:1000:100::/:/bin/sh >>/etc/passwd; echo users:x:100: >>/etc/group")
        vm.shell("umask 022; mkdir -p /mnt; mount -t virtiofs shared /mnt; cd /mnt")
        check_made(vm, root)
        check_data(vm, root)
        check_unlinked(vm, root, api)
        check_modes(vm, root)
        vm.shell("cd /; umount /mnt && mount -t virtiofs shared /mnt; cd /mnt")
        check_equal(vm.shell("cat dir/renamed"), "hello", "file after another mount")
        check_share_is_deleted(vm, root)
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_made(vm, root):
    """Every kind of file can be made, linked, renamed and removed."""
    answer = vm.shell(
        "mkdir dir && echo hello >dir/file && ln dir/file dir/hard && ln -s file dir/soft &&"
        " mkfifo dir/pipe && mv dir/file dir/renamed && cat dir/soft 2>/dev/null;"
        " ln -sf renamed dir/soft && cat dir/soft && stat -c %h dir/renamed && rm dir/hard &&"
        " stat -c %h dir/renamed && mkdir dir/sub && mv dir/sub moved && rmdir moved && ls dir"
    )
    check_equal(answer.split(), ["hello", "2", "1", "pipe", "renamed", "soft"], "making files")
    check_equal(sorted(os.listdir(f"{root}/dir")), ["pipe", "renamed", "soft"], "on the host")
    check_equal(os.readlink(f"{root}/dir/soft"), "renamed", "link on the host")
    check(stat.S_ISFIFO(os.lstat(f"{root}/dir/pipe").st_mode), "the pipe is none on the host")
    answer = vm.shell("mknod dir/null c 1 3; mkdir dir; rmdir dir; rm from-nowhere; mv dir dir/in")
    for reason in ("not permitted", "exists", "not empty", "No such file", "Invalid argument"):
        check(reason in answer, f"no {reason!r} in {answer!r}")
    check(not os.path.exists(f"{root}/dir/null"), "a device was made on the host")


def check_data(vm, root):
    """Data, sizes and times pass in both directions."""
    vm.shell("dd if=/dev/urandom of=big bs=1M count=24 2>/dev/null; md5sum <big >/tmp/sum")
    check_equal(vm.shell("cat /tmp/sum").split()[0], host_sum(f"{root}/big"), "sum of 24 MiB")
    vm.shell("cp big copy; echo 3 >/proc/sys/vm/drop_caches")
    check_equal(vm.shell("md5sum <copy").split()[0], host_sum(f"{root}/big"), "sum of a copy")
    vm.shell("truncate -s 1000001 big; echo appended >>big; truncate -s 3M big")
    check_equal(vm.shell("md5sum <big").split()[0], host_sum(f"{root}/big"), "after truncation")
    check_equal(os.stat(f"{root}/big").st_size, 3 << 20, "size on the host")
    vm.shell("TZ=UTC touch -d '2001-02-03 04:05:06' copy; chown 12:34 copy; chmod 4640 copy")
    status = os.stat(f"{root}/copy")
    check_equal(status.st_mtime_ns, 981173106 * 10**9, "time of a file")
    check_equal((status.st_uid, status.st_gid, oct(status.st_mode)), (12, 34, "0o104640"), "owner")
    vm.shell("fallocate -l 100000 reserved; sync; dd if=big of=synced bs=64k conv=fsync 2>/dev/null")
    check_equal(os.stat(f"{root}/reserved").st_size, 100000, "size of an allocated file")
    with open(f"{root}/from-host", "ab") as f:
        f.write(b"and changed\n")
    answer = vm.shell("usleep 1200000; cat from-host; echo guest >>from-host")
    check_equal(answer.split("\n"), ["made by the host", "and changed"], "host's change")
    with open(f"{root}/from-host", "rb") as f:
        check_equal(f.read(), b"made by the host\nand changed\nguest\n", "guest's addition")
    check_tar(vm, root)


def check_tar(vm, root):
    """A tree that is packed and unpacked in the guest is the same when the host reads it."""
    vm.shell(
        "mkdir tree; for i in $(seq 60); do mkdir -p tree/$((i%7)); echo $i >tree/$((i%7))/$i;"
        " ln -s $i tree/$((i%7))/l$i; done; tar cf tree.tar tree; mkdir out;"
        " tar xpf tree.tar -C out; md5sum tree.tar >/dev/null",
        seconds=180,
    )
    sums = "find . -type f -exec md5sum {} + | LC_ALL=C sort; find . -type l | wc -l"
    one, other = (on_host(f"cd {root}/{name} && {sums}") for name in ("tree", "out/tree"))
    check_equal(one.count(b"\n"), 61, "files of the tree")
    check_equal(other, one, "what came out of the archive")
    check_equal(vm.shell("rm -r tree out && ls tree out 2>&1 | grep -c such"), "2", "removal")


def check_unlinked(vm, root, api):
    """An open file works on without its name, and the host closes it in the end."""
    answer = vm.shell(
        "echo first >gone; exec 3<>gone; rm gone; ls gone 2>&1 | grep -c such; echo more >&3;"
        " stat -L -c '%h %s' /proc/self/fd/3; echo new >gone; cat gone; exec 4<gone;"
        " mv from-host gone; cat <&4; exec 3>&- 4<&-"
    )
    check_equal(answer.split(), ["1", "0", "6", "new", "new"], "a file without a name")
    os.remove(f"{root}/gone")
    check("No such file" in vm.shell("usleep 1200000; cat gone"), "removed by the host")
    # The guest reports the close of a file only some time later.
    deadline = time.monotonic() + 60
    while counters(api)["open_files"] > 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    check_equal(counters(api)["open_files"], 0, "files that are open on the host")


def check_modes(vm, root):
    """umask, set-group-id and sticky directories work, also for users who are not root."""
    vm.shell("umask 027; echo x >masked; mkdir masked-dir; umask 022; mkdir -m 1777 sticky")
    check_equal(oct(os.stat(f"{root}/masked").st_mode), "0o100640", "mode by umask")
    check_equal(oct(os.stat(f"{root}/masked-dir").st_mode), "0o40750", "mode of a directory")
    vm.shell("mkdir group; chown 0:777 group; chmod 2777 group")
    vm.shell(as_user("echo x >/mnt/group/file; mkdir /mnt/group/below; echo x >/mnt/sticky/mine"))
    status = os.stat(f"{root}/group/file")
    check_equal((status.st_uid, status.st_gid), (1000, 777), "owner in a set-group-id directory")
    check_equal(oct(os.stat(f"{root}/group/below").st_mode), "0o42755", "directory below it")
    vm.shell("echo x >sticky/of-root; cp /bin/busybox group/set-id; chmod 6777 group/set-id")
    answer = vm.shell(
        as_user("rm -f /mnt/sticky/of-root; echo x >>/mnt/group/set-id; rm /mnt/sticky/mine")
    )
    check("not permitted" in answer, f"another's file in a sticky directory: {answer!r}")
    check_equal(sorted(os.listdir(f"{root}/sticky")), ["of-root"], "the sticky directory")
    check_equal(oct(os.stat(f"{root}/group/set-id").st_mode), "0o100777", "set-id bits")


def check_share_is_deleted(vm, root):
    """The host deletes the directory while the guest uses it. The guest only gets errors."""
    vm.shell("exec 3<>big; cd dir")
    shutil.rmtree(root)
    answer = vm.shell(
        "usleep 1200000; ls /mnt/group; echo x >/mnt/new; echo x >new; mkdir new; cat renamed;"
        " echo y >&3; cd /; exec 3>&-; echo alive"
    )
    check(answer.endswith("alive"), f"after the deletion: {answer!r}")
    check(not os.path.exists(root), "the share has come back")
    check(vm.process.poll() is None, "vmm ended")


@case("share-that-cannot-be-written-to-by-this-user", group="host", boots=0)
def without_rights(folder):
    """One line names the key and what to write there, before anything starts."""
    have("setpriv")
    root = f"{folder}/shared"
    os.mkdir(root)
    path = f"{folder}/vm.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(share_config("cloud", [{"tag": "shared", "path": root}]), f)
    ended = subprocess.run(
        ["setpriv", "--bounding-set=-chown", vmm_path(), "--config", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    lines = ended.stderr.decode().strip().splitlines()
    check_equal(ended.returncode, 1, f"exit status ({lines})")
    check(
        len(lines) == 1 and "fs[0].uid_map: missing" in lines[0] and '"host": ' in lines[0],
        f"said: {lines}",
    )
