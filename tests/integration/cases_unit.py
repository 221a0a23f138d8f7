"""Unit tests that skip where ctest runs them: for want of a kernel, or of a standard KVM."""

import os
import re
import subprocess

from harness import Failure, Skip, case, check, guests, vmm_path


def run_tests(program, folder, environment=None, tests="*"):
    """Runs a unit test program of the build that vmm comes from; all of it must pass."""
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
    """What a KVM without hardware virtualization cannot show."""
    # Nor a kernel that takes back the reservation of huge pages as new ones do not.
    run_tests("base/base_test", folder, tests="GuestMemory.HugePagesStay*")
    run_tests("vmm/kvm/vmm_kvm_test", folder, tests="VcpuTest.AnAccess*:EarlyKvmTest.*")
    run_tests(
        "vmm/machine/vmm_controller_test",
        folder,
        tests="ControllerTest.GuestRam*:ControllerTest.GuestTime*",
    )
