"""The cases of tests/fuse/run: real programs on a share, and the requests that they cost.

A case runs inside the mount. `share.mnt` is the share; `share.root` is the folder behind it, as the host sees it; `share.work`
is a folder beside both.
"""

import dataclasses
import hashlib
import json
import mmap
import os
import random
import socket
import sqlite3
import stat
import subprocess
import time

CASES = {}  # name: Case
WRITABLE = ("never", "auto")
READ_ONLY = ("readonly", "always")
CANNOT_RUN = 77


@dataclasses.dataclass
class Case:
    modes: tuple
    prepare: object
    mount: str
    run: object


def case(name, modes, prepare=None, mount=None):
    """Registers a case. `prepare` fills the folder of the host before it is shared.

    `mount` is a bash script that does this instead, in a mount namespace of its own, with the folder of the case as
    working directory. If this machine lacks something, the script exits with CANNOT_RUN and prints the reason as its last line.
    """

    def register(function):
        CASES[name] = Case(modes, prepare, mount, function)
        return function

    return register


def names(mode):
    return [name for name, entry in CASES.items() if mode in entry.modes]


def prepare(name, folder):
    if CASES[name].prepare:
        CASES[name].prepare(f"{folder}/root")


def mounted(name, folder, command):
    """Returns the command that runs `command` in the mount namespace of the case."""
    script = CASES[name].mount
    if script is None:
        return command
    return ["unshare", "--mount", "bash", "-euc", f'(cd "$0"; {script}\n)\nexec "$@"', folder, *command]


def run(name, folder, mode, build):
    CASES[name].run(Share(folder, mode, build))


class Share:
    def __init__(self, folder, mode, build):
        self.root, self.mnt, self.work = (f"{folder}/{part}" for part in ("root", "mnt", "work"))
        self.mode = mode
        self.build = build
        self.control = socket.socket(fileno=int(os.environ["SHARE_CONTROL"]))

    def counters(self):
        """Returns the share's counters, and `cpu_ns`, the CPU time of its thread."""
        self.control.send(b"?")
        return json.loads(self.control.recv(1 << 16))

    def sh(self, script, folder=None):
        """Runs a script in a folder, by default the share, and returns its output. The script must succeed."""
        done = subprocess.run(["bash", "-euc", script], cwd=folder or self.mnt, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, env={**os.environ, "HOME": self.work, "LC_ALL": "C"})  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(f"{script}\nexit status {done.returncode}:\n{done.stdout}")
        return done.stdout


def check_equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def listing(root):
    """Returns all visible properties of a tree: {path: (mode, owner, size, time, links, content)}."""
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
        raise AssertionError(f"{what}: {len(differ)} entries differ, for example\n" + "\n".join(differ[:10]))


# --- POSIX ------------------------------------------------------------------------------------------------------------


@case("posix", WRITABLE)
def posix(share):
    # One mode runs all cases of the suite; the mode of caching matters to few of them.
    every = 1 if share.mode == "auto" else 4
    share.sh(f"{share.build}/tests/posix/posix_suite --on virtiofs --every {every} {share.mnt}")


# --- programs ---------------------------------------------------------------------------------------------------------


def make_tree(root, files=300):
    """Makes files of many sizes, modes and times, folders, symbolic and hard links, and odd names."""
    rng = random.Random(files)
    for i in range(files):
        folder = f"{root}/{i % 7}/{i % 31} of 31"
        os.makedirs(folder, exist_ok=True)
        path = f"{folder}/{rng.choice(['file', 'a b', chr(252), 'x' * 200])}-{i}"
        with open(path, "wb") as f:
            f.write(rng.randbytes(rng.choice([0, 1, 100, 4096, 5000, 200_000])))
        os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o4755, 0o2755, 0o444]))
        os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)))
        if i % 5 == 0:
            os.symlink(f"../{i}", f"{path}.link")
        if i % 11 == 0:
            os.link(path, f"{folder}/hard-{i}")
    os.makedirs(f"{root}/empty/below")
    # Old times for all: rsync 3.5 does not correct times of folders and links that differ only by
    # parts of a second.
    for folder, folders, names in os.walk(root, topdown=False):
        for path in (f"{folder}/{name}" for name in folders + names):
            if os.path.isdir(path) or os.path.islink(path):
                os.utime(path, ns=(rng.randrange(10**18), rng.randrange(10**18)), follow_symlinks=False)


