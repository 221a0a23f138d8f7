"""The groups of figures that need guests or kernel modules. They run in the lab (tests/lab)."""

import glob
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import timeline as boot_timeline
import shares
from dax import dax
from machines import Ours, Qemu
from report import percentile, ratios, spread

DISK_MIB = 256
HANG_SECONDS = 5
BOOT_PATIENCE = 120
BLOCK_LOADS = {
    "randread-4k-qd32": "1.8x",
    "randwrite-4k-qd32": "1.8x",
    "read-128k-qd4": "1.1x",
    "randread-4k-qd1": "1.3x",
}


class Lab:
    """What the groups share: paths, and files that are copied to memory so that no host file system is measured."""

    def __init__(self, args, guest):
        self.args = args
        self.folder = tempfile.mkdtemp(dir="/dev/shm")
        self.vmm = shutil.copy(args.vmm, f"{self.folder}/vmm")
        self.guest = {name: shutil.copy(path, f"{self.folder}/{name}") for name, path in guest.items()}
        self.ours = Ours(self.vmm, self.folder)
        self.mounted = None

    def small_disk(self):
        """Returns an image for guests that do not measure the disk."""
        path = f"{os.environ['LAB_SCRATCH']}/small.raw"
        run("truncate", "-s", "64M", path)
        return path

    def disk(self):
        """Returns a raw image on ext4 in memory (a loop device), or on LAB_SCRATCH outside an emulated lab."""
        folder = os.environ["LAB_SCRATCH"]
        if os.environ["LAB_MODE"] == "emulated" and not self.mounted:
            image = f"{self.folder}/ext4.raw"
            run("truncate", "-s", f"{DISK_MIB + 64}M", image)
            run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", image)
            self.mounted = f"{self.folder}/ext4"
            os.mkdir(self.mounted)
            run("mount", "-o", "loop", image, self.mounted)
        return write_disk(f"{self.mounted or folder}/disk.raw")

    def start(self, kernel, bench, console, disks=(), all_devices=True, net=None):
        return self.ours.start(self.guest[kernel], self.guest["initrd"], bench, console, disks, all_devices, net)

    def end(self):
        if self.mounted:
            run("umount", self.mounted)
        shutil.rmtree(self.folder)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def write_disk(path, mib=DISK_MIB):
    if not os.path.exists(path):
        with open("/dev/urandom", "rb") as source, open(path, "wb") as f:
            block = source.read(1 << 20)
            for _ in range(mib):
                f.write(block)
            os.fsync(f.fileno())
    return path


def top(counts, limit=8):
    rows = sorted(counts.items(), key=lambda kv: -kv[1])
    text = ", ".join(f"{place} {count}" for place, count in rows[:limit])
    return text + (f", others {sum(count for _, count in rows[limit:])}" if len(rows) > limit else "")


# --- boot, memory, idle -----------------------------------------------------------------------------------------------


def boot(report, lab):
    qemu = Qemu()
    plan = {
        "ttyS0": lambda: lab.start("vmlinux", "boot", "ttyS0", all_devices=False),
        "qemu": lambda: qemu.start(lab.guest["vmlinux"], lab.guest["initrd"], "boot"),
        "hvc0": lambda: lab.start("vmlinux", "hvc", "hvc0"),
        "bzImage": lambda: lab.start("bzImage", "boot", "ttyS0", all_devices=False),
    }
    times, modules = {name: {} for name in plan}, {}  # one entry per round
    failures = dict.fromkeys(plan, 0)
    # The first round is not counted, because it brings programs and libraries into the lab's
    # memory.
    for number in range(lab.args.runs + 1):
        for name, start in plan.items():
            if failures[name] > 1:
                continue
            try:
                with start() as vm:
                    match, milliseconds = vm.wait_for(r"BENCH-INIT modules_us=(\d+)", BOOT_PATIENCE)
            except RuntimeError as error:
                failures[name] += 1
                report.missing(f"a boot: {name}", why=f"no init: {str(error)[-80:]!r}")
                continue
            if number > 0:
                times[name][number] = milliseconds
                if name == "hvc0":
                    modules[number] = int(match[1]) / 1000
    report_boots(report, times, modules, qemu.version)


