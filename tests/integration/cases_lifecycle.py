"""How a VM ends, resets and pauses. More ends are in cases_boot.py."""

import re
import signal
import struct
import time

from harness import (
    READY,
    Api,
    Vm,
    case,
    check,
    check_equal,
    new_image,
    vm_config,
    wait_for_path,
    wait_until,
)

RESETS = 20
PAUSES = 100
# A difference of a page or two is noise of the allocator; a leak would recur at every turn.
LEAK_SLACK_KIB = 128
REBOOT_LINE = "guest reboots"


def count_boots(end):
    """Returns a test that counts its boots in the disk's first sector, then waits for a line."""
    return f"""
wait_for /dev/vda
n=$(dd if=/dev/vda bs=16 count=1 2>/dev/null | tr -d '\\0')
n=$((${{n:-0}} + 1))
printf '%-16s' $n | tr ' ' '\\0' | dd of=/dev/vda conv=fsync 2>/dev/null
echo "BOOT $n"
read go
{end}
"""


def check_no_leak(before, after, what):
    check_equal(after["descriptors"], before["descriptors"], f"descriptors after {what}")
    check_equal(after["threads"], before["threads"], f"threads after {what}")
    growth = after["anonymous_kib"] - before["anonymous_kib"]
    old = before["anonymous_by_mapping"]
    grown = {
        name: kib - old.get(name, 0)
        for name, kib in after["anonymous_by_mapping"].items()
        if kib > old.get(name, 0)
    }
    largest = sorted(grown.items(), key=lambda item: -item[1])[:5]
    check(
        growth <= LEAK_SLACK_KIB,
        f"memory outside guest RAM grew by {growth} KiB in {what}: {largest}",
    )


@case("reboot-in-place-20-times")
def reboot_in_place(folder):
    """Every fifth reset is a reboot by the guest. The others are by the API during a boot."""
    disk = new_image(f"{folder}/count.raw", 1 << 20)
    socket_path = f"{folder}/api.sock"
    test = count_boots("[ $go = end ] || reboot -f")
    config = vm_config(test=test, disks=[{"path": disk}])
    with Vm(folder, config, "--api-socket", socket_path) as vm:
        api = Api(socket_path)
        booted = 0
        before = None
        for number in range(1, RESETS + 1):
            if number % 5 == 1:
                booted = next_boot(vm, booted)
                if number == 6:
                    before = vm.usage()
                reboots = vm.stderr().count(REBOOT_LINE)
                vm.send("again\n")
                wait_until(lambda: vm.stderr().count(REBOOT_LINE) > reboots, REBOOT_LINE)
            else:
                time.sleep(0.1 * number)
                reset(api)
        booted = next_boot(vm, booted)
        check_no_leak(before, vm.usage(), f"{RESETS - 5} resets")
        vm.send("end\n")
        vm.wait(0)
    # If the guest boots quickly, boots that the API cut short may have been counted too.
    check(boots_on(disk) >= booted, f"the disk counts {boots_on(disk)} boots, the guest {booted}")


@case("reboot-by-the-guest-20-times", full=True)
def reboot_by_the_guest(folder):
    disk = new_image(f"{folder}/count.raw", 1 << 20)
    test = count_boots(f"[ $n -gt {RESETS} ] || reboot -f")
    with Vm(folder, vm_config(test=test, disks=[{"path": disk}])) as vm:
        before = None
        for number in range(1, RESETS + 2):
            check_equal(next_boot(vm, number - 1), number, "boots counted on the disk")
            if number == 2:
                before = vm.usage()
            elif number > RESETS:
                check_no_leak(before, vm.usage(), f"{RESETS - 1} reboots")
            vm.send("go\n")
        vm.wait(0)


def reset(api):
    """Requests a reset, and requests it again while the guest's own reset is in progress."""
    deadline = time.monotonic() + 30
    while True:
        status, body = api.call("PUT", "vm.reboot")
        if status in (200, 204):
            return
        busy = "another transition" in str(body)
        check(busy and time.monotonic() < deadline, f"PUT vm.reboot: {status} {body}")
        time.sleep(0.1)


def next_boot(vm, last):
    """Returns the number that the next complete boot counts."""
    vm.expect(READY)
    number = int(vm.expect(r"BOOT (\d+)\s").group(1))
    check(number > last, f"boot {number} after boot {last}: the disk lost what was written to it")
    return number


def boots_on(disk):
    with open(disk, "rb") as f:
        return int(f.read(16).rstrip(b"\0"))


@case("stop-timeout-forces-the-end-3")
def stop_timeout(folder):
    # The kernel has no driver for the button yet, so nothing reacts to it.
    with Vm(
        folder, vm_config(tty="ttyS0", cmdline="loglevel=7 earlyprintk=ttyS0"), "--stop-timeout=2"
    ) as vm:
        vm.expect("Linux version")
        vm.signal(signal.SIGINT)
        vm.wait(3, seconds=20)


