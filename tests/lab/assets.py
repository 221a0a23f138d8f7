"""The parts of the lab: kernels, initrds, disks and QEMU, fetched by package name and cached.

The cache is outside the tree. Every item is a folder that appears complete in one step (lock,
prepare in a temporary folder, rename), so that several users and trees can share a cache. To
refresh the cache, remove it.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools")
# Change this when the layout of an item changes.
LAYOUT = "v1"

# Guest kernels: name, package, and whether the package comes from backports.
KERNELS = {
    "cloud": ("linux-image-cloud-amd64", False),
    "full": ("linux-image-amd64", False),
    "backports": ("linux-image-cloud-amd64", True),
}
# The kernel of the emulated machine itself, by the name that tests/lab/lab uses. It is a full
# kernel, because only those have 9p, by which the machine reads this machine's root file system.
LAB_KERNELS = {"6.1": "full", "6.12": "full-backports"}
_LAB_PACKAGES = {"full-backports": ("linux-image-amd64", True)}
# Debian builds nearly every driver as a module. Modules that a flavour has built in are skipped.
GUEST_MODULES = [
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtio-rng",
    "ext4",
    "button",
    "evdev",
    "pvpanic-pci",
]
# Further modules of guests that mount shares. They are not in the initrd that all guests wait for.
SHARE_MODULES = ["virtiofs", "overlay"]
# Further modules of guests that have a network or socket device.
NET_MODULES = ["virtio_net", "vmw_vsock_virtio_transport"]
# Only the full kernels have 9p.
P9_MODULES = ["9pnet_virtio", "9p"]
# The modules that mount a store in stage 1, from a share or from a disk.
STAGE1_MODULES = [
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtiofs",
    "erofs",
    "overlay",
    "virtio_net",
]
LAB_MODULES = [
    "virtio_pci",
    "virtio_console",
    "9pnet_virtio",
    "9p",
    "overlay",
    "virtio_blk",
    "ext4",
]


class AssetError(Exception):
    """A package or kernel is not available."""


def cache_dir():
    chosen = os.environ.get("VMM_LAB_CACHE")
    if not chosen:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        chosen = os.path.join(base, "vmm-lab")
    path = os.path.join(os.path.abspath(chosen), LAYOUT)
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(name):
    with open(os.path.join(cache_dir(), f".lock-{name}"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def item(name, prepare):
    """Returns the folder of a cached item. prepare(folder) fills it on first use."""
    path = os.path.join(cache_dir(), name)
    if os.path.isdir(path):
        return path
    with locked(name):
        if not os.path.isdir(path):
            partial = f"{path}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            os.makedirs(partial)
            prepare(partial)
            os.rename(partial, path)
    return path


def run(command, **options):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
    )
    if done.returncode:
        raise AssetError(
            f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-2000:]}"
        )
    return done.stdout


def ensure_packages():
    """Installs the packages that the lab itself needs, on a bare machine."""
    needed = {
        "qemu-system-x86_64": "qemu-system-x86",
        "busybox": "busybox-static",
        "depmod": "kmod",
        "lz4": "lz4",
        "mke2fs": "e2fsprogs",
        "g++": "g++",
    }
    path = os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [
        package for program, package in needed.items() if not shutil.which(program, path=path)
    ]
    if missing:
        print(f"lab: installing {' '.join(missing)}", file=sys.stderr)
        run([os.path.join(TOOLS, "install-packages"), *missing])


# --- packages -------------------------------------------------------------------------------------


def _apt_options(root):
    """Points apt at a private configuration and state. The machine's own files do not change."""
    return [
        "-o",
        f"Dir::Etc::SourceList={root}/sources.list",
        "-o",
        "Dir::Etc::SourceParts=/dev/null",
        "-o",
        f"Dir::State::Lists={root}/lists",
        "-o",
        f"Dir::Cache={root}/cache",
        "-o",
        "Debug::NoLocking=1",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Acquire::Retries=2",
    ]


