"""Stock kernels boot: kernel, image format, CPU count, memory size, root and console, pairwise.

The guests of the pairwise rows end in different ways, so no other case has to boot for an end.
"""

import itertools
import re
import signal
import time

from harness import (
    CASES,
    READY,
    Vm,
    case,
    check,
    check_equal,
    copy_image,
    encode,
    have,
    run,
    vm_config,
)

DIMENSIONS = {
    "kernel": ("cloud", "full", "backports"),
    "vcpus": (1, 2, 4),
    "memory": ("128M", "512M", "5G"),
    "image": ("bzImage", "vmlinux"),
    "root": ("initramfs", "disk"),
    "console": ("hvc0", "ttyS0"),
}
# Every pair of values of two dimensions occurs at least once. The case matrix-is-pairwise checks
# that.
MATRIX = [
    ("cloud", 1, "128M", "bzImage", "initramfs", "ttyS0"),
    ("cloud", 2, "512M", "bzImage", "disk", "ttyS0"),
    ("cloud", 4, "5G", "vmlinux", "initramfs", "hvc0"),
    ("full", 1, "512M", "vmlinux", "initramfs", "hvc0"),
    ("full", 2, "5G", "bzImage", "initramfs", "hvc0"),
    ("full", 4, "128M", "vmlinux", "disk", "ttyS0"),
    ("backports", 1, "5G", "bzImage", "disk", "ttyS0"),
    ("backports", 2, "128M", "vmlinux", "disk", "hvc0"),
    ("backports", 4, "512M", "bzImage", "initramfs", "hvc0"),
]
MIB_ABOVE_HOLE = 1024
MOST_BOOTS = 40


@case("matrix-is-pairwise", group="host", boots=0)
def matrix_is_pairwise(_):
    for (a, first), (b, second) in itertools.combinations(enumerate(DIMENSIONS.values()), 2):
        missing = set(itertools.product(first, second)) - {(row[a], row[b]) for row in MATRIX}
        check(not missing, f"no boot has {missing}")


@case("guests-of-ci-within-the-budget", group="host", boots=0)
def within_the_budget(_):
    boots = sum(row.boots for row in CASES if not row.full)
    check(boots <= MOST_BOOTS, f"CI starts {boots} guests, docs/testing.md allows {MOST_BOOTS}")


def check_guest(vm, kernel_version, vcpus, memory):
    """Checks in the guest's shell that the guest has what vm.json describes."""
    check_equal(vm.shell("uname -r"), kernel_version, "uname -r")
    check_equal(vm.shell("nproc"), str(vcpus), "nproc")
    total_mib = int(vm.shell("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) // 1024
    given_mib = {"128M": 128, "512M": 512, "5G": 5120}[memory]
    check(given_mib * 0.5 < total_mib <= given_mib, f"MemTotal is {total_mib} MiB of {given_mib}")
    check_equal(
        vm.shell("cat /sys/class/misc/hw_random/rng_current"), "virtio_rng.0", "entropy source"
    )
    check_equal(
        vm.shell("dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c"), "64", "bytes of entropy"
    )
    if memory == "5G":
        text = vm.shell(f"memory-pattern {MIB_ABOVE_HOLE + 64}", seconds=120)
        found = re.search(r"MEMORY-OK .*above 4 GiB: (\d+) MiB", text)
        check(found and int(found.group(1)) >= MIB_ABOVE_HOLE, f"memory above the hole: {text}")


def end_by_poweroff(vm):
    vm.send("exit\n")
    vm.wait(0)


def end_by_reboot(vm):
    vm.send("reboot -f\n")
    vm.wait(133)


def end_by_panic(vm):
    vm.send("echo c >/proc/sysrq-trigger\n")
    vm.expect(r"Kernel panic - not syncing: sysrq")
    vm.wait(134)
    check("panic" in vm.stderr(), f"no word of the panic on stderr: {vm.stderr()!r}")


def end_by_two_signals(vm):
    """The guest does not react to its power button, so a second signal ends vmm."""
    vm.signal(signal.SIGTERM)
    time.sleep(1)
    check(vm.process.poll() is None, "vmm ended at the first SIGTERM though the guest runs on")
    vm.signal(signal.SIGTERM)
    vm.wait(3, seconds=10)
    check_equal(len(vm.stderr().strip().splitlines()[-1:]), 1, "lines about the forced end")


# How the guest of a row ends if not by poweroff, and the options with which vmm starts.
ENDS = {
    MATRIX[2]: (end_by_two_signals, []),
    MATRIX[4]: (end_by_panic, []),
    MATRIX[8]: (end_by_reboot, ["--on-reboot=exit"]),
}


def check_numbers(folder, disk):
    """The root disk is clean and contains the file that the guest wrote."""
    run("e2fsck", "-fn", disk)
    run("debugfs", "-R", f"dump /numbers {folder}/numbers", disk)
    with open(f"{folder}/numbers", encoding="ascii") as f:
        check_equal(
            f.read(), "".join(f"{n}\n" for n in range(1, 20001)), "the file that the guest wrote"
        )


def boot(folder, kernel, vcpus, memory, image, root, console):
    end, options = ENDS.get((kernel, vcpus, memory, image, root, console), (end_by_poweroff, []))
    more = {"vcpus": vcpus, "memory": memory}
    if root == "disk":
        have("debugfs", "e2fsck")
        disk = copy_image("root-image", f"{folder}/root.raw")
        more["disks"] = [{"path": disk}]
        # The script of the initrd switches to the disk at once. The disk's init then runs a shell.
        more["test"] = "root_on /dev/vda"
        more["cmdline"] = f"roottest={encode('cd /; setsid -c sh')}"
    with Vm(folder, vm_config(kernel, image, tty=console, **more), *options) as vm:
        version = vm.expect(READY).group(1)
        if root == "disk":
            check_equal(vm.expect(r"VMM-ROOT-READY (\S+)\s").group(1), "/dev/vda", "root device")
        vm.expect(r"# ")
        check_guest(vm, version, vcpus, memory)
        if root == "disk":
            vm.shell("seq 1 20000 >/numbers; sync")
        end(vm)
    if root == "disk":
        check_numbers(folder, disk)


def register(row):
    name = "boot/" + "-".join(str(value) for value in row)

    @case(name)
    def run(folder):
        boot(folder, *row)


for matrix_row in MATRIX:
    register(matrix_row)


def register_product():
    """Registers the whole product of the dimensions, beyond the pairwise rows, for the long run."""
    for row in itertools.product(*DIMENSIONS.values()):
        if row not in MATRIX:
            name = "product/" + "-".join(str(value) for value in row)
            case(name, full=True)(lambda folder, row=row: boot(folder, *row))


register_product()