def report_boots(report, times, modules, version):
    def add(figure, name, target=""):
        """Adds a figure. Returns its ratio to QEMU over the rounds in which both reached init."""
        rounds = times[name].keys() & times["qemu"].keys()
        ratio = ratios([times[name][r] for r in rounds], [times["qemu"][r] for r in rounds]) if target and rounds else None
        if times[name]:
            report.add(figure, spread(list(times[name].values()), 0), "ms", target, ratio)
        else:
            report.missing(figure, target, "no boot reached init")
        return ratio

    add(f"boot to init: QEMU {version} microvm, vmlinux", "qemu")
    vmlinux = add("boot to init: vmlinux, ttyS0", "ttyS0", "0.60x")
    add("boot to init: vmlinux, hvc0, with module load", "hvc0")
    difference = [times["hvc0"][r] - modules[r] - times["ttyS0"][r] for r in times["hvc0"].keys() & times["ttyS0"].keys()]
    if difference:
        report.add("the same less module load, less ttyS0", spread(difference, 0), "ms", "150 ms",
                   note=f"module load {statistics.median(modules.values()):.0f} ms")  # fmt: skip
    add("boot to init: bzImage, ttyS0", "bzImage", f"{vmlinux['median'] + 0.27:.2f}x" if vmlinux else "vmlinux + 0.27")


def timeline(report, lab):
    """Traces one boot of each program. Tracing slows them down, so the times cannot be compared with other figures."""
    qemu = Qemu()
    plan = {
        "vmlinux, ttyS0": (lab.vmm, lambda: lab.start("vmlinux", "boot", "ttyS0", all_devices=False)),
        "vmlinux, hvc0": (lab.vmm, lambda: lab.start("vmlinux", "hvc", "hvc0")),
        "bzImage, ttyS0": (lab.vmm, lambda: lab.start("bzImage", "boot", "ttyS0", all_devices=False)),
        "QEMU microvm, vmlinux": (
            qemu.command[0],
            lambda: qemu.start(lab.guest["vmlinux"], lab.guest["initrd"], "boot"),
        ),
    }
    boots = {}
    for name, (program, start) in plan.items():
        start_and_wait(start)  # brings the program into the lab's memory
        with boot_timeline.Trace() as trace:
            end = start_and_wait(start)
            marks = {**trace.marks(program), "init": end}
        boots[name] = boot_timeline.since_start(marks)
        report.add(f"boot timeline: {name}", round(boots[name][-1][1], 1), "ms", note=boot_timeline.text(boots[name]),
                   detail=dict(boots[name]))  # fmt: skip
    with open(f"{os.environ['LAB_OUT']}/timeline.svg", "w", encoding="utf-8") as f:
        f.write(boot_timeline.svg(boots))


def start_and_wait(start):
    """Boots to init. Returns the time at which init's line appeared."""
    with start() as vm:
        _, milliseconds = vm.wait_for("BENCH-INIT", BOOT_PATIENCE)
        return vm.started + milliseconds / 1000


def exits(report, lab):
    disk = lab.small_disk()
    for console, bench in (("ttyS0", "boot"), ("hvc0", "hvc")):
        totals = []
        for _ in range(min(lab.args.runs, 3)):
            with lab.start("vmlinux", bench, console, [disk]) as vm:
                vm.wait_for("BENCH-INIT.*\n")
                counts = lab.ours.exits()
                totals.append(sum(counts.values()))
                printed = len(vm.text)
        target = f"{600 + 3 * printed} (600 + 3 x {printed})" if console == "ttyS0" else "600"
        report.add(f"exits to user space until init: {console}", spread(totals, 0), "", target, note=top(counts), detail=counts)


