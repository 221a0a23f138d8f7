"""DAX: a guest reads a share from the host's page cache, through a window of its memory."""

import os
import shutil

from harness import READY, Api, Failure, Vm, case, check, check_equal, guest_files, have, vm_config

MIB = 1 << 20
WINDOW_MIB = 8


def make_files(folder):
    """Makes a store whose large files do not all fit into the window at once."""
    store = f"{folder}/store"
    os.makedirs(f"{store}/1a-app/bin")
    have("busybox")
    shutil.copy(shutil.which("busybox"), f"{store}/1a-app/bin/busybox")
    block = os.urandom(MIB)
    for i in range(3):
        with open(f"{store}/1a-app/large-{i}", "wb") as f:
            for j in range(5):
                f.write(bytes([i, j]) + block[2:])
            f.write(b"tail")
    with open(f"{store}/1a-app/small", "wb") as f:
        f.write(block[: MIB // 2])
    return store


def dax_vm(folder, kernel, window_mib=WINDOW_MIB):
    store = make_files(folder)
    share = {"tag": "store", "path": store, "readonly": True, "cache": "always",
             "dax_window": f"{window_mib}M"}  # fmt: skip
    config = vm_config(kernel, fs=[share])
    config["payload"]["initramfs"] = guest_files(kernel)["share-initrd"]
    api = Api(f"{folder}/api.sock")
    return Vm(folder, config, "--api-socket", api.path), api, store


def counters(api):
    status, all_counters = api.call("GET", "vm.counters")
    check_equal(status, 200, "vm.counters")
    return all_counters["_fs0"]


def sums(folder, prefix=""):
    return f"{prefix}md5sum {folder}/1a-app/large-* {folder}/1a-app/small | cut -d' ' -f1"


def host(command):
    return os.popen(command).read().strip()


def mount(vm, options):
    vm.shell(f"mkdir -p /mnt; mount -t virtiofs -o ro{options} store /mnt")
    check("store on /mnt" in vm.shell("mount"), f"not mounted: {vm.shell('dmesg | tail')!r}")


@case("share-by-virtiofs-dax")
def virtiofs_dax(folder):
    vm, api, store = dax_vm(folder, "cloud")
    with vm:
        vm.expect(READY)
        check_large_files_only(vm, api, store)
        check_execution(vm, api)
        check_always(vm, api, store)
        check_reset(vm, api, store)
        check_writes(vm, store)
        vm.send("poweroff -f\n")
        vm.wait(0)


def check_large_files_only(vm, api, store):
    """By default the guest maps a file if the host says so, which it does for large files."""
    mount(vm, "")
    check_equal(vm.shell("md5sum </mnt/1a-app/small; md5sum </mnt/1a-app/large-0").split()[::2],
                host(f"md5sum <{store}/1a-app/small; md5sum <{store}/1a-app/large-0").split()[::2],
                "sums of a small and a large file")  # fmt: skip
    now = counters(api)
    check_equal(now["setupmapping"], 3, "ranges mapped for a file of 5 MiB and 4 bytes")
    check_equal(now["dax_ranges"], 3, "ranges mapped")
    check_equal(now["read_bytes"], MIB // 2, "bytes read by request: those of the small file")
    # Read more than the window holds, twice, so that the guest has to take ranges back.
    for _ in range(2):
        check_equal(vm.shell(sums("/mnt")), host(sums(store)), "sums of all files")
    now = counters(api)
    check(now["removemapping"] > 0, f"nothing was unmapped: {now}")
    check(now["dax_ranges"] <= WINDOW_MIB // 2, f"more ranges than there are: {now}")
    check_equal(now["read_bytes"], MIB // 2, "bytes read by request")
    vm.shell("umount /mnt")
    check_equal(counters(api)["dax_ranges"], 0, "ranges mapped after umount")


def check_execution(vm, api):
    """A program can be executed from the host's page cache."""
    mount(vm, "")
    check_equal(vm.shell("/mnt/1a-app/bin/busybox echo executed"), "executed", "program in a window")
    check(counters(api)["dax_ranges"] >= 1, "the program was not mapped")
    vm.shell("umount /mnt")


def check_always(vm, api, store):
    mount(vm, ",dax=always")
    before = counters(api)["read_bytes"]
    check_equal(vm.shell(sums("/mnt")), host(sums(store)), "sums of all files, dax=always")
    check_equal(counters(api)["read_bytes"], before, "bytes read by request, dax=always")
    vm.shell("umount /mnt")
    mount(vm, ",dax=never")
    before = counters(api)["setupmapping"]
    check_equal(vm.shell(sums("/mnt")), host(sums(store)), "sums of all files, dax=never")
    check_equal(counters(api)["setupmapping"], before, "ranges mapped, dax=never")
    vm.shell("umount /mnt")


def check_reset(vm, api, store):
    """A guest that resets itself while files are mapped finds an empty window."""
    mount(vm, "")
    vm.shell("cat /mnt/1a-app/large-* >/dev/null")
    check(counters(api)["dax_ranges"] > 0, "nothing is mapped")
    vm.reboot()
    check_equal(counters(api)["dax_ranges"], 0, "ranges mapped after a reset")
    mount(vm, "")
    check_equal(vm.shell(sums("/mnt")), host(sums(store)), "sums of all files after a reset")


def check_writes(vm, store):
    """The host refuses writes although the guest mounted the share to write."""
    before = host(sums(store))
    vm.shell("mount -o remount,rw /mnt")
    answer = vm.shell("echo x | dd of=/mnt/1a-app/large-0 conv=notrunc bs=2 seek=1000; echo $?")
    check("Read-only file system" in answer, f"writing: {answer!r}")
    check_equal(host(sums(store)), before, "sums on the host")
    # While the device has no driver, its window can be read, moved and switched off.
    answer = vm.shell(
        "umount /mnt; d=$(ls -d /sys/bus/virtio/drivers/virtiofs/virtio*); v=${d##*/};"
        " p=$(dirname $(readlink -f $d)); echo $v >/sys/bus/virtio/drivers/virtiofs/unbind;"
        " set -- $(sed -n 3p $p/resource); echo at $1;"
        " printf '\\0\\0' | dd of=$p/config bs=1 seek=4 conv=notrunc 2>/dev/null;"
        " printf '\\6\\0' | dd of=$p/config bs=1 seek=4 conv=notrunc 2>/dev/null;"
        " echo $v >/sys/bus/virtio/drivers/virtiofs/bind; echo bound $?"
    )
    check("bound 0" in answer, f"unbinding and binding: {answer!r}")
    mount(vm, "")
    check_equal(vm.shell(sums("/mnt")), before, "sums after decoding was off and on")


@case("share-by-virtiofs-dax-truncated")
def truncated(folder):
    """If the host truncates a file that the guest has mapped, the guest reads zeroes there."""
    # The window has room for all files, so the guest gives no range back.
    vm, api, store = dax_vm(folder, "backports", window_mib=64)
    with vm:
        vm.expect(READY)
        mount(vm, "")
        check_equal(vm.shell(sums("/mnt")), host(sums(store)), "sums of all files, Linux 6.12")
        check_equal(counters(api)["dax_ranges"], 9, "ranges mapped")
        os.truncate(f"{store}/1a-app/large-0", 0)
        left = vm.shell("tr -d '\\0' </mnt/1a-app/large-0 | wc -c; echo alive", seconds=120)
        if vm.process.poll() is not None:
            raise Failure(f"vmm ended: {vm.stderr()}")
        check_equal(left.split(), ["0", "alive"], "bytes of a truncated file that are not zero")
        check("truncated" in vm.stderr(), f"nothing was said: {vm.stderr()!r}")
        check_equal(counters(api)["dax_truncated"], 3, "ranges lost")
        check_equal(counters(api)["dax_ranges"], 6, "ranges mapped that are left")
        vm.send("poweroff -f\n")
        vm.wait(0)
