"""A real closure, built by Nix: its image, and a guest whose system is in the closure."""

import hashlib
import os
import shutil
import subprocess

from harness import (
    READY,
    Vm,
    case,
    check,
    check_equal,
    guest_files,
    guests,
    have,
    run,
    vm_config,
)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORE_IMAGE = os.path.join(ROOT, "tools/store-image")


def write(path, data, mode=0o444):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def small_store(store, names):
    """Makes store paths in the given order: program, data twice, link, empty folder."""
    for name in names:
        data = hashlib.sha256(name.encode()).digest() * 2000
        write(f"{store}/{name}/bin/run", f"#!/bin/sh\necho {name}\n".encode(), 0o555)
        write(f"{store}/{name}/data", data)
        write(f"{store}/{name}/again", data)
        os.symlink("../data", f"{store}/{name}/link")
        os.mkdir(f"{store}/{name}/empty")
    write(f"{store}/4-file", b"a store path that is a file\n")


def write_lines(path, lines):
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{line}\n" for line in lines)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@case("store-image-is-reproducible", group="host", boots=0)
def reproducible(folder):
    """The same paths give the same bytes, however this machine stores and lists them."""
    have("mkfs.erofs", "fsck.erofs")
    listed = [f"/nix/store/{name}" for name in ("2-b", "1-a", "4-file")]
    small_store(f"{folder}/one", ["1-a", "2-b", "3-hidden"])
    write_lines(f"{folder}/store-paths", listed)
    run(STORE_IMAGE, "--store", f"{folder}/one", f"{folder}/store-paths", f"{folder}/one.erofs")

    small_store(f"{folder}/two", ["2-b", "9-other", "1-a"])
    os.unlink(f"{folder}/two/1-a/again")
    os.link(f"{folder}/two/1-a/data", f"{folder}/two/1-a/again")  # nix-store --optimise
    os.chmod(f"{folder}/two/1-a/bin/run", 0o755)
    os.utime(f"{folder}/two/1-a/data", (1e9, 1e9))
    if os.getuid() == 0:
        os.chown(f"{folder}/two/2-b/data", 30001, 30002)
    registration = [
        line
        for path in sorted(listed)
        for line in (path, "sha256:0", "1", "", "2", path, "/nix/store/3-hidden")
    ]
    write_lines(f"{folder}/registration", registration)
    run(STORE_IMAGE, "--store", f"{folder}/two", f"{folder}/registration", f"{folder}/two.erofs")
    check_equal(digest(f"{folder}/two.erofs"), digest(f"{folder}/one.erofs"), "second image")
    left = [name for name in os.listdir(folder) if name.startswith(".store-image")]
    check_equal(left, [], "what is left over")

    run("fsck.erofs", f"--extract={folder}/extracted", f"{folder}/one.erofs")
    check_equal(sorted(os.listdir(f"{folder}/extracted")), ["1-a", "2-b", "4-file"], "paths")
    for name in ("1-a", "2-b"):
        run("diff", "-r", "--no-dereference", f"{folder}/one/{name}", f"{folder}/extracted/{name}")
        status = os.lstat(f"{folder}/extracted/{name}/bin/run")
        check_equal((status.st_mode, status.st_mtime), (0o100555, 1), "mode and time")
    with open(f"{folder}/one.erofs", "rb") as f:
        check(b"hidden" not in f.read(), "the image tells of a path that is not in the closure")