def _prepare_apt(root):
    os.makedirs(f"{root}/lists/partial")
    os.makedirs(f"{root}/cache/archives/partial")
    targets = run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]
    )
    sources = {tuple(line.split()) for line in targets.splitlines() if line.count(" ") == 2}
    release = _release()
    debian = sorted(
        (uri, suite)
        for uri, suite, component in sources
        if component == "main" and suite.split("-")[0].split("/")[0] == release
    )
    if not debian:
        raise AssetError(f"apt has no source for {release}: add Debian's to its configuration")
    lines = [f"deb {uri} {suite} main" for uri, suite in debian]
    # On every mirror, backports are next to the release itself.
    beside = [f"deb {uri} {release}-backports main" for uri, suite in debian if suite == release]
    with open(f"{root}/sources.list", "w", encoding="utf-8") as f:
        f.write("\n".join(lines + beside) + "\n")
    try:
        run(["apt-get", *_apt_options(root), "-q", "update", "--error-on=any"])
    except AssetError:
        with open(f"{root}/sources.list", "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
        run(["apt-get", *_apt_options(root), "-q", "update"])


def _release():
    with open("/etc/os-release", encoding="utf-8") as f:
        values = dict(line.strip().split("=", 1) for line in f if "=" in line)
    return values.get("VERSION_CODENAME", "bookworm").strip('"')


def _apt():
    return _apt_options(item("apt", _prepare_apt))


def have_backports():
    with open(os.path.join(item("apt", _prepare_apt), "sources.list"), encoding="utf-8") as f:
        return "-backports" in f.read()


def _suite(package, backports):
    return f"{package}/{_release()}-backports" if backports else package


def _stable_version(package):
    """Returns the newest version of a package that does not come from backports."""
    rows = [
        line.split("|") for line in run(["apt-cache", *_apt(), "madison", package]).splitlines()
    ]
    versions = [row[1].strip() for row in rows if "-backports" not in row[2]]
    if not versions:
        raise AssetError(f"package {package} is not in the configured apt sources")
    return versions[0]


def _package(name, backports):
    """Returns NAME=VERSION or NAME/SUITE, as apt expects it."""
    return _suite(name, True) if backports else f"{name}={_stable_version(name)}"


def _image_package(meta, backports):
    """Returns the package of the kernel that a kernel meta-package depends on."""
    shown = run(["apt-cache", *_apt(), "show", _package(meta, backports)])
    for line in shown.splitlines():
        if line.startswith("Depends:"):
            return line.split(":")[1].split("(")[0].split(",")[0].strip()
    raise AssetError(f"{meta} names no kernel package")


def _unpack(package, folder, apt):
    run(["apt-get", *apt, "-q", "download", package], cwd=folder)
    for deb in glob.glob(f"{folder}/*.deb"):
        run(["dpkg-deb", "-x", deb, f"{folder}/unpacked"])
        os.unlink(deb)


# --- kernels and initrds --------------------------------------------------------------------------


def kernel(name):
    """Returns the folder of a kernel: bzImage, vmlinux, version, and lib/modules with its index."""
    meta, backports = {**KERNELS, **_LAB_PACKAGES}[name]
    if backports and not have_backports():
        raise AssetError(f"kernel {name}: the apt mirror has no backports")

    def prepare(folder):
        _unpack(_image_package(meta, backports), folder, _apt())
        unpacked = f"{folder}/unpacked"
        lib = (
            f"{unpacked}/usr/lib"
            if os.path.isdir(f"{unpacked}/usr/lib/modules")
            else f"{unpacked}/lib"
        )
        version = os.listdir(f"{lib}/modules")[0]
        os.makedirs(f"{folder}/lib/modules")
        os.rename(f"{lib}/modules/{version}", f"{folder}/lib/modules/{version}")
        os.rename(f"{unpacked}/boot/vmlinuz-{version}", f"{folder}/bzImage")
        shutil.rmtree(unpacked)
        run(["depmod", "-b", folder, version])
        run([os.path.join(TOOLS, "extract-vmlinux"), f"{folder}/bzImage", f"{folder}/vmlinux"])
        with open(f"{folder}/version", "w", encoding="utf-8") as f:
            f.write(version)

    return item(f"kernel-{name}", prepare)


def kernel_version(name):
    with open(os.path.join(kernel(name), "version"), encoding="utf-8") as f:
        return f.read()


def modules_dir(name):
    return os.path.join(kernel(name), "lib", "modules", kernel_version(name))


def digest_of(words, *paths):
    """Returns a short name for content that is made from these words and files."""
    digest = hashlib.sha256(" ".join(words).encode())
    for path in paths:
        with open(path, "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()[:12]


def pad_for_microvm(initrd):
    """Pads an initrd with zeros, which the kernel ignores, so that it ends early in its last page.

    QEMU puts a microvm's initrd at the very top of RAM, and its firmware puts the ACPI tables into
    the last KiB of the last page. An initrd that reaches them overwrites the DSDT (seen with QEMU
    10.0.2), and the guest then computes the checksum of a table of 2 GiB for minutes.
    """
    page, used = 4096, 512
    size = os.path.getsize(initrd)
    os.truncate(initrd, (size + page - 1) // page * page + used)


def _initrd(kind, kernel_name, init, modules, files=()):
    """Returns the path of an initrd; files are (source, target) pairs."""
    digest = digest_of(
        [kernel_version(kernel_name), *modules, "padded"],
        init,
        os.path.join(TOOLS, "mkinitrd"),
        *(source for source, _ in files),
    )

    def prepare(folder):
        command = [os.path.join(TOOLS, "mkinitrd"), "-o", f"{folder}/initrd", "--init", init]
        command += ["--modules", modules_dir(kernel_name)]
        for module in modules:
            command += ["--module", module]
        for source, target in files:
            command += ["--file", f"{source}={target}"]
        run(command)
        pad_for_microvm(f"{folder}/initrd")

    return os.path.join(item(f"{kind}-{kernel_name}-{digest}", prepare), "initrd")


def _program(name):
    """Returns the path of a static program compiled from NAME.c in this folder."""
    source = os.path.join(HERE, f"{name}.c")

    def prepare(folder):
        run(["gcc", "-O2", "-static", "-s", "-o", f"{folder}/{name}", source])

    return os.path.join(item(f"{name}-{digest_of([], source)}", prepare), name)


def guest_initrd(kernel_name, more_modules=(), more_files=()):
    files = [
        (_program("memory_pattern"), "bin/memory-pattern"),
        (_program("crash_load"), "bin/crash-load"),
        *more_files,
    ]
    modules = [*GUEST_MODULES, *more_modules]
    return _initrd("guest", kernel_name, os.path.join(HERE, "guest_init"), modules, files)


def stage1_initrd(kernel_name):
    """Returns an initrd in the style of NixOS. Its system is in a store (see stage1_init)."""
    modules = STAGE1_MODULES + (P9_MODULES if kernel_name == "full" else [])
    return _initrd("stage1", kernel_name, os.path.join(HERE, "stage1_init"), modules)


def lab_initrd(kernel_name):
    return _initrd("lab", kernel_name, os.path.join(HERE, "lab_init"), LAB_MODULES)


def guest(name):
    """Returns the paths of all files that a guest with that kernel boots from."""
    folder = kernel(name)
    share_modules = SHARE_MODULES + (P9_MODULES if name == "full" else [])
    share_files = [
        (_program("try_handles"), "bin/try-handles"),
        (_program("repeat"), "bin/repeat"),
    ]
    return {
        "version": kernel_version(name),
        "bzImage": os.path.join(folder, "bzImage"),
        "vmlinux": os.path.join(folder, "vmlinux"),
        "initrd": guest_initrd(name),
        "share-initrd": guest_initrd(name, share_modules, share_files),
        "net-initrd": guest_initrd(name, NET_MODULES, [(_program("vsock"), "bin/vsock")]),
        "stage1-initrd": stage1_initrd(name),
    }


# --- disks ----------------------------------------------------------------------------------------


def root_image():
    """Returns a small ext4 image whose /sbin/init runs a test script (root_init)."""
    init = os.path.join(HERE, "root_init")
    tool = _program("memory_pattern")

    def prepare(folder):
        root = f"{folder}/tree"
        for name in (
            "bin",
            "sbin",
            "dev",
            "etc",
            "mnt",
            "proc",
            "run",
            "sys",
            "tmp",
            "usr/bin",
            "usr/sbin",
        ):
            os.makedirs(f"{root}/{name}")
        shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
        for applet in run(["busybox", "--list"]).split():
            if applet != "busybox":
                os.symlink("/bin/busybox", f"{root}/bin/{applet}")
        shutil.copy(init, f"{root}/sbin/init")
        shutil.copy(tool, f"{root}/bin/memory-pattern")
        run(
            [
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-E",
                "root_owner=0:0",
                "-d",
                root,
                f"{folder}/root.raw",
                "32M",
            ]
        )
        shutil.rmtree(root)

    return os.path.join(item(f"root-{digest_of([], init, tool)}", prepare), "root.raw")


def debian_image():
    """Returns an ext4 image of Debian (debootstrap minbase with systemd). root has no password."""

    def prepare(folder):
        ensure_packages()
        if not shutil.which("debootstrap"):
            run([os.path.join(TOOLS, "install-packages"), "debootstrap"])
        root = f"{folder}/tree"
        with open(os.path.join(item("apt", _prepare_apt), "sources.list"), encoding="utf-8") as f:
            mirror = next(line.split()[1] for line in f if line.split()[2] == _release())
        run(
            [
                "debootstrap",
                "--variant=minbase",
                "--include=systemd-sysv,udev,dbus",
                _release(),
                root,
                mirror,
            ]
        )
        run(["chroot", root, "passwd", "-d", "root"])
        # This service looks for LVM snapshots, which takes an emulated guest 12 s.
        run(["chroot", root, "systemctl", "mask", "e2scrub_reap.service", "e2scrub_all.timer"])
        with open(f"{root}/etc/fstab", "w", encoding="utf-8") as f:
            f.write("/dev/vda / ext4 rw,relatime 0 1\n")
        with open(f"{root}/etc/hostname", "w", encoding="utf-8") as f:
            f.write("vmm-guest\n")
        for name in (
            "var/cache/apt/archives",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/locale",
        ):
            shutil.rmtree(f"{root}/{name}", ignore_errors=True)
        run(["mke2fs", "-q", "-t", "ext4", "-d", root, f"{folder}/debian.raw", "1500M"])
        shutil.rmtree(root)

    return os.path.join(item(f"debian-{_release()}-2", prepare), "debian.raw")


# --- QEMU -----------------------------------------------------------------------------------------


def _prepare_qemu(folder):
    """Unpacks QEMU from backports with its libraries. Leaves no root/ if that fails."""
    if not have_backports():
        return
    apt = _apt() + ["-o", f"Dir::Cache::archives={folder}/debs"]
    os.makedirs(f"{folder}/debs/partial")
    try:
        run(
            [
                "apt-get",
                *apt,
                "-q",
                "-y",
                "--download-only",
                "--no-install-recommends",
                "-t",
                f"{_release()}-backports",
                "install",
                "qemu-system-x86",
            ]
        )
        for deb in glob.glob(f"{folder}/debs/*.deb"):
            run(["dpkg-deb", "-x", deb, f"{folder}/tree"])
    except AssetError as error:
        print(f"lab: QEMU from backports: {error}", file=sys.stderr)
        shutil.rmtree(f"{folder}/tree", ignore_errors=True)
    shutil.rmtree(f"{folder}/debs")
    if os.path.isdir(f"{folder}/tree"):
        try:
            run(_qemu_command(folder) + ["-M", "help"], env=_qemu_environment(folder))
        except (AssetError, OSError) as error:
            print(f"lab: QEMU from backports does not start here: {error}", file=sys.stderr)
            shutil.rmtree(f"{folder}/tree")


def _qemu_command(folder):
    root = f"{folder}/tree"
    return [
        f"{root}/usr/bin/qemu-system-x86_64",
        "-L",
        f"{root}/usr/share/seabios",
        "-L",
        f"{root}/usr/share/qemu",
    ]


def _qemu_environment(folder):
    lib = f"{folder}/tree/usr/lib/x86_64-linux-gnu"
    return {**os.environ, "LD_LIBRARY_PATH": lib, "QEMU_MODULE_DIR": f"{lib}/qemu"}


def qemu():
    """Returns (command, environment, version) of the best QEMU that is available."""
    folder = item("qemu-backports", _prepare_qemu)
    if os.path.isdir(f"{folder}/tree"):
        command, environment = _qemu_command(folder), _qemu_environment(folder)
    else:
        command, environment = ["qemu-system-x86_64"], dict(os.environ)
    version = run(command[:1] + ["--version"], env=environment).split("(")[0].split()[-1]
    return command, environment, version
