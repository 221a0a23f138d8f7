"""A real closure, built by Nix: its image, and a guest whose system lives in it."""

import hashlib
import os
import shutil
import subprocess

from harness import (
    case,
    check,
    check_equal,
    have,
    run,
)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORE_IMAGE = os.path.join(ROOT, "tools/store-image")


def write(path, data, mode=0o444):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def small_store(store, names):
    """Makes store paths in the order given: program, data twice, link, empty folder."""
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


@case("store-image-is-reproducible", group="host")
def reproducible(folder):
    """The same paths give the same bytes, however this machine keeps and lists them."""
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


@case("store-image-refuses", group="host")
def refuses(folder):
    """One line that names the path or the line; no image, nothing left over."""
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