def memory(report, lab):
    disk = lab.small_disk()
    values = {"without": [], "with": []}
    for _ in range(min(lab.args.runs, 3)):
        for name, taken in values.items():
            net = {"tap": "vmtap0", "mac": "02:00:00:00:00:02"} if name == "with" else None
            with lab.start("vmlinux", "hvc", "hvc0", [disk], net=net) as vm:
                vm.wait_for("BENCH-INIT")
                kib, mappings = vm.memory_outside_guest()
            if name == "without":
                parts = mappings
            taken.append(kib)
    report.add("resident memory outside guest RAM, at init", spread(values["without"], 0), "KiB", "3072", note=top(parts), detail=parts)
    more = [a - b for a, b in zip(values["with"], values["without"])]
    report.add("resident memory of one network device more", spread(more, 0), "KiB", "512")


def growth(before, after):
    """Returns by how much devices' counters grew, without those that did not grow."""
    return {
        f"{device} {name}": count - before[device].get(name, 0)
        for device, counters in after.items()
        for name, count in counters.items()
        if device != "_vcpus" and count != before[device].get(name, 0)
    }


def idle(report, lab):
    with lab.start("vmlinux", "hvc", "hvc0", [lab.small_disk()]) as vm:
        vm.wait_for("BENCH-INIT")
        time.sleep(9)
        counted = lab.ours.get("vm.counters")
        time.sleep(1)  # answering the request wakes loops too
        before, cpu = vm.threads(), vm.cpu_seconds()
        others = sum(vm.cpu_seconds(thread) for thread in before)
        time.sleep(30)
        after, used = vm.threads(), vm.cpu_seconds() - cpu
        others = sum(vm.cpu_seconds(thread) for thread in after) - others
        work = growth(counted, lab.ours.get("vm.counters"))
    woken = {f"{name} {thread}": count - before.get(thread, (name, 0))[1] for thread, (name, count) in after.items()}
    note = ", ".join(f"{name}: {count}" for name, count in woken.items() if count)
    note += f"; the guest asked for {json.dumps(work)}" if work else ""
    report.add("idle 30 s: wake-ups outside vCPU threads", sum(woken.values()), "", "0", note=note)
    report.add("idle 30 s: CPU time outside vCPU threads", round(others / 30 * 100, 1), "%", "0.0")
    report.add("idle 30 s: CPU time with vCPU threads", round(used / 30 * 100, 1), "%", "0.0",
               note="" if os.environ["LAB_MODE"] == "direct" else "entering a guest is dear in an emulated lab")  # fmt: skip


# --- block ------------------------------------------------------------------------------------------------------------


def block_guest(report, lab):
    disk, qemu = lab.disk(), Qemu()
    bench = f"block BENCH_SECONDS={lab.args.seconds}"
    plan = {
        "vmm": lambda: lab.start("vmlinux", bench, "hvc0", [disk]),
        "qemu": lambda: qemu.start(lab.guest["bzImage"], lab.guest["initrd"], bench, "q35", "hvc0", disk),
    }
    results = {name: {load: {"iops": [], "cpu_us": []} for load in BLOCK_LOADS} for name in plan}
    for _ in range(lab.args.runs):
        for name, start in plan.items():
            with start() as vm:
                for load in BLOCK_LOADS:
                    vm.wait_for(f"BENCH-BEGIN {load}")
                    cpu = vm.cpu_seconds()
                    match, _ = vm.wait_for(rf"BENCH-BLOCK {load} (\d+) (\d+) (\d+) errors=(\d+)")
                    operations, microseconds = int(match[1]), int(match[3])
                    if match[4] != "0":
                        raise RuntimeError(f"{name}: {match[0]}")
                    results[name][load]["iops"].append(operations / microseconds * 1e6)
                    results[name][load]["cpu_us"].append((vm.cpu_seconds() - cpu) * 1e6 / operations)
                vm.wait_for("BENCH-DONE")
                if name == "vmm":
                    counters = lab.ours.get("vm.counters")
    for load, target in BLOCK_LOADS.items():
        ours, theirs = results["vmm"][load], results["qemu"][load]
        report.add(f"block in guest, {load}: QEMU {qemu.version}", spread(theirs["iops"], 0), "IOPS")
        report.add(f"block in guest, {load}", spread(ours["iops"], 0), "IOPS", target, ratios(ours["iops"], theirs["iops"]))
        report.add("  CPU time a request, with the guest's", spread(ours["cpu_us"], 0), "us", "1.0x",
                   ratios(ours["cpu_us"], theirs["cpu_us"]))  # fmt: skip
    counters.pop("_vcpus")
    report.add("block in guest: counters of one run", "in the JSON file", detail=counters)


