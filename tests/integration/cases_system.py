"""A whole distribution: Debian with systemd boots from a disk to a login and shuts down cleanly."""

import base64
import os
import signal

from harness import Vm, case, check, check_equal, copy_image, guest_files, run, vm_config

HERE = os.path.dirname(os.path.abspath(__file__))
# Has what text cannot have: a newline and a NUL.
CREDENTIAL = b"two\nlines\0"
MACHINE_UUID = "8d4e8f6a-3c1b-4e0e-9d0a-0f1e2d3c4b5a"
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
    secret = f"{folder}/credential"
    with open(secret, "wb") as file:
        file.write(CREDENTIAL)
    config["platform"] = {
        "uuid": MACHINE_UUID,
        "credentials": {"lab.secret": {"file": secret}},
    }
    with Vm(folder, config, "--stop-timeout", "180") as vm:
        vm.expect(r"vmm-guest login: ", seconds=400)
        vm.send("root\n")
        vm.expect(r"root@vmm-guest:~# ", seconds=120)
        vm.send("echo STATE=$(systemctl is-system-running)\n")
        state = vm.expect(r"STATE=([a-z]+)\s", seconds=60).group(1)
        check(state in ("running", "starting"), f"systemd says {state}: a unit failed")
        check_udev_rule(vm)
        check_platform(vm)
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


def check_platform(vm):
    """systemd has the credential byte for byte, and the guest reads the machine's UUID."""
    vm.send("echo SECRET=$(systemd-creds --system cat lab.secret | base64 -w0)\n")
    want = base64.b64encode(CREDENTIAL).decode()
    check_equal(vm.expect(r"SECRET=([A-Za-z0-9+/=]+)\s").group(1), want, "credential in base64")
    vm.send("echo UUID=$(cat /sys/class/dmi/id/product_uuid)\n")
    check_equal(vm.expect(r"UUID=([0-9a-f-]+)\s").group(1), MACHINE_UUID, "product_uuid")
