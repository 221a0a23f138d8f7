"""A whole distribution: Debian with systemd boots from a disk to a login and shuts down cleanly."""

import signal

from harness import Vm, case, check, copy_image, run, vm_config


@case("debian-root")
def debian_root(folder):
    disk = copy_image("debian-image", f"{folder}/debian.raw")
    # systemd gives up on a device after 90 s, which a loaded emulated machine can need for udev.
    config = vm_config(
        "cloud",
        vcpus=2,
        memory="1G",
        disks=[{"path": disk}],
        test="root_on /dev/vda",
        cmdline="systemd.default_timeout_start_sec=600",
    )
    with Vm(folder, config) as vm:
        vm.expect(r"vmm-guest login: ", seconds=400)
        vm.send("root\n")
        vm.expect(r"root@vmm-guest:~# ", seconds=120)
        vm.send("echo STATE=$(systemctl is-system-running)\n")
        state = vm.expect(r"STATE=([a-z]+)\s", seconds=60).group(1)
        check(state in ("running", "starting"), f"systemd says {state}: a unit failed")
        vm.signal(signal.SIGTERM)
        vm.wait(0, seconds=200)
    run("e2fsck", "-fn", disk)
