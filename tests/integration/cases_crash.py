"""The promise of a completed flush: power cuts of the host, and replays at flush boundaries."""

import contextlib
import json
import os
import random
import re
import signal
import struct
import subprocess

from harness import (
    Console,
    Failure,
    Vm,
    case,
    check,
    check_equal,
    have,
    new_image,
    run,
    vm_config,
    vmm_path,
)

LAB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab", "lab")
SECTOR = 512
BLOCK = 4096
BLOCKS = 4096
LOAD = f"wait_for /dev/vda; crash-load /dev/vda {BLOCKS}"
MAGIC = 0x48535243
LAB_DEATH = 125  # exit status of tests/lab/lab
# A batch that the console has not reported yet may be on the disk. A batch far ahead of it may not.
MAX_AHEAD = 10000


class Load:
    """Computes from the seed what tests/lab/crash_load.c writes."""

    def __init__(self, seed):
        self._state = seed
        self._batches = [set()]

    def _random(self):
        x = self._state
        x ^= x << 13 & (1 << 64) - 1
        x ^= x >> 7
        x ^= x << 17 & (1 << 64) - 1
        self._state = x
        return x

    def blocks(self, batch):
        """Returns the blocks that a batch writes."""
        while len(self._batches) <= batch:
            blocks = set()
            for _ in range(1 + self._random() % 8):
                where = self._random()
                run_length = 1 + (where >> 32) % 4
                first = (where & 0xFFFFFFFF) % (BLOCKS - run_length + 1)
                blocks.update(range(first, first + run_length))
            self._batches.append(blocks)
        return self._batches[batch]

    def newest(self, last):
        """Returns {block: the last batch that wrote it}, for the batches up to `last`."""
        return {block: batch for batch in range(1, last + 1) for block in self.blocks(batch)}