def compare_in_process(report, args, disk, name, iops_target, cpu_target):
    """Compares the device with an in-process driver to io_uring alone, in alternating runs."""
    rows = {"device": [], "raw": []}
    for _ in range(args.runs):
        for mode, values in rows.items():
            done = subprocess.run([args.block_bench, mode, disk, str(args.seconds)], capture_output=True, text=True,
                                  check=False)  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"block_bench {mode}: exit status {done.returncode}: {done.stderr.strip()}")
            values.append(json.loads(done.stdout))

    def of(mode, key):
        return [row[key] for row in rows[mode]]

    report.add(f"{name}: io_uring", spread(of("raw", "iops"), 0), "IOPS")
    report.add(f"{name}: device", spread(of("device", "iops"), 0), "IOPS", iops_target,
               ratios(of("device", "iops"), of("raw", "iops")))  # fmt: skip
    report.add("  CPU time a request", spread(of("device", "cpu_us"), 2), "us", cpu_target,
               ratios(of("device", "cpu_us"), of("raw", "cpu_us")))  # fmt: skip
    doorbells, interrupts = statistics.median(of("device", "kicks")), statistics.median(of("device", "interrupts"))
    report.add("  system calls a request", spread(of("device", "syscalls"), 3), "", "",
               ratios(of("device", "syscalls"), of("raw", "syscalls")),
               f"and {doorbells:.3f} doorbells, {interrupts:.3f} interrupts")  # fmt: skip


def block_null(report, lab):
    run("modprobe", "null_blk", "gb=1", "bs=4096")
    compare_in_process(report, lab.args, "/dev/nullb0", "in process, null_blk, randread-4k-qd32", "", "1.3x")


class Delay:
    """A device-mapper disk that answers after some milliseconds."""

    def __init__(self, name, milliseconds):
        self.name = name
        self.path = f"/dev/mapper/{name}"
        run("modprobe", "-a", "dm-mod", "dm-delay")
        run("dmsetup", "create", name, "--noudevsync", "--noudevrules", "--table",
            f"0 {sectors('/dev/nullb0')} delay /dev/nullb0 0 {milliseconds}")  # fmt: skip
        run("dmsetup", "mknodes", name)

    def hang(self):
        run("dmsetup", "suspend", "--nolockfs", "--noflush", "--noudevsync", self.name)

    def go_on(self):
        run("dmsetup", "resume", "--noudevsync", self.name)

    def end(self):
        run("dmsetup", "remove", "--noudevsync", "--retry", self.name)


def sectors(device):
    return int(run("blockdev", "--getsz", device))


def block_slow(report, lab):
    run("modprobe", "null_blk", "gb=1", "bs=4096", "nr_devices=2")
    slow = Delay("slow", 2)
    try:
        compare_in_process(report, lab.args, slow.path, "in process, dm-delay 2 ms, randread-4k-qd32", "0.9x", "")
        hang_in_process(report, lab.args, slow)
        hang(report, lab, slow)
    finally:
        slow.end()