@case("tar", WRITABLE)
def tar_there_and_back(share):
    make_tree(f"{share.work}")
    tar = "tar --format=posix --numeric-owner -c . | tar --numeric-owner -x -p -C"
    share.sh(f"mkdir {share.mnt}/a; {tar} {share.mnt}/a", share.work)
    check_same_tree(f"{share.root}/a", share.work, "tree that tar has unpacked, on the host")
    check_same_tree(f"{share.mnt}/a", share.work, "tree that tar has unpacked, on the share")
    share.sh(f"mkdir {share.work}.back; {tar} {share.work}.back", f"{share.mnt}/a")
    check_same_tree(f"{share.work}.back", share.work, "tree that tar has packed")


@case("rsync", WRITABLE)
def rsync_there_and_back(share):
    make_tree(share.work)
    os.setxattr(f"{share.work}/0", "user.colour", b"blue")
    share.sh(f"rsync -aHX {share.work}/ b/; rsync -aHX b/ {share.work}.back/")
    check_same_tree(f"{share.root}/b", share.work, "tree that rsync has copied to the share")
    check_same_tree(f"{share.work}.back", share.work, "tree that rsync has copied from the share")
    check_equal(os.getxattr(f"{share.root}/b/0", "user.colour"), b"blue", "extended attribute")
    share.sh(f"echo more >>{share.work}/new; rm -r {share.work}/3; rsync -aHX --delete {share.work}/ b/")
    check_same_tree(f"{share.root}/b", share.work, "tree that rsync has updated on the share")
    check_equal(share.sh(f"rsync -aHXnic --delete {share.work}/ b/"), "", "differences that rsync finds")


GIT = "export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a;"


def make_repository(root):
    make_tree(f"{root}/tree", 100)
    subprocess.run(["bash", "-euc", f"{GIT} git init -q -b main; git add -A; git commit -qm first"], cwd=f"{root}/tree", check=True)


@case("git", WRITABLE)
def git_works(share):
    make_tree(f"{share.root}/tree", 100)
    share.sh(f"""{GIT} cd tree; git init -q -b main; git add -A; git commit -qm first
        git checkout -qb side; echo side >side; git add side; git rm -qr 1; git commit -qm side
        git checkout -q main; echo main >main; git add main; git commit -qm main; git merge -q -m merge side
        git gc -q; git clone -q . ../clone; cd ../clone; git fsck --strict; git reset -q --hard HEAD~1; git pull -q; git stash list
        [ -z "$(git status --porcelain)" ]; cmp .git/HEAD ../tree/.git/HEAD""")  # fmt: skip
    host = f'{GIT} git config --global --add safe.directory "*"; git fsck --strict; [ -z "$(git status --porcelain)" ]'
    share.sh(host.replace("GIT_CONFIG_GLOBAL=/dev/null", f"GIT_CONFIG_GLOBAL={share.work}/config"), f"{share.root}/clone")


@case("git_of_the_host", READ_ONLY, make_repository)
def git_reads(share):
    share.sh(f"""export GIT_CONFIG_GLOBAL={share.work}/config; git config --global --add safe.directory "*"; cd tree
        git fsck --strict; git --no-optional-locks status --porcelain >{share.work}/status; [ ! -s {share.work}/status ]
        git clone -q . {share.work}/clone""")  # fmt: skip
    check_equal(share.sh("git rev-parse HEAD", f"{share.work}/clone"), share.sh("git rev-parse HEAD", f"{share.root}/tree"), "HEAD")