@case("triple-fault-loop-exits-134")
def triple_faults(folder):
    """Three resets within 10 s of the first entry end the VM. The kernel here faults at once."""
    with open(f"{folder}/faulty.elf", "wb") as f:
        f.write(faulting_kernel())
    config = vm_config()
    config["payload"] = {"kernel": f"{folder}/faulty.elf", "cmdline": ""}
    with Vm(folder, config) as vm:
        vm.wait(134, seconds=30)


def faulting_kernel():
    """Returns a PVH ELF whose entry loads an empty IDT and executes an invalid instruction."""
    entry = 0x100000
    code = bytes.fromhex("0f011d0a001000" "0f0b" "f4") + bytes(
        6
    )  # lidt [0x10000a]; ud2; hlt; an empty IDT
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", entry)  # XEN_ELFNOTE_PHYS32_ENTRY
    headers = 64 + 2 * 56
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, headers, entry, entry, len(code), len(code), 1)
    notes = struct.pack("<IIQQQQQQ", 4, 4, headers + len(code), 0, 0, len(note), len(note), 4)
    return header + load + notes + code + note


@case("pause-resume-100-times-under-disk-load")
def pause_resume(folder):
    script = """
wait_for /dev/vda
dd if=/dev/urandom of=/tmp/p bs=1M count=2 2>/dev/null
n=0
echo LOAD
while [ ! -e /tmp/stop ]; do
  at=$((n % 4 * 32))
  dd if=/tmp/p of=/dev/vda bs=64k seek=$at oflag=direct 2>/dev/null || echo WRITE-ERROR
  dd if=/dev/vda bs=64k skip=$at count=32 iflag=direct 2>/dev/null | cmp - /tmp/p || echo DATA-ERROR
  n=$((n + 1))
done &
read stop; touch /tmp/stop; wait
echo ROUNDS; dmesg | grep -c -i -e lockup -e stall -e 'blocked for'
read end
"""
    disk = new_image(f"{folder}/load.raw", 8 << 20)
    socket_path = f"{folder}/api.sock"
    config = vm_config(test=script, disks=[{"path": disk, "direct": True}])
    with Vm(folder, config, "--api-socket", socket_path) as vm:
        wait_for_path(socket_path)
        api = Api(socket_path)
        check_api(api)
        vm.expect("LOAD")
        before = None
        for number in range(PAUSES):
            api.put("vm.pause")
            if number == 10:
                before = vm.usage()
                check_equal(api.call("GET", "vm.info")[1]["state"], "Paused", "state")
            elif number == PAUSES - 1:
                after = vm.usage()
            api.put("vm.resume")
            time.sleep(0.02)
        vm.send("stop\n")
        vm.expect("ROUNDS")
        check_equal(
            vm.expect(r"^(\d+)\s").group(1), "0", "stall and lockup reports in the guest's log"
        )
        check(
            not re.search("WRITE-ERROR|DATA-ERROR", vm.console.text()), "the guest saw I/O errors"
        )
        check_no_leak(before, after, f"{PAUSES - 10} pauses")
        api.put("vm.power-button")
        # This guest has no program that reacts to the button, so vmm.shutdown forces the end.
        api.put("vmm.shutdown")
        vm.wait(3)


def check_api(api):
    """Checks the commands that do not depend on the guest's state."""
    status, body = api.call("GET", "vmm.ping")
    check_equal(status, 200, "vmm.ping")
    check("version" in body, f"vmm.ping: {body}")
    status, body = api.call("GET", "vm.info")
    check_equal((status, body["state"]), (200, "Running"), "vm.info")
    check_equal(body["config"]["cpus"]["boot_vcpus"], 1, "vm.info config.cpus.boot_vcpus")
    check_equal(api.call("GET", "vm.counters")[0], 200, "vm.counters")
    status, body = api.call("PUT", "vm.snapshot", {"destination_url": "file:///nowhere"})
    check_equal(status, 501, "vm.snapshot")
    check("vm.snapshot" in str(body), f"a 501 names what is missing: {body}")


@case("reboot-and-power-button-by-api-and-sigterm")
def reboot_and_power_button(folder):
    """A guest ignores its button the first time, and powers off the second time."""
    socket_path = f"{folder}/api.sock"
    script = "wait_button; echo PRESSED; wait_button; echo PRESSED AGAIN"
    with Vm(folder, vm_config(test=script), "--api-socket", socket_path) as vm:
        vm.expect("LISTENING")
        api = Api(socket_path)
        api.put("vm.reboot")
        vm.expect(READY)
        vm.expect("LISTENING")
        api.put("vm.power-button")
        vm.expect(r"PRESSED\s")
        check(vm.process.poll() is None, "vmm ended though the guest runs on")
        vm.signal(signal.SIGTERM)
        vm.expect("PRESSED AGAIN")
        vm.wait(0)
