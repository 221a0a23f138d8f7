"""A whole distribution: Debian with systemd boots from a disk to a login and shuts down cleanly."""

import os
import signal

from harness import Vm, case, check, check_equal, copy_image, guest_files, run, vm_config

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_FILES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools", "guest")


@case("debian-root")
def debian_root(folder):
    disk = copy_image("debian-image", f"{folder}/debian.raw")
    # systemd gives up on a device after 90 s. udev in an emulated guest can need that on a busy
    # machine.
    config = vm_config(
        "cloud",
        vcpus=2,
        memory="1G",
        disks=[{"path": disk}],
        test="root_on /dev/vda",
        cmdline="systemd.default_timeout_start_sec=600",
        fs=[{"tag": "guest", "path": GUEST_FILES, "readonly": True}],
    )
    config["payload"]["initramfs"] = guest_files("cloud")["share-initrd"]
    with Vm(folder, config, "--stop-timeout", "180") as vm:
        vm.expect(r"vmm-guest login: ", seconds=400)
        vm.send("root\n")
        vm.expect(r"root@vmm-guest:~# ", seconds=120)
        vm.send("echo STATE=$(systemctl is-system-running)\n")
        state = vm.expect(r"STATE=([a-z]+)\s", seconds=60).group(1)
        check(state in ("running", "starting"), f"systemd says {state}: a unit failed")
        check_udev_rule(vm)
        vm.signal(signal.SIGTERM)
        vm.wait(0, seconds=200)
    run("e2fsck", "-fn", disk)


def check_udev_rule(vm):
    """With the rule for guests, udev raises the read-ahead of a mounted share."""
    vm.send(
        "mount -t virtiofs -o ro guest /mnt && cp /mnt/virtiofs-read-ahead /usr/lib/udev &&"
        " cp /mnt/*.rules /etc/udev/rules.d && udevadm control --reload && umount /mnt;"
        " echo COPIED=$?\n"
    )
    check_equal(vm.expect(r"COPIED=(\d+)\s").group(1), "0", "status of installing the rule")
    vm.send(
        "mount -t virtiofs -o ro guest /mnt; udevadm settle;"
        " echo AHEAD=$(cat /sys/class/bdi/$(mountpoint -d /mnt)/read_ahead_kb)\n"
    )
    check_equal(vm.expect(r"AHEAD=(\d+)\s").group(1), "1024", "read-ahead set by udev")
    vm.send("umount /mnt\n")
