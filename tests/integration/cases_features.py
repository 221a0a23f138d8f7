"""Feature bits on and off: Linux drives every device with each of its bits masked, one at a time.

One guest has a disk for each bit. A VM has only one console and one entropy device, so these take
another bit in each boot. The key `features_mask` of vm.json exists for this test.
"""

import hashlib
import os

from harness import READY, Vm, case, check, check_equal, have, new_image, run, vm_config

ALL = (1 << 64) - 1
SEG_MAX, RO, BLK_SIZE, FLUSH, TOPOLOGY, MQ, DISCARD, WRITE_ZEROES = 2, 5, 6, 9, 10, 12, 13, 14
INDIRECT, EVENT_IDX, VERSION_1, RING_RESET = 28, 29, 32, 40
CONSOLE_SIZE, CONSOLE_EMERGENCY_WRITE = 0, 2

RING_BITS = (INDIRECT, EVENT_IDX, RING_RESET)
BLOCK_BITS = (SEG_MAX, BLK_SIZE, FLUSH, TOPOLOGY, MQ, DISCARD, WRITE_ZEROES, *RING_BITS)

MIB = 1 << 20
WRITE_AT, DISCARD_AT, ZERO_AT = 1 * MIB, 2 * MIB, 3 * MIB
PATTERN_BYTES, RANGE_BYTES = 256 << 10, 64 << 10

# Runs in the guest. Prints one line for every disk with a serial number.
SCRIPT = f"""
put() {{ dd if=/pattern of=/dev/$1 bs=64k seek=$(($2 / 65536)) conv=fsync 2>/dev/null; }}
sum() {{ dd if=/dev/$1 bs=64k skip=$(($2 / 65536)) count=$3 2>/dev/null | md5sum | cut -c1-32; }}
for path in /sys/block/vd*; do
  disk=${{path##*/}} queue=$path/queue serial=$(cat "$path"/serial)
  [ "$serial" = tools ] && continue
  dd if=/dev/urandom of=/pattern bs=64k count=4 2>/dev/null
  written=no discarded=no zeroed=no
  put "$disk" {WRITE_AT} && written=$(md5sum </pattern | cut -c1-32)
  put "$disk" {DISCARD_AT} && blkdiscard -o {DISCARD_AT} -l {RANGE_BYTES} /dev/"$disk" 2>/dev/null \\
    && discarded=yes
  put "$disk" {ZERO_AT} && /zero_out /dev/"$disk" {ZERO_AT} && zeroed=yes
  sync
  echo 3 >/proc/sys/vm/drop_caches
  for reader in 1 2 3; do sum "$disk" {WRITE_AT} 4 >/dev/null & done
  read=$(sum "$disk" {WRITE_AT} 4) zeroes=$(sum "$disk" {ZERO_AT} 1)
  wait
  echo "DISK $serial features=$(cat "$path"/device/features)" \\
    "cache=$(tr ' ' - <"$queue"/write_cache) ro=$(cat "$path"/ro)" \\
    "queues=$(ls "$path"/mq | wc -l) can-discard=$(cat "$queue"/discard_max_bytes)" \\
    "can-zero=$(cat "$queue"/write_zeroes_max_bytes) written=$written read=$read" \\
    "discarded=$discarded zeroed=$zeroed zeroes=$zeroes end"
done
"""
# The script for the other two devices. It is short enough for the kernel command line.
OTHERS = """
wait_for /dev/hwrng
cd /sys/bus/virtio/drivers
echo "CONSOLE $(cat virtio_console/virtio*/features) end"
echo "RNG $(cat virtio_rng/virtio*/features) $(dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c) end"
"""
LOAD = "wait_for /dev/vda; tar -xf /dev/vda -C /; . /script\n"


def without(*bits):
    mask = ALL
    for bit in bits:
        mask &= ~(1 << bit)
    return mask


def tools_disk(folder):
    """Returns an image that is a tar archive: the script, and a tool that busybox lacks."""
    have("gcc", "tar")
    tree = f"{folder}/tree"
    os.makedirs(tree)
    with open(f"{tree}/script", "w", encoding="ascii") as f:
        f.write(SCRIPT)
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "zero_out.c")
    run("gcc", "-Os", "-static", "-nostdlib", "-o", f"{tree}/zero_out", source)
    run("tar", "-cf", f"{folder}/tools.tar", "-C", tree, "script", "zero_out")
    return f"{folder}/tools.tar"


def make_disks(folder):
    """Returns disks' configs by serial number: all features, each bit masked, all masked."""
    masks = {"none": ALL, **{str(bit): without(bit) for bit in BLOCK_BITS}, "all": 0}
    disks = {
        name: {
            "path": new_image(f"{folder}/{name}.raw", 4 * MIB),
            "serial": name,
            "num_queues": 2,
            "features_mask": mask,
        }
        for name, mask in masks.items()
    }
    # If the read-only bit is masked, the guest's writes get I/O errors.
    disks["ro"] = {
        "path": new_image(f"{folder}/ro.raw", 4 * MIB),
        "serial": "ro",
        "readonly": True,
        "features_mask": without(RO),
    }
    return disks


def read_disk(line):
    return dict(field.split("=", 1) for field in line.split())