def fill_database(path, mode):
    """Fills a database with changes and a rollback. Returns the connection, which is still open."""
    database = sqlite3.connect(path, isolation_level=None)
    check_equal(database.execute(f"PRAGMA journal_mode={mode}").fetchone()[0], mode, "journal mode")
    database.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)")
    for batch in range(5):
        database.execute("BEGIN")
        for i in range(200):
            database.execute("INSERT INTO t VALUES(?, zeroblob(?))", (batch * 200 + i, i * 7))
        database.execute("COMMIT")
    database.execute("DELETE FROM t WHERE a % 3 = 0")
    if mode != "off":
        database.execute("BEGIN")
        database.execute("DELETE FROM t")
        database.execute("ROLLBACK")
    return database


CONTENT = "SELECT count(*), sum(a), sum(length(b)) FROM t"


def sqlite_case(mode):
    def works(share):
        database = fill_database(f"{share.mnt}/db", mode)
        other = sqlite3.connect(f"{share.mnt}/db")
        content = database.execute(CONTENT).fetchone()
        check_equal(content[0], 666, "rows")
        check_equal(other.execute(CONTENT).fetchone(), content, "rows that a second connection reads")
        database.execute("VACUUM")
        check_equal(other.execute("PRAGMA integrity_check").fetchone()[0], "ok", "integrity")
        other.close()
        database.close()
        host = sqlite3.connect(f"{share.root}/db")
        check_equal(host.execute(CONTENT).fetchone(), content, "rows that the host reads")
        check_equal(host.execute("PRAGMA integrity_check").fetchone()[0], "ok", "integrity on the host")

    case(f"sqlite_{mode}", WRITABLE)(works)


for journal in ("delete", "truncate", "persist", "memory", "wal", "off"):
    sqlite_case(journal)


class RandomFile:
    """A file that is changed in every possible way, and a copy in memory that must equal the file."""

    LARGEST = 600_000

    def __init__(self, path, host_path, seed, mapped):
        self.path, self.host_path, self.mapped = path, host_path, mapped
        self.rng = random.Random(seed)
        self.model = bytearray()
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def piece(self):
        at = self.rng.randrange(self.LARGEST)
        return at, self.rng.randrange(1, min(60_000, self.LARGEST - at) + 1)

    def put(self, at, data):
        self.model.extend(bytes(max(0, at + len(data) - len(self.model))))
        self.model[at : at + len(data)] = data

    def write(self):
        at, size = self.piece()
        data = self.rng.randbytes(size)
        check_equal(os.pwrite(self.fd, data, at), size, "bytes written")
        self.put(at, data)

    def append(self):
        if len(self.model) < self.LARGEST:
            data = self.rng.randbytes(self.rng.randrange(1, 5000))
            with open(self.path, "ab", buffering=0) as f:
                f.write(data)
            self.put(len(self.model), data)

    def read(self):
        at, size = self.piece()
        if os.pread(self.fd, size, at) != self.model[at : at + size]:
            raise AssertionError(f"{size} bytes at {at} differ from the written data")

    def truncate(self):
        size = self.rng.randrange(self.LARGEST)
        os.ftruncate(self.fd, size)
        if size < len(self.model):
            del self.model[size:]
        else:
            self.model.extend(bytes(size - len(self.model)))

    def punch(self):
        at, size = self.piece()
        subprocess.run(["fallocate", "-p", "-o", str(at), "-l", str(size), self.path], check=True)
        end = min(at + size, len(self.model))
        self.model[at:end] = bytes(max(0, end - at))

    def copy(self):
        at, size = self.piece()
        size = min(size, max(0, len(self.model) - at))
        to = self.rng.randrange(self.LARGEST)
        if size and (to + size <= at or at + size <= to):
            copied = os.copy_file_range(self.fd, self.fd, size, at, to)
            self.put(to, self.model[at : at + copied])

    def reopen(self):
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)

    def map(self):
        if not self.mapped or not self.model:
            return
        with mmap.mmap(self.fd, len(self.model)) as memory:
            at = self.rng.randrange(len(self.model))
            data = self.rng.randbytes(min(30_000, len(self.model) - at))
            memory[at : at + len(data)] = data
            self.put(at, data)
            at = self.rng.randrange(len(self.model))
            if memory[at : at + 30_000] != self.model[at : at + 30_000]:
                raise AssertionError(f"the mapping at {at} differs from the written data")

    def by_the_host(self):
        """Checks that the host has all data that the guest has written."""
        os.fsync(self.fd)
        with open(self.host_path, "rb") as f:
            if f.read() != self.model:
                raise AssertionError("the host's file differs from the written data")

    def run(self, steps):
        often = [self.write, self.read, self.read, self.map, self.append, self.truncate, self.copy, self.reopen]
        for step in range(steps):
            self.rng.choice(often + [self.punch] * (step % 10 == 0) + [self.by_the_host] * (step % 20 == 0))()
        self.by_the_host()
        os.close(self.fd)


