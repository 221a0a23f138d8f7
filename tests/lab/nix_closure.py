"""A closure that Nix has really built, kept in the cache. The NixOS pattern is tested with it."""

import json
import os
import shutil
import subprocess

import assets

HERE = assets.HERE
STORE_IMAGE = os.path.join(assets.TOOLS, "store-image")
# Nix must not use a binary cache, and builds as the user that runs it, not as one of a pool of
# users.
NIX_CONFIG = "substitute = false\nbuild-users-group =\n"


def nix_closure():
    """Returns the paths of a store with a closure of tests/lab/closure.nix, building it at first.

    store, image               folder of the store paths; the closure's as an erofs image
    closure                    file that lists them: those of the system, and its registration
    init, registration         paths as the guest sees them
    secret                     a path in the same store that is not in the closure
    """
    if not shutil.which("nix-build") or not shutil.which("mkfs.erofs"):
        assets.run([os.path.join(assets.TOOLS, "install-packages"), "nix-bin", "erofs-utils"])
    nix, busybox = os.path.realpath(shutil.which("nix")), shutil.which("busybox")
    sources = [os.path.join(HERE, name) for name in ("closure.nix", "stage2_init")]
    digest = assets.digest_of([NIX_CONFIG], *sources, __file__, STORE_IMAGE, nix, busybox)
    folder = assets.item(f"closure-{digest}", lambda partial: _build(partial, nix, busybox))
    with open(f"{folder}/paths.json", encoding="utf-8") as f:
        paths = json.load(f)
    return {
        "store": f"{folder}/root/nix/store",
        "closure": f"{folder}/store-paths",
        "image": f"{folder}/store.erofs",
        **paths,
    }


def _build(folder, nix, busybox):
    _copy_busybox(f"{folder}/busybox", busybox)
    _copy_nix(f"{folder}/nix", nix)
    command = ["nix-build", os.path.join(HERE, "closure.nix"), "--no-out-link"]
    for name, path in (
        ("busybox", f"{folder}/busybox"),
        ("nix", f"{folder}/nix"),
        ("stage2", os.path.join(HERE, "stage2_init")),
    ):
        command += ["--arg", name, path]
    system = _nix(folder, *command, "-A", "toplevel").split()[-1]
    secret = _nix(folder, *command, "-A", "secret").split()[-1]

    closure = _nix(folder, "nix-store", "-qR", system).split()
    if secret in closure:
        raise assets.AssetError(f"{secret} is in the closure of {system}")
    with open(f"{folder}/registration", "w", encoding="ascii") as f:
        f.write(_nix(folder, "nix-store", "--dump-db", *closure))
    # The guest reads the registration, so the registration must be a store path too.
    registration = _nix(folder, "nix-store", "--add", f"{folder}/registration").strip()
    with open(f"{folder}/store-paths", "w", encoding="ascii") as f:
        f.writelines(f"{path}\n" for path in sorted([*closure, registration]))
    store = f"{folder}/root/nix/store"
    assets.run([STORE_IMAGE, "--store", store, f"{folder}/store-paths", f"{folder}/store.erofs"])
    for name in ("busybox", "nix", "home"):
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    paths = {"init": f"{system}/init", "registration": registration, "secret": secret}
    with open(f"{folder}/paths.json", "w", encoding="utf-8") as f:
        json.dump(paths, f)


def _nix(folder, program, *arguments):
    """Runs a program of Nix on a store below folder. This machine's own /nix is not touched."""
    done = subprocess.run(
        [program, "--store", f"{folder}/root", *arguments],
        env={**os.environ, "HOME": f"{folder}/home", "NIX_CONFIG": NIX_CONFIG},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise assets.AssetError(
            f"{program}: exit status {done.returncode}\n{done.stderr.strip()[-2000:]}"
        )
    return done.stdout


def _copy_busybox(folder, busybox):
    """Makes a folder of busybox and its applets. busybox acts by the name of its call."""
    os.makedirs(f"{folder}/bin")
    shutil.copy(busybox, f"{folder}/bin/busybox")
    for applet in assets.run([busybox, "--list"]).split():
        if applet != "busybox":
            os.symlink("busybox", f"{folder}/bin/{applet}")


def _copy_nix(folder, nix):
    """Makes a folder of Nix, the libraries linked with it, and one that it loads at run time."""
    os.makedirs(f"{folder}/bin")
    os.makedirs(f"{folder}/lib")
    shutil.copy(nix, f"{folder}/bin/nix")
    for line in assets.run(["ldd", nix]).splitlines():
        for path in [word for word in line.split() if word.startswith("/")]:
            if os.path.basename(path).startswith("libicudata.so."):
                _make_icu_data(f"{folder}/lib/{os.path.basename(path)}")
            else:
                shutil.copy(path, f"{folder}/lib")
            if os.path.basename(path) == "libc.so.6":
                shutil.copy(os.path.join(os.path.dirname(path), "libnss_dns.so.2"), f"{folder}/lib")


def _make_icu_data(path):
    """Makes empty ICU tables. The real ones are 30 MiB that Nix never reads but would hash."""
    name = os.path.basename(path)
    source = f"{path}.c"
    with open(source, "w", encoding="ascii") as f:
        f.write(f"const char icudt{name.split('.')[-1]}_dat[16] = {{0}};\n")
    assets.run(["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", path, source])
    os.unlink(source)