def hang_in_process(report, args, slow):
    """Measures a disk beside one that does not answer, on the same event loop, in turn with the disk alone."""
    rows = {"calm": [], "hang": []}
    for _ in range(args.runs):
        for phase, arguments in (("calm", ["alone"]), ("hang", ["beside", slow.path])):
            if phase == "hang":
                slow.hang()
            command = [args.block_bench, *arguments, "/dev/nullb1", str(HANG_SECONDS)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                line = process.stdout.readline()
                # The process cannot end before the disk answers.
                if phase == "hang":
                    slow.go_on()
            if process.returncode:
                raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
            values = json.loads(line)
            rows[phase].append((values["p50_us"] / 1000, values["p99_us"] / 1000))
    report_hang(report, "a second disk, in process", rows)


def report_hang(report, what, rows):
    """Reports the p99 of rows of (p50, p99) in ms, beside the calm ones. The note has the p50."""
    p50, p99 = ({phase: [row[i] for row in rows[phase]] for phase in rows} for i in (0, 1))
    calm, middle = spread(p99["calm"], 2), [round(statistics.median(p50[phase]), 2) for phase in ("hang", "calm")]
    report.add(f"one disk hangs {HANG_SECONDS} s: p99 of {what}", spread(p99["hang"], 2), "ms", "20 ms",
               ratios(p99["hang"], p99["calm"]),
               f"without: {calm['median']} ({calm['min']} to {calm['max']}) ms; p50: {middle[0]}, without: {middle[1]} ms")  # fmt: skip


class Clock(threading.Thread):
    """Calls a function repeatedly and records how many milliseconds each call took."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.milliseconds = []
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            start = time.monotonic()
            self.call()
            self.milliseconds.append((time.monotonic() - start) * 1000)

    def end(self):
        """Returns (p50, p99)."""
        self.ended.set()
        self.join()
        return percentile(self.milliseconds, 0.5), percentile(self.milliseconds, 0.99)


def hang(report, lab, slow):
    """Measures console, API and a second disk of a VM while its first disk does not answer, in turn with calm phases.

    A sleep of 1 ms beside them shows how late this machine is for other reasons.
    """
    names = ("a second disk of a VM", "the console of a VM", "the API", "a sleep of 1 ms")
    rows = {name: {"calm": [], "hang": []} for name in names}
    bench = f"hang BENCH_SECONDS={HANG_SECONDS} BENCH_ROUNDS={lab.args.runs}"
    with lab.start("vmlinux", bench, "hvc0", [slow.path, "/dev/nullb1"]) as vm:
        for phase in ("calm", "hang") * lab.args.runs:
            vm.wait_for(f"BENCH-BEGIN {phase}")
            if phase == "hang":
                slow.hang()
            clocks = [Clock(lambda: lab.ours.get("vm.ping")), Clock(lambda: time.sleep(0.001))]
            try:
                match, _ = vm.wait_for(rf"BENCH-HANG {phase} (\d+) (\d+) (\d+) (\d+)", 60)
            finally:
                taken = [clock.end() for clock in clocks]
                if phase == "hang":
                    slow.go_on()
            vm.text = vm.text[match.end() :]  # the next round prints the same lines
            in_guest = [int(text) / 1000 for text in match.groups()]
            for name, row in zip(names, (in_guest[:2], in_guest[2:], *taken)):
                rows[name][phase].append(row)
    for name in names:
        report_hang(report, name, rows[name])


# --- network ----------------------------------------------------------------------------------------------------------

NET_LOADS = {
    # mode: (figure, unit, what to make of (count, microseconds), targets without and with vhost-net)
    "tcp-out": ("TCP, guest to host", "Mbit/s", lambda count, us: count * 8 / us, "1.5x", "1.0x"),
    "tcp-in": ("TCP, host to guest", "Mbit/s", lambda count, us: count * 8 / us, "1.6x", "1.0x"),
    "udp-out": ("UDP, 1472 bytes, guest to host", "packets/s", lambda count, us: count / us * 1e6, "1.8x", ""),
    "udp-in": ("UDP, 1472 bytes, host to guest", "packets/s", lambda count, us: count / us * 1e6, "2.5x", ""),
    "echo": ("round trip of 64 bytes by UDP", "us", lambda count, us: us / count, "0.7x", ""),
}


def kvm_counts():
    """Returns what the host's KVM counts for the only VM: exits, irq_injections and many others."""
    counts = {}
    for path in glob.glob("/sys/kernel/debug/kvm/*-*/*"):  # process and descriptor
        if os.path.isfile(path):
            with open(path, encoding="ascii") as f:
                value = f.read().strip()
            if value.isdigit():
                counts[os.path.basename(path)] = int(value)
    return counts


def packets(mode, count):
    """Returns the number of packets of a load that has moved `count` bytes (TCP) or packets."""
    return max(1, count / 1448 if mode.startswith("tcp") else count)


def wait_for_tap(there):
    """Waits until the VM has made its interface, or until the interface is gone with the VM."""
    deadline = time.monotonic() + 10
    while os.path.exists("/sys/class/net/vmtap0") != there and time.monotonic() < deadline:
        time.sleep(0.1)


def net(report, lab):
    qemu = Qemu()
    load = f"{lab.folder}/net_load"
    shutil.copy(lab.args.net_load, load)
    run("modprobe", "-a", "tun", "bridge", "vhost_net")
    if not os.path.exists("/sys/kernel/debug/kvm"):
        run("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug")
    run("ip", "link", "add", "vmbench0", "type", "bridge")
    run("ip", "addr", "add", "10.78.0.1/24", "dev", "vmbench0")
    run("ip", "link", "set", "vmbench0", "up")

    def ours(vhost):
        return lab.start("vmlinux", "net", "hvc0", net={"tap": "vmtap0", "mac": "02:00:00:00:00:02", "vhost": vhost})

    def theirs(vhost):
        return qemu.start(lab.guest["bzImage"], lab.guest["initrd"], "net", "q35", "hvc0",
                          netdev=f"ifname=vmtap0,vhost={vhost}")  # fmt: skip

    plan = {"vmm": lambda: ours(False), "qemu": lambda: theirs("off"), "vmm vhost": lambda: ours(True),
            "qemu vhost": lambda: theirs("on")}  # fmt: skip
    values = {name: {mode: [] for mode in NET_LOADS} for name in plan}
    counts = {name: {mode: [] for mode in NET_LOADS} for name in plan}
    for _ in range(lab.args.runs):
        for name, start in plan.items():
            with start() as vm:
                wait_for_tap(True)
                run("ip", "link", "set", "vmtap0", "master", "vmbench0", "up")
                vm.wait_for("BENCH-NET")
                for mode, (_, _, figure, _, _) in NET_LOADS.items():
                    before = kvm_counts()
                    count, us = map(int, run(load, mode, str(lab.args.seconds)).split())
                    after = kvm_counts()
                    values[name][mode].append(figure(count, us))
                    of_thousand = 1000 / packets(mode, count)
                    counted = {key: (after[key] - before[key]) * of_thousand for key in before}
                    with boot_timeline.SystemCalls(vm.process.pid) as calls:
                        count, _ = map(int, run(load, mode, "1").split())
                    counted["syscalls"] = calls.count * 1000 / packets(mode, count)
                    counts[name][mode].append(counted)
            wait_for_tap(False)
    run("ip", "link", "del", "vmbench0")
    report_net(report, values, counts, qemu.version)


def report_net(report, values, counts, version):
    for mode, (figure, unit, _, target, vhost_target) in NET_LOADS.items():
        for suffix, wanted in (("", target), (" vhost", vhost_target)):
            name = figure + (", vhost-net" if suffix else "")
            ours, qemus = values[f"vmm{suffix}"][mode], values[f"qemu{suffix}"][mode]

            def per_thousand(who, key, suffix=suffix, mode=mode):
                return round(statistics.median(row[key] for row in counts[f"{who}{suffix}"][mode]))

            def often(who, suffix=suffix, mode=mode):
                found = {key: per_thousand(who, key) for key in counts[f"{who}{suffix}"][mode][0]}
                return {key: value for key, value in found.items() if value > 0}

            report.add(f"{name}: QEMU {version}", spread(qemus, 0), unit)
            note = "for 1000 packets: " + "; ".join(
                f"{what} {per_thousand('vmm', key)}, QEMU {per_thousand('qemu', key)}"
                for what, key in (("exits", "exits"), ("interrupts", "irq_injections"), ("system calls", "syscalls"))
            )
            report.add(name, spread(ours, 0), unit, wanted, ratios(ours, qemus), note,
                       detail={"vmm": often("vmm"), "QEMU": often("qemu")})  # fmt: skip


GROUPS = {
    "net": net,
    "boot": boot,
    "timeline": timeline,
    "exits": exits,
    "memory": memory,
    "idle": idle,
    "block-guest": block_guest,
    "block-null": block_null,
    "block-slow": block_slow,
    "dax": dax,
    **shares.GROUPS,
}
