"""Disks: what the guest writes is in the image, read-only is, one image belongs to one VM."""

import contextlib
import os
import signal
import subprocess

from harness import (
    READY,
    Skip,
    Vm,
    case,
    check,
    check_equal,
    copy_image,
    encode,
    have,
    new_image,
    run,
    vm_config,
)

PATTERN = "pattern-of-the-guest-"


def loop_device(image):
    """Returns a loop block device over an image; the caller detaches it."""
    have("losetup")
    done = subprocess.run(
        ["losetup", "--show", "-f", image],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Skip(f"no loop device: {done.stdout.strip()}")
    return done.stdout.strip()


def read_at(path, offset, size):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(size)


@case("disks-written-read-only-loop-locked-grown")
def disks(folder):
    first = new_image(f"{folder}/first.raw", 64 << 20)
    fixed = new_image(f"{folder}/fixed.raw", 1 << 20)
    looped = new_image(f"{folder}/looped.raw", 32 << 20)
    with open(fixed, "r+b") as f:
        f.write(b"FIXED")
    before = read_at(fixed, 0, 1 << 20)
    device = loop_device(looped)
    script = f"""
wait_for /dev/vdc
echo "SIZES $(cat /sys/block/vda/size /sys/block/vdb/size /sys/block/vdc/size | tr '\\n' ' ')"
echo "RO $(cat /sys/block/vda/ro /sys/block/vdb/ro /sys/block/vdc/ro | tr '\\n' ' ')"
echo "SERIAL $(cat /sys/block/vda/serial) CACHE $(cat '/sys/block/vda/queue/write_cache')"
for disk in vda vdc; do
  for n in $(seq 0 15); do echo "{PATTERN}$disk-$n"; done >/tmp/text
  dd if=/tmp/text of=/dev/$disk bs=512 seek=1000 conv=fsync 2>/dev/null && echo "WROTE $disk"
done
echo x | dd of=/dev/vdb conv=fsync 2>/dev/null && echo WROTE vdb || echo "REFUSED vdb"
echo "READS $(dd if=/dev/vdb bs=5 count=1 2>/dev/null)"
while [ "$(cat /sys/block/vda/size)" = 131072 ]; do usleep 100000; done
echo "GROWN $(cat /sys/block/vda/size)"
"""
    config = vm_config(
        test=script,
        disks=[
            {"path": first, "serial": "first-disk", "direct": True},
            {"path": fixed, "readonly": True},
            {"path": device},
        ],
    )
    try:
        with Vm(folder, config) as vm:
            vm.expect(READY)
            check_equal(
                vm.expect(r"SIZES (.*?)\s*\n").group(1), "131072 2048 65536", "sectors of the disks"
            )
            check_equal(vm.expect(r"RO (.*?)\s*\n").group(1), "0 1 0", "read-only flags")
            check_equal(
                vm.expect(r"SERIAL (.*?)\s*\n").group(1),
                "first-disk CACHE write back",
                "serial and cache",
            )
            vm.expect("WROTE vda")
            vm.expect("WROTE vdc")
            vm.expect("REFUSED vdb")
            vm.expect("READS FIXED")
            check_second_vm(folder, first)
            # SIGHUP makes vmm look at the sizes again; the guest sees the new one without a reset.
            os.truncate(first, 65 << 20)
            vm.signal(signal.SIGHUP)
            vm.expect("GROWN 133120", seconds=30)
            vm.wait(0)
        text = "".join(f"{PATTERN}vda-{n}\n" for n in range(16)).encode()
        check_equal(read_at(first, 512000, len(text)), text, "text in the image")
        text = text.replace(b"vda", b"vdc")
        check_equal(read_at(device, 512000, len(text)), text, "text on the loop device")
        check(read_at(fixed, 0, 1 << 20) == before, "the read-only image changed")
    finally:
        run("losetup", "-d", device)


@contextlib.contextmanager
def device_that_fails(folder):
    """Gives a device-mapper device and a function that makes it fail all I/O (True), or none."""
    have("losetup", "dmsetup")
    run("modprobe", "-a", "dm-mod", "loop")
    loop = loop_device(new_image(f"{folder}/below", 16 << 20))
    size = (16 << 20) // 512

    def fail(failing):
        table = f"0 {size} error" if failing else f"0 {size} linear {loop} 0"
        run("dmsetup", "load", "fails", "--table", table)
        run("dmsetup", "suspend", "--noflush", "--nolockfs", "fails")
        run("dmsetup", "resume", "--noudevsync", "fails")

    try:
        table = f"0 {size} linear {loop} 0"
        run("dmsetup", "create", "fails", "--noudevsync", "--noudevrules", "--table", table)
        run("dmsetup", "mknodes", "fails")
        try:
            yield "/dev/mapper/fails", fail
        finally:
            run("dmsetup", "remove", "--noudevsync", "--retry", "fails")
    finally:
        run("losetup", "-d", loop)


@case("lost-writes-are-no-success")
def lost_writes(folder):
    """The host loses writes and recovers; the guest powers off, and vmm still says so."""
    write = "dd if=/dev/urandom of=/dev/vda bs=4096 count=4 conv=fsync 2>/dev/null; echo $?"
    with device_that_fails(folder) as (device, fail):
        with Vm(folder, vm_config(disks=[{"path": device}])) as vm:
            vm.expect(READY)
            check_equal(vm.shell(f"while [ ! -b /dev/vda ]; do :; done; {write}"), "0", "dd")
            fail(True)
            check_equal(vm.shell(write), "1", "dd while the host's disk fails")
            fail(False)
            check_equal(vm.shell(write), "1", "dd after it has recovered")
            vm.send("poweroff -f\n")
            vm.wait(1)
            last = vm.stderr().strip().splitlines()[-1]
            check(f"{device}: not written through, an earlier fdatasync failed" in last, last)


def check_second_vm(folder, image):
    """A second VM on an image in use is refused with one clear line."""
    with Vm(folder, vm_config(disks=[{"path": image}])) as second:
        second.wait(1, seconds=20)
        lines = second.stderr().strip().splitlines()
        check(
            len(lines) == 1 and image in lines[0] and ("in use" in lines[0] or "lock" in lines[0]),
            f"the second VM on one image says: {second.stderr()!r}",
        )


@case("file-written-on-the-root-disk")
def root_disk(folder):
    have("debugfs", "e2fsck")
    disk = copy_image("root-image", f"{folder}/root.raw")
    script = "seq 1 20000 >/numbers; sync; md5sum </numbers"
    config = vm_config(
        "full",
        disks=[{"path": disk}],
        test="root_on /dev/vda",
        cmdline=f"roottest={encode(script)}",
    )
    with Vm(folder, config) as vm:
        vm.expect("VMM-ROOT-READY /dev/vda")
        vm.expect(r"^[0-9a-f]{32}")
        vm.wait(0)
    run("e2fsck", "-fn", disk)
    run("debugfs", "-R", f"dump /numbers {folder}/numbers", disk)
    with open(f"{folder}/numbers", encoding="ascii") as f:
        check_equal(
            f.read(), "".join(f"{n}\n" for n in range(1, 20001)), "the file that the guest wrote"
        )
