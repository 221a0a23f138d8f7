"""What a guest can repeat costs the host nothing that stays: looked for in the kernel's own memory.

The kernel keeps some of what belongs to io_uring outside every process and cgroup, and how differs
between Linux 6.1 and 6.12, so these cases run on both (tests/integration/run --lab-kernel 6.12).
"""

import re
import time

from cases_fs import share_config, write
from harness import READY, Api, Vm, case, check, check_equal, guest_files, new_image

# Of one reset, before files stayed in the table of their ring: 380 bytes on 6.1, 125 on 6.12, twice.
MOST_BYTES_A_TURN = 40
# The first turns fill slabs of 32 KiB (vCPUs, tasks) that stay. And the kernel keeps what it has
# unmapped from its own addresses until there are 64 MiB: 40 areas a reboot, 5 KiB. On 6.12 four
# reboots left 172 KiB, eight 196, twenty 244.
SLACK_KIB = 400
# The kernel counts open files on each CPU by itself and shows what was handed in, 32 at a time: both
# 32 more and 32 less were seen where none had stayed. Twenty reboots with leaks are far beyond it.
SLACK_FILES = 128


def kernel_memory():
    """Returns the least of some looks, with all caches dropped: (SUnreclaim in KiB, open files)."""
    looks = []
    for _ in range(5):
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3\n")
        time.sleep(0.3)
        with open("/proc/meminfo", encoding="ascii") as f:
            slab = int(re.search(r"^SUnreclaim:\s+(\d+)", f.read(), re.MULTILINE).group(1))
        with open("/proc/sys/fs/file-nr", encoding="ascii") as f:
            looks.append((slab, int(f.read().split()[0])))
    return min(slab for slab, _ in looks), min(files for _, files in looks)


class Ledger:
    """Holds what the kernel uses against what it used before."""

    def __init__(self):
        self.lines = []

    def check(self, what, turns, act):
        slab, files = kernel_memory()
        start = time.monotonic()
        act()
        seconds = time.monotonic() - start
        new_slab, new_files = kernel_memory()
        line = (
            f"{turns} {what}: SUnreclaim {new_slab - slab:+} KiB, "
            f"file-nr {new_files - files:+}, {seconds:.0f} s"
        )
        self.lines.append(line)
        print(f"     {line}", flush=True)
        check(new_slab - slab <= SLACK_KIB + turns * MOST_BYTES_A_TURN // 1024, line)
        check(new_files - files <= SLACK_FILES, line)


def repeat(vm, arguments, count):
    output = vm.shell(f"repeat {arguments} {count}", seconds=1500)
    check_equal(output, f"REPEATED {count}", f"repeat {arguments}")


def free_entropy_device(vm):
    """Takes the entropy device from its driver; returns its PCI address."""
    address = vm.shell(
        "cd /sys/bus/pci/devices; grep -l 0x1044 */device | cut -d/ -f1; cd /"
    ).split()
    check_equal(len(address), 1, "entropy devices")
    vm.shell(f"echo {address[0]} >/sys/bus/pci/drivers/virtio-pci/unbind")
    return address[0]


def look_for_leaks(folder, opens, resets, reboots):
    write(f"{folder}/files/file", b"content\n")
    share = {"tag": "fuse", "path": f"{folder}/files", "readonly": True}
    config = share_config("full", [share, {**share, "tag": "nine", "proto": "9p"}])
    config["payload"]["kernel"] = guest_files("full")["vmlinux"]  # nothing to unpack
    config["disks"] = [{"path": new_image(f"{folder}/disk.raw", 1 << 20)}]
    ledger = Ledger()
    api = Api(f"{folder}/api.sock")
    with Vm(folder, config, "--api-socket", api.path) as vm:
        vm.expect(READY)
        vm.shell("mkdir -p /fuse /nine; mount -t virtiofs -o ro fuse /fuse")
        vm.shell("mount -t 9p -o ro,trans=virtio,version=9p2000.L nine /nine")
        for mount in ("fuse", "nine"):
            repeat(vm, f"opens /{mount}/file", 200)
            ledger.check(
                f"opens and closes on {mount}",
                opens,
                lambda mount=mount: repeat(vm, f"opens /{mount}/file", opens),
            )
        device = free_entropy_device(vm)
        repeat(vm, f"resets {device}", 200)
        ledger.check(
            "resets of a device and its queue",
            resets,
            lambda: repeat(vm, f"resets {device}", resets),
        )
        vm.reboot()  # the first one makes what later ones use
        ledger.check("reboots", reboots, lambda: [vm.reboot() for _ in range(reboots)])
        vm.send("poweroff -f\n")
        vm.wait(0)
    return ledger


@case("kernel-memory-after-many-resets")
def kernel_memory_after_resets(folder):
    look_for_leaks(folder, 1000, 3000, 2)


@case("kernel-memory-after-20000-resets", full=True)
def kernel_memory_after_20000_resets(folder):
    # An open by 9p takes 10 to 30 ms in an emulated lab: 20,000 are longer than a session may be.
    look_for_leaks(folder, 5000, 20000, 2)


@case("kernel-memory-after-20-reboots", full=True)
def kernel_memory_after_20_reboots(folder):
    look_for_leaks(folder, 200, 200, 20)