@case("random_io", WRITABLE)
def random_io(share):
    for seed in range(4):
        path = f"file-{seed}"
        RandomFile(f"{share.mnt}/{path}", f"{share.root}/{path}", seed, mapped=True).run(400)


def make_large_tree(root):
    make_tree(root, 600)


@case("find_du_rm", WRITABLE, make_large_tree)
def find_du_rm_together(share):
    share.sh("""for i in 1 2 3; do (find . -type f -exec cat {} + >/dev/null 2>&1 || true) & (du -a . >/dev/null 2>&1 || true) & done
        rm -rf ./* & wait $!; wait; [ -z "$(ls -A)" ]""")  # fmt: skip
    check_equal(os.listdir(share.root), [], "entries that are left on the host")


@case("read_all", READ_ONLY, make_large_tree)
def read_all(share):
    share.sh("for i in 1 2 3; do find . -type f -exec cat {} + >/dev/null & du -a . >/dev/null & done; wait")
    check_same_tree(share.mnt, share.root, "tree on the share")
    share.sh(f"tar -c . | tar -x -C {share.work}; rsync -aH . {share.work}.too/")
    check_same_tree(f"{share.work}.too", share.root, "tree that rsync has copied from the share")
    check_same_tree(share.mnt, share.root, "tree on the share at the second look")
    for change in ("touch new", "rm -r 0", "mv 0 9", "chmod 700 0", 'ln "$(find . -type f | head -n 1)" hard'):
        share.sh(f"! {change} 2>{share.work}/error; grep -q 'Read-only' {share.work}/error")


@case("lower_layer", READ_ONLY, make_tree)
def lower_layer(share):
    """An overlay whose lower layer is the share and whose upper layer is a folder of this machine."""
    share.sh(f"""cd {share.work}; mkdir u w m
        mount -t overlay o -o lowerdir={share.mnt},upperdir=$PWD/u,workdir=$PWD/w,userxattr m
        cd m; rm -r 1; mkdir 1; echo new >1/new; echo more >>"$(find 2 -type f | head -n 1)"; mv 3 9 || cp -a 3 9
        [ "$(ls 1)" = new ]; cd ..; umount m""")  # fmt: skip
    check_same_tree(share.mnt, share.root, "the lower layer")


@case("upper_layer", WRITABLE)
def upper_layer(share):
    """An overlay whose upper layer is on the share: whiteouts, opaque directories, copies of files with set-id bits."""
    lower = f"{share.work}/lower"
    make_tree(lower, 60)
    with open(f"{lower}/set-id", "w", encoding="ascii") as f:
        f.write("lower")
    os.chmod(f"{lower}/set-id", 0o6755)
    mount = f"mount -t overlay o -o lowerdir={lower},upperdir={share.mnt}/u,workdir={share.mnt}/w,userxattr m"
    share.sh(f"""cd {share.work}; mkdir m {share.mnt}/u {share.mnt}/w; {mount}; cd m
        rm -r 1; rm -r 2; mkdir 2; echo new >2/new; mv 3 3.moved || {{ cp -a 3 3.moved; rm -r 3; }}; chgrp 7 set-id; chmod 6755 set-id
        find 4 -type f -exec rm {{}} +; echo more >>"$(find 5 -type f -perm 644 | head -n 1)"; ln -s x link; sync -f .""")  # fmt: skip
    before = listing(f"{share.work}/m")
    share.sh(f"umount m; {mount}", share.work)
    if listing(f"{share.work}/m") != before:
        raise AssertionError("the overlay has changed after it was mounted again")
    share.sh("""[ ! -e m/1 ]; [ ! -e m/3 ]; [ "$(ls m/2)" = new ]; [ "$(stat -c %a,%g m/set-id)" = 6755,7 ]
        [ "$(cat m/set-id)" = lower ]; umount m""", share.work)  # fmt: skip
    white = os.lstat(f"{share.root}/u/1")
    check_equal((stat.S_ISCHR(white.st_mode), white.st_rdev), (True, 0), "whiteout on the host")
    check_equal(os.getxattr(f"{share.root}/u/2", "user.overlay.opaque"), b"y", "mark of an opaque directory")


