"""Disks: writes reach the image, read-only is enforced, and an image belongs to one VM."""

import contextlib
import os
import signal
import struct
import subprocess

from harness import (
    READY,
    Skip,
    Vm,
    case,
    check,
    check_equal,
    have,
    new_image,
    run,
    vm_config,
)

PATTERN = "pattern-of-the-guest-"


def loop_device(image, sector_bytes=512):
    """Returns a loop block device over an image. The caller must detach it."""
    have("losetup")
    done = subprocess.run(
        ["losetup", "--show", "-f", "-b", str(sector_bytes), image],
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
            # On SIGHUP vmm reads the sizes again, and the guest sees the new size without a reset.
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


def partitioned_image(path, sector_bytes, first):
    """Makes an image with one partition that begins at sector `first` and has 1 MiB."""
    new_image(path, 8 << 20)
    entry = struct.pack(
        "<B3sB3sII", 0, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, (1 << 20) // sector_bytes
    )
    with open(path, "r+b") as f:
        f.seek(446)
        f.write(entry)
        f.seek(510)
        f.write(b"\x55\xaa")
        f.seek(first * sector_bytes)
        f.write(b"OF-THE-HOST")
    return path


@case("partitions-whatever-sectors-the-host-has")
def partitions(folder):
    """Images partitioned for 512 and 4096 bytes work on host devices of both, with direct I/O."""
    first = {512: 2049, 4096: 257}  # the former is not at a multiple of 4096 bytes
    kinds = [(host, guest) for host in (512, 4096) for guest in (512, 4096)]
    images = [
        partitioned_image(f"{folder}/{host}-{guest}.raw", guest, first[guest])
        for host, guest in kinds
    ]
    script = """
wait_for /dev/vdd1
for disk in vda vdb vdc vdd; do
  sys=/sys/block/$disk
  echo "$disk $(cat $sys/queue/logical_block_size $sys/queue/physical_block_size \\
                    $sys/${disk}1/start $sys/${disk}1/size | tr '\\n' ' ')" \\
       "$(dd if=/dev/${disk}1 bs=11 count=1 2>/dev/null)"
  seq 1 15000 | dd of=/dev/${disk}1 bs=4096 seek=3 conv=fsync 2>/dev/null
done
"""
    devices = []
    try:
        for image, (host, _) in zip(images, kinds):
            devices.append(loop_device(image, host))
        disks = [
            {"path": device, "direct": True, "logical_block_size": guest}
            for device, (_, guest) in zip(devices, kinds)
        ]
        with Vm(folder, vm_config(test=script, disks=disks)) as vm:
            for name, (host, guest) in zip("abcd", kinds):
                start = first[guest] * guest // 512
                check_equal(
                    vm.expect(rf"vd{name} (\d+ .*?)\s*\n").group(1).split(),
                    f"{guest} {max(host, guest)} {start} 2048 OF-THE-HOST".split(),
                    f"a disk for {guest} on a host of {host}",
                )
            vm.wait(0)
        for device, image, (host, guest) in zip(devices, images, kinds):
            size = 8 << 20
            wanted = bytearray(read_at(image, 0, size)[: first[guest] * guest])
            written = "".join(f"{n}\n" for n in range(1, 15001)).encode()
            wanted += b"OF-THE-HOST".ljust(3 * 4096, b"\0") + written
            same = read_at(device, 0, size) == bytes(wanted).ljust(size, b"\0")
            check(same, f"{guest} on {host}: the image differs")
    finally:
        for device in devices:
            run("losetup", "-d", device)


@contextlib.contextmanager
def device_that_fails(folder):
    """Provides a device-mapper device, and a function that makes I/O fail (True) or succeed."""
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
    """The host loses writes and recovers. The guest powers off, and vmm still reports the loss."""
    write = "dd if=/dev/urandom of=/dev/vda bs=4096 count=4 conv=fsync 2>/dev/null; echo $?"
    with device_that_fails(folder) as (device, fail):
        with Vm(folder, vm_config(disks=[{"path": device}])) as vm:
            vm.expect(READY)
            vm.shell("dmesg -n 1")  # I/O errors on the console would be mixed with the answers
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
