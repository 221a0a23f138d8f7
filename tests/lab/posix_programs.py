"""The programs of tests/posix for guests: static, compiled outside the build, and cached."""

import glob
import os
import shutil

from assets import HERE, digest_of, item, run

ROOT = os.path.dirname(os.path.dirname(HERE))
SOURCES = os.path.join(ROOT, "tests", "posix")
COMPILER = ["g++", "-std=c++20", "-O1", "-s", "-static", f"-I{ROOT}"]


def posix_programs():
    """Returns the folder of posix-suite and posix-stress."""
    files = sorted(glob.glob(f"{SOURCES}/*.cc") + glob.glob(f"{SOURCES}/*.h"))
    stress = os.path.join(SOURCES, "stress.cc")
    suite = [path for path in files if path.endswith(".cc") and path != stress]

    def prepare(folder):
        run([*COMPILER, "-o", f"{folder}/posix-suite", *suite])
        run([*COMPILER, "-o", f"{folder}/posix-stress", stress, os.path.join(SOURCES, "suite.cc")])

    return item(f"posix-{digest_of(COMPILER[:-1], *files)}", prepare)


def copy_dynamic(program, folder):
    """Copies a program and the libraries it needs. Returns the command that runs it in a guest."""
    path = shutil.which(program)
    os.makedirs(f"{folder}/{program}-lib")
    shutil.copy(path, folder)
    loader = ""
    for line in run(["ldd", path]).splitlines():
        library = next((word for word in line.split() if word.startswith("/")), None)
        if library:
            shutil.copy(library, f"{folder}/{program}-lib")
            if "ld-linux" in library:
                loader = os.path.basename(library)
    lib = f"/tools/{program}-lib"
    return f"{lib}/{loader} --library-path {lib} /tools/{program}"