# --- requests -----------------------------------------------------------------------------------------------------------


def make_file(root):
    with open(f"{root}/file", "wb") as f:
        f.write(os.urandom(500_000))
    os.makedirs(f"{root}/folder/below")
    time.sleep(0.1)  # a file that changed just now is read again


def counted(share, function):
    """Returns the requests that a function has caused, by name."""
    before = share.counters()
    function()
    return {name: value - before[name] for name, value in share.counters().items() if value != before[name]}


def content(path):
    with open(path, "rb") as f:
        return f.read()


@case("unchanged_file_is_read_once", ("auto", "readonly", "always"), make_file)
def unchanged_file_is_read_once(share):
    path = f"{share.mnt}/file"
    wanted = content(f"{share.root}/file")
    once = counted(share, lambda: check_equal(content(path) == wanted, True, "content"))
    many = counted(share, lambda: [check_equal(content(path) == wanted, True, "content") for _ in range(49)])
    check_equal(once["read"] > 0, True, "a first read is a request")
    check_equal(many.get("read", 0), 0, "READ of 49 more opens and reads")
    # The host rewrites the file right after a read, with the same size.
    for i in range(20 if share.mode != "always" else 0):
        wanted = os.urandom(500_000)
        with open(f"{share.root}/file", "r+b") as f:
            f.write(wanted)
        check_equal(content(path) == wanted, True, f"content after the host has rewritten the file {i + 1} times")


@case("missing_name_is_asked_for_once", ("auto", "readonly", "always"), make_file)
def missing_name_is_asked_for_once(share):
    os.stat(f"{share.mnt}/folder")

    def look():
        # All stats must be within the second in which the guest trusts the answer, unless this
        # machine stood still.
        start = time.monotonic()
        cost = counted(share, lambda: [os.path.exists(f"{share.mnt}/folder/none") for _ in range(50)])
        return cost.get("lookup", 0), time.monotonic() - start

    lookups, seconds = look()
    while seconds > 0.9:
        time.sleep(1.1)
        lookups, seconds = look()
    check_equal(lookups, 1, "LOOKUP of 50 failed stats")
    if share.mode == "always":
        return
    with open(f"{share.root}/folder/none", "wb"):
        pass
    time.sleep(1.1)
    check_equal(os.path.exists(f"{share.mnt}/folder/none"), True, "existence of a name that the host has made")


@case("open_file_stays", ("never", "auto", "readonly"), make_file)
def open_file_stays_when_the_host_replaces_it(share):
    wanted = content(f"{share.root}/file")
    with open(f"{share.mnt}/file", "rb", buffering=0) as f:
        memory = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
        with open(f"{share.root}/new", "wb") as new:
            new.write(b"upgraded")
        os.rename(f"{share.root}/new", f"{share.root}/file")
        time.sleep(1.1)
        check_equal(content(f"{share.mnt}/file"), b"upgraded", "content of the file that is opened again")
        check_equal(f.read() == wanted, True, "content of the open file")
        check_equal(os.fstat(f.fileno()).st_size, 500_000, "size of the open file")
        check_equal(memory[:] == wanted, True, "content of the mapping")