def batch_of(data, sector):
    """Returns the batch that wrote a sector, or 0 for none. Fails if a sector mixes batches."""
    if not any(data):
        return 0
    magic, batch, where = struct.unpack_from("<IIQ", data)
    if data != data[:16] * (SECTOR // 16) or magic != MAGIC or where != sector:
        raise Failure(f"sector {sector} is torn or from elsewhere: {data[:32].hex()}")
    return batch


def check_content(data, load, wrote, flushed):
    """Checks a whole image. Returns (sectors written and lost, sectors newer than the last flush)."""
    promised, written = load.newest(flushed), load.newest(wrote)
    lost = newer = 0
    for sector in range(BLOCKS * BLOCK // SECTOR):
        block = sector * SECTOR // BLOCK
        batch = batch_of(data[sector * SECTOR : (sector + 1) * SECTOR], sector)
        check(
            batch >= promised.get(block, 0),
            f"sector {sector}: batch {batch} is there, {promised.get(block, 0)} was flushed",
        )
        check(batch < wrote + MAX_AHEAD, f"sector {sector}: batch {batch} of {wrote}")
        check(batch == 0 or block in load.blocks(batch), f"sector {sector}: not of batch {batch}")
        lost += batch < written.get(block, 0)
        newer += batch > flushed
    return lost, newer


def last_number(word, text):
    """Returns the last complete number that the load printed after `word`."""
    return int((re.findall(rf"^{word} (\d+)\r?\n", text, re.MULTILINE) or ["0"])[-1])


# --- power cuts -----------------------------------------------------------------------------------


class Machine:
    """An emulated machine that runs vmm with the load until its power is cut."""

    def __init__(self, folder, on_file, direct, seed, guest_command=""):
        self.folder = folder
        self.on_file = on_file
        self.disk = os.path.join(folder, "disk.raw")
        image = self._make_disk()
        config = vm_config(
            test=f"{guest_command}\n{LOAD} {seed}",
            disks=[{"path": image, "direct": direct}],
        )
        with open(f"{folder}/vm.json", "w", encoding="utf-8") as f:
            json.dump(config, f)
        mount = "mount /dev/vda /mnt && " if on_file else ""
        options = ["--no-repeat", "-m", "2G", "-s", "0", "-t", "600", "--disk", self.disk]
        command = f"{mount}exec {vmm_path()} --config {folder}/vm.json"
        with open(f"{folder}/lab.stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [LAB, *options, "-o", f"{folder}/out", "--", "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.console = Console(self.process.stdout.fileno(), f"{folder}/console")

    def _make_disk(self):
        """Makes the machine's disk. Returns the path of the image inside the machine."""
        if not self.on_file:
            new_image(self.disk, BLOCKS * BLOCK)
            return "/dev/vda"
        os.makedirs(f"{self.folder}/tree")
        new_image(f"{self.folder}/tree/image.raw", BLOCKS * BLOCK)
        run("mke2fs", "-q", "-t", "ext4", "-d", f"{self.folder}/tree", self.disk, "96M")
        return "/mnt/image.raw"

    def expect_flushes(self):
        try:
            self.console.expect(r"FLUSHED \d+\s", 300)
        except Failure as failure:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if self.process.wait(10) == LAB_DEATH:
                    raise LabDied(str(failure)) from failure
            raise

    def cut_power(self):
        """Kills the emulator, so that nothing in the machine can still write."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
            for child in f.read().split():
                os.kill(int(child), signal.SIGKILL)

    def end(self):
        """Waits until the launcher sees that its machine is gone. Returns the console's text."""
        self.process.wait(60)
        with contextlib.suppress(Failure):
            self.console.expect("no such text", 20)  # until the end of the output
        return self.console.text()

    def content(self):
        """Returns the bytes of the image, read without this kernel's file systems."""
        path = self.disk
        if self.on_file:
            path = f"{self.folder}/image.raw"
            # Replay the journal, as the next mount would.
            subprocess.run(["e2fsck", "-fy", self.disk], capture_output=True, check=False)
            run("e2fsck", "-fn", self.disk)
            run("debugfs", "-R", f"dump /image.raw {path}", self.disk)
        with open(path, "rb") as f:
            data = f.read()
        check_equal(len(data), BLOCKS * BLOCK, "size of the image")
        return data


class LabDied(Failure):
    """The machine died before its power was cut, which says nothing about vmm."""


def cut_power(folder, number, guest_command=""):
    """Cuts the power under the load. Returns one line with the results, or fails."""
    try:
        return cut_power_once(os.path.join(folder, f"cut{number}"), number, guest_command)
    except LabDied as death:
        print(f"lab death: {death}", flush=True)
        return cut_power_once(os.path.join(folder, f"cut{number}-again"), number, guest_command)


def cut_power_once(folder, number, guest_command):
    on_file, direct = number % 2 == 0, number % 4 < 2
    seed = number + 1
    os.makedirs(folder)
    chance = random.Random(seed)
    machine = Machine(folder, on_file, direct, seed, guest_command)
    try:
        machine.expect_flushes()
        seconds = chance.uniform(0.5, 5)
        with contextlib.suppress(Failure):
            machine.console.expect("CRASH-ERROR.*", seconds)
        check("CRASH-ERROR" not in machine.console.text(), machine.console.tail())
    finally:
        machine.cut_power()
        text = machine.end()
    wrote, flushed = last_number("WROTE", text), last_number("FLUSHED", text)
    lost, newer = check_content(machine.content(), Load(seed), wrote, flushed)
    where = "a file on ext4" if on_file else "a block device"
    return (
        f"cut {number + 1}: {where}, {'direct' if direct else 'buffered'}, after {seconds:.1f} s: "
        f"{wrote} batches written, {flushed} flushed; sectors lost {lost}, newer {newer}"
    )


@case("ten-power-cuts-lose-nothing-flushed", group="host", full=True, boots=10)
def ten_power_cuts(folder):
    have("mke2fs", "e2fsck", "debugfs")
    for number in range(10):
        print(cut_power(folder, number), flush=True)


@case("a-power-cut-without-flushes-is-noticed", group="host", full=True)
def power_cut_without_flushes(folder):
    """Tests the check itself: a guest that believes in a write-through disk sends no flush."""
    have("mke2fs", "e2fsck", "debugfs")
    no_flush = "wait_for /dev/vda; echo 'write through' >/sys/block/vda/queue/write_cache"
    try:
        seen = cut_power(folder, 2, no_flush)
    except Failure as failure:
        check("was flushed" in str(failure), f"another failure: {failure}")
        print(f"noticed: {failure}", flush=True)
        return
    raise Failure(f"nothing was flushed, and nothing is missing: {seen}")


# --- replay of the write log ----------------------------------------------------------------------

LOG_MAGIC = 0x6A736677736872
LOG_FLUSH, LOG_DISCARD, LOG_MARK = 1, 4, 8


def log_entries(path):
    """Yields (flags, first sector, data) of a dm-log-writes log, in order (dm-log-writes.c)."""
    with open(path, "rb") as f:
        magic, version, count, size = struct.unpack("<QQQI", f.read(28))
        check_equal((magic, version), (LOG_MAGIC, 1), "magic and version of the log")
        offset = size
        for _ in range(count):
            f.seek(offset)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", f.read(32))
            offset += size
            data = b""
            if sectors and not flags & (LOG_DISCARD | LOG_MARK):
                f.seek(offset)
                data = f.read(sectors * size)
                offset += sectors * size
            yield flags, sector * size // SECTOR, data


def replay(path, load, acknowledged):
    """Checks the state at each flush. Returns how many (writes, flushes) are in the log.

    The load has one flush in flight, so the flush entries of the log are its flushes, in order. No
    sector may go back to an older batch, so a sector that was right at one flush is not checked
    again.
    """
    state, writes, flushes, checked = {}, 0, 0, 0
    for flags, first, data in log_entries(path):
        for at in range(0, len(data), SECTOR):
            sector = first + at // SECTOR
            batch = batch_of(data[at : at + SECTOR], sector)
            check(
                batch >= state.get(sector, 0), f"sector {sector}: {batch} after {state.get(sector)}"
            )
            state[sector] = batch
        writes += bool(data)
        if not flags & LOG_FLUSH or data:
            continue
        if flushes < len(acknowledged):
            for batch in range(checked + 1, acknowledged[flushes] + 1):
                check_batch(state, load, batch, flushes)
            checked = acknowledged[flushes]
        flushes += 1
    return writes, flushes


def check_batch(state, load, batch, flush):
    per_block = BLOCK // SECTOR
    for block in load.blocks(batch):
        for sector in range(block * per_block, (block + 1) * per_block):
            check(
                state.get(sector, 0) >= batch,
                f"flush {flush}: sector {sector} has {state.get(sector, 0)}, {batch} was written",
            )


def check_replay_notices(path, seed, acknowledged):
    """Tests the check itself: it must notice a write that only the next flush covers."""
    try:
        replay(path, Load(seed), acknowledged[1:])
    except Failure:
        return
    raise Failure("the replay would not notice a flush that comes too late")


@contextlib.contextmanager
def log_device(folder):
    """Provides a dm-log-writes device over two loop devices. Its log is complete afterwards."""
    loops = [
        run("losetup", "--show", "-f", new_image(f"{folder}/{name}", size)).strip()
        for name, size in (("data", BLOCKS * BLOCK), ("log", 256 << 20))
    ]
    try:
        table = f"0 {BLOCKS * BLOCK // SECTOR} log-writes {loops[0]} {loops[1]}"
        run("dmsetup", "create", "crash", "--noudevsync", "--noudevrules", "--table", table)
        run("dmsetup", "mknodes", "crash")
        try:
            yield "/dev/mapper/crash"
        finally:
            run("dmsetup", "remove", "--noudevsync", "--retry", "crash")
    finally:
        for device in loops:
            run("losetup", "-d", device)


def replay_boundaries(folder, direct, batches=400, guest_command=""):
    have("losetup", "dmsetup")
    run("modprobe", "-a", "dm-mod", "dm-log-writes", "loop")
    seed = 11 + direct
    with log_device(folder) as device:
        config = vm_config(
            test=f"{guest_command}\n{LOAD} {seed} {batches}",
            disks=[{"path": device, "direct": direct}],
        )
        with Vm(folder, config) as vm:
            vm.expect("CRASH-DONE", 300)
            vm.wait(0)
            text = vm.console.text()
    acknowledged = [int(n) for n in re.findall(r"^FLUSHED (\d+)", text, re.MULTILINE)]
    check_equal(acknowledged[-1:], [batches], "the last flush")
    writes, flushes = replay(f"{folder}/log", Load(seed), acknowledged)
    seen = f"{writes} writes and {flushes} flushes in the log, {len(acknowledged)} acknowledged"
    # vmm flushes once more when it ends.
    check(len(acknowledged) <= flushes <= len(acknowledged) + 1, seen)
    check_replay_notices(f"{folder}/log", seed, acknowledged)
    print(f"{'direct' if direct else 'buffered'}: {seen}", flush=True)


@case("flush-boundaries-replayed-direct", full=True)
def flush_boundaries_direct(folder):
    replay_boundaries(folder, True)


@case("flush-boundaries-replayed-buffered", full=True)
def flush_boundaries_buffered(folder):
    replay_boundaries(folder, False)
