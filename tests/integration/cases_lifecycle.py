"""How a VM ends, resets, pauses: poweroff is 0 (every boot case ends so), the rest is here."""

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
    is_emulated,
    new_image,
    vm_config,
    wait_for_path,
)

REBOOTS = 20
PAUSES = 100
# A page or two of difference is noise of the allocator; a leak would repeat at every turn.
RSS_SLACK_KIB = 128


@case("reboot-exits-133-with-on-reboot-exit")
def reboot_exit(folder):
    with Vm(folder, vm_config(test="reboot -f"), "--on-reboot=exit") as vm:
        vm.expect(READY)
        vm.wait(133)


@case("reboot-in-place-20-times", boots=REBOOTS + 1)
def reboot_in_place(folder):
    """Counts its boots in the disk's first sector, so each proves that the disk is still there."""
    # Three resets within 10 s end the VM on purpose: a guest on a fast machine waits first.
    pause = 0 if is_emulated() else 4
    script = f"""
wait_for /dev/vda
n=$(dd if=/dev/vda bs=16 count=1 2>/dev/null | tr -d '\\0')
n=$((${{n:-0}} + 1))
echo "BOOT $n"
printf '%-16s' $n | tr ' ' '\\0' | dd of=/dev/vda conv=fsync 2>/dev/null
read go
[ $n -gt 3 ] || sleep {pause}
[ $n -gt {REBOOTS} ] || reboot -f
"""
    disk = new_image(f"{folder}/count.raw", 1 << 20)
    with Vm(folder, vm_config(test=script, disks=[{"path": disk}])) as vm:
        before = None
        for number in range(1, REBOOTS + 2):
            vm.expect(READY)
            vm.expect(rf"BOOT {number}\s")
            usage = vm.usage()
            if number == 2:
                before = usage
            vm.send("go\n")
        vm.wait(0)
    check_equal(usage["descriptors"], before["descriptors"], f"descriptors after {REBOOTS} resets")
    check_equal(usage["threads"], before["threads"], f"threads after {REBOOTS} resets")
    growth = usage["rss_kib"] - before["rss_kib"]
    check(
        growth <= RSS_SLACK_KIB,
        f"resident memory outside guest RAM grew by {growth} KiB in {REBOOTS} resets",
    )


@case("panic-exits-134")
def panic(folder):
    with Vm(folder, vm_config(test="panic")) as vm:
        vm.expect(READY)
        vm.expect(r"Kernel panic - not syncing: sysrq")
        vm.wait(134)
        check("panic" in vm.stderr(), f"no word of the panic on stderr: {vm.stderr()!r}")


@case("sigterm-presses-the-power-button")
def sigterm(folder):
    with Vm(folder, vm_config(test="wait_button; echo PRESSED")) as vm:
        vm.expect("LISTENING")
        vm.signal(signal.SIGTERM)
        vm.expect("PRESSED")
        vm.wait(0)


@case("second-sigterm-forces-the-end-3")
def second_sigterm(folder):
    with Vm(folder, vm_config(test="while :; do sleep 1; done")) as vm:
        vm.expect(READY)
        vm.signal(signal.SIGTERM)
        time.sleep(1)
        check(vm.process.poll() is None, "vmm ended at the first SIGTERM though the guest runs on")
        vm.signal(signal.SIGTERM)
        vm.wait(3, seconds=10)
        check_equal(len(vm.stderr().strip().splitlines()[-1:]), 1, "lines about the forced end")


@case("stop-timeout-forces-the-end-3")
def stop_timeout(folder):
    # The kernel has no driver for the button yet: nothing reacts.
    with Vm(
        folder, vm_config(tty="ttyS0", cmdline="loglevel=7 earlyprintk=ttyS0"), "--stop-timeout=2"
    ) as vm:
        vm.expect("Linux version")
        vm.signal(signal.SIGINT)
        vm.wait(3, seconds=20)


@case("triple-fault-loop-exits-134")
def triple_faults(folder):
    """Three resets within 10 s of the first entry end the VM: here a kernel that faults at once."""
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
        check_equal(after["descriptors"], before["descriptors"], "descriptors")
        check_equal(after["threads"], before["threads"], "threads")
        growth = after["rss_kib"] - before["rss_kib"]
        check(growth <= RSS_SLACK_KIB, f"resident memory outside guest RAM grew by {growth} KiB")
        api.put("vm.power-button")
        # Nobody listens to the button in this guest: vmm.shutdown is the forced end.
        api.put("vmm.shutdown")
        vm.wait(3)


def check_api(api):
    """The calls that need no certain state of the guest."""
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


@case("api-reboot-and-power-button", boots=2)
def api_reboot(folder):
    socket_path = f"{folder}/api.sock"
    with Vm(folder, vm_config(test="wait_button"), "--api-socket", socket_path) as vm:
        vm.expect("LISTENING")
        api = Api(socket_path)
        api.put("vm.reboot")
        vm.expect(READY)
        vm.expect("LISTENING")
        api.put("vm.power-button")
        vm.wait(0)
