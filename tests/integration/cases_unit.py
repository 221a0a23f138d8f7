"""Unit tests that skip under ctest, because they need a kernel or a standard KVM."""

import contextlib
import os
import re
import subprocess

from harness import Failure, Skip, case, check, guests, have, vmm_path


def run_tests(program, folder, environment=None, tests="*"):
    """Runs a unit test program of the build that vmm comes from. All of its tests must pass."""
    path = os.path.join(os.path.dirname(os.path.dirname(vmm_path())), program)
    if not os.path.exists(path):
        raise Skip(f"unit tests are not built beside {vmm_path()}")
    done = subprocess.run(
        [path, f"--gtest_filter={tests}"],
        env={**os.environ, **(environment or {})},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        cwd=folder,
        timeout=600,
    )
    if done.returncode != 0:
        raise Failure(done.stdout)
    check(re.search(r"\[  PASSED  \] [1-9]\d* test", done.stdout), f"no test ran:\n{done.stdout}")
    skipped = re.search(r"\[  SKIPPED \][^\n]*", done.stdout)
    check(skipped is None, f"{skipped and skipped.group(0)}:\n{done.stdout}")


@case("unit-tests-with-real-kernels", group="host", boots=0)
def with_real_kernels(folder):
    kernels = [g for g in guests().values() if isinstance(g, dict) and "vmlinux" in g]
    check(len(kernels) > 0, "no kernel was fetched")
    for kernel in kernels:
        for image in ("bzImage", "vmlinux"):
            run_tests("boot/boot_real_kernel_test", folder, {"VMM_TEST_KERNEL": kernel[image]})


@case("unit-tests-on-a-standard-kvm", boots=0)
def on_a_standard_kvm(folder):
    """Runs what a KVM without hardware virtualization cannot show."""
    # The test of huge pages needs this old kernel too: newer kernels do not take reservations back.
    run_tests("base/base_test", folder, tests="GuestMemory.HugePagesStay*")
    run_tests("vmm/kvm/vmm_kvm_test", folder, tests="VcpuTest.AnAccess*:EarlyKvmTest.*")
    run_tests(
        "vmm/machine/vmm_controller_test",
        folder,
        tests="ControllerTest.GuestRam*:ControllerTest.GuestTime*",
    )


@contextlib.contextmanager
def nfs(folder):
    """Serves a folder of this machine by NFS v4 and mounts it. Yields (mount point, folder).

    The programs of nfs-kernel-server are not used, because their package would start a server on
    every machine that runs tests. Their answers to the kernel are written beforehand instead.
    """
    served, mounted = f"{folder}/served", f"{folder}/mounted"
    os.mkdir(served)
    os.mkdir(mounted)

    def run(*command):
        done = subprocess.run(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        check(done.returncode == 0, f"{' '.join(command)}: {done.stdout}")

    def write(path, text):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)

    nfsd = "/proc/fs/nfsd"
    run("modprobe", "-a", "nfsd", "nfsv4")
    if not os.path.ismount(nfsd):
        run("mount", "-t", "nfsd", "nfsd", nfsd)
    never = 0x7FFFFFFF
    flags = 0x2402  # NFSEXP_INSECURE_PORT, NOSUBTREECHECK, FSID of linux/nfsd/export.h
    write("/proc/net/rpc/auth.unix.ip/channel", f"nfsd 127.0.0.1 {never} here\n")
    write("/proc/net/rpc/nfsd.export/channel", f"here {served} {never} {flags} 65534 65534 0\n")
    # The root of NFS v4 has the number 0.
    write("/proc/net/rpc/nfsd.fh/channel", f"here 1 \\x00000000 {never} {served}\n")
    write(f"{nfsd}/versions", "-2 -3 +4 +4.1 +4.2\n")
    write(f"{nfsd}/nfsv4leasetime", "10\n")
    write(f"{nfsd}/nfsv4gracetime", "10\n")
    write(f"{nfsd}/portlist", "tcp 2049\n")
    write(f"{nfsd}/threads", "2\n")
    try:
        write(f"{nfsd}/v4_end_grace", "Y\n")  # no client has locks to reclaim
        options = "vers=4.2,actimeo=1,addr=127.0.0.1,clientaddr=127.0.0.1"
        run("mount", "-i", "-t", "nfs4", "-o", options, "127.0.0.1:/", mounted)
        try:
            yield mounted, served
        finally:
            run("umount", mounted)
    finally:
        write(f"{nfsd}/threads", "0\n")


@case("shares-of-every-file-system", full=True, boots=0)
def shares_of_every_file_system(folder):
    """Tests trees on NFS v4, vfat and btrfs. Only the lab has kernel modules for all of them."""
    have("mkfs.vfat", "mkfs.btrfs", "mkfs.ext4")
    if os.environ["LAB_MODE"] != "emulated":
        raise Skip("starts an NFS server: only on a machine of its own")
    # The lab's kernel does not load modules by itself.
    modules = ("loop", "btrfs", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8")
    subprocess.run(["modprobe", "-a", *modules], check=False)
    with nfs(folder) as (mounted, served):
        environment = {
            "TEST_TMPDIR": folder,
            "VMM_TEST_NFS": mounted,
            "VMM_TEST_NFS_SERVER": served,
        }
        run_tests("virtio/host_tree/host_mounts_test", folder, environment)
