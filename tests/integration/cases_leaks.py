"""Operations that a guest can repeat must not leave anything in the memory of the host's kernel.

The kernel keeps some of io_uring's memory outside every process and cgroup. How it does so differs
between Linux 6.1 and 6.12, so these cases run on both (tests/integration/run --lab-kernel 6.12).
"""

import re
import time

from cases_fs import share_config, write
from harness import READY, Api, Vm, case, check, check_equal, guest_files, new_image

# A reset leaked 380 bytes on 6.1, and twice 125 on 6.12, before files stayed in the table of a
# ring.
MOST_BYTES_A_TURN = 40
# The first turns fill slabs of 32 KiB (vCPUs, tasks), which stay. The kernel also keeps what it has
# unmapped from its own addresses until that is 64 MiB: 40 areas (5 KiB) per reboot. On 6.12 four
# reboots left 172 KiB, eight left 196 and twenty left 244.
SLACK_KIB = 400
# The kernel counts open files on each CPU separately, and the total that it shows changes in steps
# of 32: 32 more and 32 less were seen without a leak. Twenty reboots with a leak leave far more.
SLACK_FILES = 128


def kernel_memory():
    """Returns the minimum of several readings without caches: (SUnreclaim in KiB, open files)."""
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
    """Compares the memory that the kernel uses with what it used before."""

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
    """Unbinds the entropy device from its driver. Returns its PCI address."""
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
    # an uncompressed kernel starts faster
    config["payload"]["kernel"] = guest_files("full")["vmlinux"]
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
        vm.reboot()  # the first reboot makes objects that later reboots use again
        ledger.check("reboots", reboots, lambda: [vm.reboot() for _ in range(reboots)])
        vm.send("poweroff -f\n")
        vm.wait(0)
    return ledger


@case("kernel-memory-after-many-resets")
def kernel_memory_after_resets(folder):
    look_for_leaks(folder, 1000, 3000, 2)


@case("kernel-memory-after-20000-resets", full=True)
def kernel_memory_after_20000_resets(folder):
    # An open by 9p takes 10 to 30 ms in an emulated lab, so 20,000 would exceed the limit of a
    # session.
    look_for_leaks(folder, 5000, 20000, 2)


@case("kernel-memory-after-20-reboots", full=True)
def kernel_memory_after_20_reboots(folder):
    look_for_leaks(folder, 200, 200, 20)