@case("store-image-refuses", group="host", boots=0)
def refuses(folder):
    """One line names the path or the line. No image is made, and no file is left behind."""
    small_store(f"{folder}/store", ["1-a"])
    for lines, text in (
        (["/nix/store/1-a", "/nix/store/5-missing"], "5-missing is not in"),
        (["1-a"], "'1-a' is no store path"),
        (["/nix/store/1-a", "sha256:0", "1", ""], "cut short"),
        ([], "lists no store path"),
    ):
        write_lines(f"{folder}/closure", lines)
        done = subprocess.run(
            [STORE_IMAGE, "--store", f"{folder}/store", f"{folder}/closure", f"{folder}/out"],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        check_equal(done.returncode, 1, f"exit status for {lines}")
        check(text in done.stderr and done.stderr.count("\n") == 1, f"said: {done.stderr!r}")
        check_equal(sorted(os.listdir(folder)), ["closure", "store"], "files")
    shutil.rmtree(f"{folder}/store")


SECRET = "the-key-of-another-machine"  # tests/lab/closure.nix
NIX_SECONDS = 300


def nixos_config(kind, kernel):
    """Returns the vm.json of a guest whose system is in the closure (see tests/lab/stage1_init)."""
    nixos = guests()["nixos"]
    source = "/dev/vda" if kind == "erofs" else "store"
    config = vm_config(
        kernel,
        memory="512M",
        cmdline=f"store={kind}:{source} init={nixos['init']} regInfo={nixos['registration']}",
    )
    config["payload"]["initramfs"] = guest_files(kernel)["stage1-initrd"]
    if kind == "erofs":
        config["disks"] = [{"path": nixos["image"], "readonly": True}]
    else:
        share = {"tag": "store", "path": nixos["store"], "closure": nixos["closure"]}
        config["fs"] = [{**share, "readonly": True, "proto": kind}]
    return config


def check_system(vm, kind):
    """The init in the closure runs on an overlay of a RAM disk over the store."""
    nixos = guests()["nixos"]
    check("refused" not in vm.console.text(), "nix-store --load-db refused the registration")
    system = os.path.dirname(nixos["init"])
    check_equal(vm.shell("readlink /run/current-system"), system, "system")
    mounts = vm.shell("grep -o ' /nix/[^ ]* [^ ]* r[ow]' /proc/mounts").split("\n")
    wanted = [f"/nix/.ro-store {kind} ro", "/nix/.rw-store tmpfs rw", "/nix/store overlay rw"]
    check_equal([line.strip() for line in mounts], wanted, "mounts")
    with open(nixos["closure"], encoding="ascii") as f:
        listed = sorted(os.path.basename(line) for line in f.read().split())
    check_equal(vm.shell("ls -A /nix/.ro-store").split(), listed, "names in the store")
    if kind == "virtiofs":
        number = "$(grep ' /nix/.ro-store ' /proc/self/mountinfo | cut -d' ' -f3)"
        read_ahead_kib = vm.shell(f"cat /sys/class/bdi/{number}/read_ahead_kb")
        check_equal(read_ahead_kib, "1024", "read-ahead")


def check_secret(vm, kind):
    """A secret of another machine, in the same store of the host, is not in this guest's store."""
    name = os.path.basename(guests()["nixos"]["secret"])
    for path in (
        f"/nix/store/{name}/key",
        f"/nix/.ro-store/{name}/key",
        f"/run/../nix/store/{name}",
    ):
        answer = vm.shell(f"cat {path}")
        check("No such file" in answer and SECRET not in answer, f"{path}: {answer!r}")
    found = vm.shell(f"find /nix/.ro-store/ -type f -size -64 -exec grep -l {SECRET[:7]} {{}} +")
    check_equal(found, "", "small files of the store with the secret in them")
    if kind == "erofs":
        run("grep", "-qF", SECRET, guests()["nixos"]["image"], status=1)


def check_writes(vm):
    """Nix adds paths to its store, and all changes stay in RAM."""
    vm.shell("echo of the guest >new; added=$(nix-store --add new)", NIX_SECONDS)
    check_equal(vm.shell("cat $added"), "of the guest", "a path that the guest has added")
    lower = vm.shell("ls /nix/.ro-store/${added##*/}")
    check("No such file" in lower, f"what was added below the overlay: {lower!r}")
    system = os.path.dirname(guests()["nixos"]["init"])
    vm.shell(f"echo changed >>{system}/init; rm {system}/sw; mkdir /nix/store/directory")
    check_equal(vm.shell(f"tail -n1 {system}/init; ls {system}"), "changed\ninit", "changed path")
    lower = vm.shell(f"ls /nix/.ro-store/{os.path.basename(system)}")
    check_equal(lower.split(), ["init", "sw"], "the path below the overlay")
    answer = vm.shell(f"nix-store --verify-path {system}; echo status $?", NIX_SECONDS)
    check(answer.endswith("status 1") and "was modified" in answer, f"changed path: {answer!r}")


def nixos_stage_1(folder, kind, kernel):
    with Vm(folder, nixos_config(kind, kernel)) as vm:
        vm.expect(READY)
        check_system(vm, kind)
        check_secret(vm, kind)
        answer = vm.shell("nix-store --verify --check-contents; echo status $?", NIX_SECONDS)
        check(answer.endswith("status 0") and "error" not in answer, f"verify: {answer!r}")
        check_writes(vm)
        vm.send("exit\n")
        vm.wait(0)


@case("nixos-stage-1-by-virtiofs")
def nixos_by_virtiofs(folder):
    """The system is in the shared closure, and Nix in the guest finds the closure complete."""
    nixos_stage_1(folder, "virtiofs", "cloud")


@case("nixos-stage-1-by-9p")
def nixos_by_9p(folder):
    nixos_stage_1(folder, "9p", "full")


@case("nixos-stage-1-by-erofs", full=True)
def nixos_by_erofs(folder):
    """The guest uses the same paths, in the image that tools/store-image has made of them."""
    nixos_stage_1(folder, "erofs", "cloud")