# --- file systems of the host -------------------------------------------------------------------------------------------

BTRFS = f"""export PATH=$PATH:/usr/sbin:/sbin
truncate -s 256M image
mkfs.btrfs -q image 2>/dev/null && mount -o loop -t btrfs image root || {{ echo "no btrfs"; exit {CANNOT_RUN}; }}
btrfs -q subvolume create root/one
mkdir root/one/folder root/plain
echo one >root/one/folder/file; echo linked >root/one/linked; ln root/one/linked root/one/folder/linked; echo plain >root/plain/file
find root/* -exec touch -d 2001-02-03 {{}} +  # old times, as in make_tree
btrfs -q subvolume snapshot root/one root/two
echo two >root/two/folder/file
touch -d 2002-03-04 root/two/folder/file root/two/folder
btrfs -q subvolume snapshot -r root/two root/frozen"""


@case("btrfs_subvolumes", WRITABLE + READ_ONLY, mount=BTRFS)
def btrfs_subvolumes(share):
    """Subvolumes and snapshots are visible, and their files, which have equal numbers on the host, are different files."""
    volumes = ["frozen", "one", "two"]
    check_equal(sorted(os.listdir(share.mnt)), sorted([*volumes, "plain"]), "entries of the share")
    host = [os.stat(f"{share.root}/{volume}/folder/file") for volume in volumes]
    check_equal(len({state.st_ino for state in host}), 1, "numbers on the host")
    for attempt in ("first", "second"):
        state = [os.stat(f"{share.mnt}/{volume}/{name}") for volume in volumes for name in ("", "folder", "folder/file", "linked")]
        check_equal(len({(one.st_dev, one.st_ino) for one in state}), len(state), f"distinct files at the {attempt} look")
        check_equal([content(f"{share.mnt}/{volume}/folder/file") for volume in volumes], [b"two\n", b"one\n", b"two\n"], "content")
    for volume in volumes:
        entries = {entry.name: entry.inode() for entry in os.scandir(f"{share.mnt}/{volume}")}
        check_equal(entries["folder"], os.stat(f"{share.mnt}/{volume}/folder").st_ino, "number of an entry and of its folder")
        check_equal(os.path.samefile(f"{share.mnt}/{volume}/linked", f"{share.mnt}/{volume}/folder/linked"), True, "hard link")
    # Programs that identify files by their numbers lose none of these files.
    share.sh(f"""! cmp -s one/folder/file two/folder/file; ! diff -r one two >{share.work}/differ; grep -q one {share.work}/differ
        mkdir {share.work}/tar {share.work}/cp; tar --format=posix -c . | tar -x -C {share.work}/tar; cp -a . {share.work}/cp; rsync -aH . {share.work}/rsync/
        [ "$(find . -type f | wc -l)" = 10 ]; du -a . >{share.work}/du; [ "$(grep -c 'folder/file$' {share.work}/du)" = 3 ]""")  # fmt: skip
    for copy in ("tar", "cp", "rsync"):
        check_same_tree(f"{share.work}/{copy}", share.root, f"tree that {copy} has copied")
    if share.mode not in WRITABLE:
        return
    share.sh("""echo more >>one/folder/file; echo new >two/new; mv two/linked two/moved; mv plain/file one/plain
        ! echo x 2>/dev/null >frozen/new; [ "$(cat two/folder/file)" = two ]; sync -f .""")
    check_same_tree(share.mnt, share.root, "tree of the host")
    check_equal(content(f"{share.root}/one/folder/file"), b"one\nmore\n", "content after an append")
    # A snapshot that the host takes while the share is mounted.
    share.sh("btrfs -q subvolume snapshot one three", share.root)
    time.sleep(1.1)
    check_equal(content(f"{share.mnt}/three/folder/file"), b"one\nmore\n", "a file of the new snapshot")
    numbers = {os.stat(f"{share.mnt}/{volume}/folder/file").st_ino for volume in [*volumes, "three"]}
    check_equal(len(numbers), 4, "number of distinct files")
