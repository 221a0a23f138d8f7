"""The cases of tests/fuse/run: what real programs do on a share, and what it costs in requests.

A case runs inside the mount: `share.mnt` is the share, `share.root` the folder behind it, as the host sees it, and `share.work`
a folder beside both.
"""

import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess

CASES = {}  # name: (modes, prepare, run)
WRITABLE = ("never", "auto")
READ_ONLY = ("readonly", "always")


def case(name, modes, prepare=None):
    """Registers a case; `prepare` fills the folder of the host before it is shared."""

    def register(function):
        CASES[name] = (modes, prepare, function)
        return function

    return register


def names(mode):
    return [name for name, (modes, _, _) in CASES.items() if mode in modes]


def prepare(name, folder):
    if CASES[name][1]:
        CASES[name][1](f"{folder}/root")


def run(name, folder, mode, build):
    CASES[name][2](Share(folder, mode, build))


class Share:
    def __init__(self, folder, mode, build):
        self.root, self.mnt, self.work = (f"{folder}/{part}" for part in ("root", "mnt", "work"))
        self.mode = mode
        self.build = build
        self.control = socket.socket(fileno=int(os.environ["SHARE_CONTROL"]))

    def counters(self):
        """Returns what the share has counted so far, and `cpu_ns`, the time of its thread."""
        self.control.send(b"?")
        return json.loads(self.control.recv(1 << 16))

    def sh(self, script, folder=None):
        """Runs a script in a folder, by default the share; it must succeed. Returns what it printed."""
        done = subprocess.run(["bash", "-euc", script], cwd=folder or self.mnt, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env={**os.environ, "HOME": self.work, "LC_ALL": "C"})  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(f"{script}\nexit status {done.returncode}:\n{done.stdout}")
        return done.stdout


def check_equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def listing(root):
    """Everything there is to see of a tree: {path: (mode, owner, size, time, links, content)}."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            state = os.lstat(path)
            entry = [oct(state.st_mode), state.st_uid, state.st_gid, state.st_mtime_ns]
            if stat.S_ISREG(state.st_mode):
                with open(path, "rb") as f:
                    entry += [state.st_size, state.st_nlink, hashlib.sha256(f.read()).hexdigest()]
            elif stat.S_ISLNK(state.st_mode):
                entry.append(os.readlink(path))
            found[os.path.relpath(path, root)] = entry
    return found


def check_same_tree(got, wanted, what):
    a, b = listing(got), listing(wanted)
    if a != b:
        differ = [f"{name}: {a.get(name)} {b.get(name)}" for name in sorted(set(a) | set(b)) if a.get(name) != b.get(name)]
        raise AssertionError(f"{what}: {len(differ)} differ, such as\n" + "\n".join(differ[:10]))


# --- POSIX ------------------------------------------------------------------------------------------------------------


@case("posix", ("auto",))
def posix(share):
    print(share.sh(f"{share.build}/tests/posix/posix_suite --on virtiofs {share.mnt} || exit 1"))