def bits_of(features):
    """Returns the set of bits in a features file of sysfs."""
    return {bit for bit, value in enumerate(features) if value == "1"}


def md5_at(path, offset, size):
    with open(path, "rb") as f:
        f.seek(offset)
        return hashlib.md5(f.read(size)).hexdigest()


def check_disk(name, got, reference, path):
    """Checks what the guest reported about a disk, and the contents of its image."""
    bits, all_bits = bits_of(got["features"]), bits_of(reference["features"])
    if name == "all":
        check_equal(bits, {VERSION_1}, "features of a disk without any")
    elif name != "none":
        check(int(name) in all_bits, f"bit {name} is never accepted: {sorted(all_bits)}")
        check_equal(bits, all_bits - {int(name)}, f"features without bit {name}")
    check_equal(got["cache"], "write-back" if FLUSH in bits else "write-through", f"{name}: cache")
    check_equal(got["queues"], "2" if MQ in bits else "1", f"{name}: queues")
    check_equal(got["can-discard"] != "0", DISCARD in bits, f"{name}: can discard")
    check_equal(got["discarded"], "yes" if DISCARD in bits else "no", f"{name}: discarded")
    check_equal(got["can-zero"] != "0", WRITE_ZEROES in bits, f"{name}: can write zeroes")
    zeroes = hashlib.md5(bytes(RANGE_BYTES)).hexdigest()
    check_equal((got["zeroed"], got["zeroes"]), ("yes", zeroes), f"{name}: zeroes")
    check_equal(got["read"], got["written"], f"{name}: what was read back")
    check_equal(
        md5_at(path, WRITE_AT, PATTERN_BYTES), got["written"], f"{name}: what is in the image"
    )
    check_equal(md5_at(path, ZERO_AT, RANGE_BYTES), zeroes, f"{name}: zeroes in the image")
    if DISCARD in bits:
        check_equal(md5_at(path, DISCARD_AT, RANGE_BYTES), zeroes, f"{name}: discarded range")


def check_others(vm, console_off, rng_off):
    console = bits_of(vm.expect(r"CONSOLE (\d+) end").group(1))
    # Linux never accepts EMERG_WRITE.
    wanted = {CONSOLE_SIZE, VERSION_1, *RING_BITS} - set(console_off)
    check_equal(console, wanted, f"console's features without {console_off}")
    features, count = vm.expect(r"RNG (\d+) (\d+) end").groups()
    check_equal(bits_of(features), {VERSION_1, *RING_BITS} - set(rng_off), "entropy's features")
    check_equal(count, "256", "random bytes")


def boot(folder, kernel, console_off, rng_off):
    disks = make_disks(folder)
    tools = {"path": tools_disk(folder), "serial": "tools", "readonly": True}
    config = vm_config(
        kernel,
        vcpus=2,
        test=LOAD + OTHERS,
        disks=[tools, *disks.values()],
        rng={"src": "/dev/urandom", "features_mask": without(*rng_off)},
    )
    config["console"]["features_mask"] = without(*console_off)
    with Vm(folder, config) as vm:
        vm.expect(READY)
        seen = {}
        for _ in disks:
            name, rest = vm.expect(r"DISK (\w+) (.*?) end").groups()
            seen[name] = read_disk(rest)
        check_others(vm, console_off, rng_off)
        vm.wait(0)
    check_equal(set(seen), set(disks), "disks that the guest found")
    readonly = seen.pop("ro")
    check(RO not in bits_of(readonly["features"]), "RO was accepted although it is masked")
    check_equal((readonly["ro"], readonly["written"]), ("0", "no"), "writes to a read-only disk")
    check_equal(
        md5_at(disks["ro"]["path"], 0, 4 * MIB),
        hashlib.md5(bytes(4 * MIB)).hexdigest(),
        "the read-only image",
    )
    for name, got in seen.items():
        check_disk(name, got, seen["none"], disks[name]["path"])


@case("features-on-and-off-6.1")
def features_old(folder):
    boot(folder, "cloud", console_off=(INDIRECT,), rng_off=(EVENT_IDX,))


@case("features-on-and-off-6.12", full=True)
def features_new(folder):
    boot(folder, "backports", console_off=(EVENT_IDX,), rng_off=(INDIRECT,))


@case("features-on-and-off-small-devices", full=True, boots=8)
def small_devices(folder):
    """Checks the bits that the other cases leave on, and devices without any feature."""
    everything = (CONSOLE_SIZE, CONSOLE_EMERGENCY_WRITE, *RING_BITS)
    rounds = (
        ((CONSOLE_SIZE,), (RING_RESET,)),
        ((CONSOLE_EMERGENCY_WRITE,), ()),
        ((RING_RESET,), (INDIRECT, EVENT_IDX)),
        (everything, RING_BITS),
    )
    for kernel in ("cloud", "backports"):
        for console_off, rng_off in rounds:
            config = vm_config(
                kernel,
                test=OTHERS,
                rng={"src": "/dev/urandom", "features_mask": without(*rng_off)},
            )
            config["console"]["features_mask"] = without(*console_off)
            with Vm(folder, config) as vm:
                vm.expect(READY)
                check_others(vm, console_off, rng_off)
                vm.wait(0)
