"""The VM processes that are measured: ours and QEMU's, started with the same guest."""

import contextlib
import fcntl
import http.client
import json
import os
import re
import select
import socket
import struct
import subprocess
import time

import assets

GUEST_MIB = 256
PATIENCE = 300
LOCK_SECONDS = 20


class Vm:
    """A VMM process whose standard output is the guest's console."""

    def __init__(self, command, environment=None, stdin=subprocess.DEVNULL):
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, env=environment, stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)  # fmt: skip
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def wait_for(self, pattern, patience=PATIENCE):
        """Returns the match and the milliseconds since the start."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            match = re.search(pattern, self.text)
            if match:
                return match, (time.monotonic() - self.started) * 1000
            if select.select([self.process.stdout], [], [], 1)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                if not data:
                    break
                self.text += data.decode(errors="replace")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)  # whether it has ended
        ended = self.process.returncode
        state = "is still there" if ended is None else f"has ended with {ended}"
        raise RuntimeError(f"no {pattern!r} from {self.process.args[0]}, which {state}:\n{self.text[-2000:]}")

    def cpu_seconds(self, thread=None):
        where = f"{self.process.pid}/task/{thread}" if thread else str(self.process.pid)
        with open(f"/proc/{where}/stat", encoding="utf-8") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_outside_guest(self, guest_mib=GUEST_MIB):
        """Returns (resident KiB, the same by mapping) of all mappings that are smaller than guest RAM."""
        size, rss = 0, {}
        with open(f"/proc/{self.process.pid}/smaps", encoding="utf-8") as f:
            for line in f:
                head = re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+\s*(.*)", line)
                if head:
                    size = int(head[2], 16) - int(head[1], 16)
                    name = os.path.basename(head[3].strip()) or "anonymous"
                elif line.startswith("Rss:") and size < guest_mib << 20:
                    rss[name] = rss.get(name, 0) + int(line.split()[1])
        return sum(rss.values()), rss

    def threads(self):
        """Returns {thread: (name, voluntary context switches)} of all threads except vCPUs."""
        result = {}
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/status", encoding="utf-8") as f:
                status = f.read()
            name = re.search(r"Name:\s+(\S+)", status)[1]
            if not name.startswith("vcpu"):
                result[thread] = (name, int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", status)[1]))
        return result


def wait_unlocked(path):
    """Waits until a killed VMM's lock on an image is released: its ring is destroyed after the process has ended."""
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with open(path, "r+b") as f:
        end = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.fcntl(f, fcntl.F_OFD_SETLK, lock)
                return
            except BlockingIOError:
                time.sleep(0.05)


class Ours:
    def __init__(self, vmm, folder):
        self.vmm = vmm
        self.folder = folder
        self.api = f"{folder}/api.sock"

    def start(self, kernel, initrd, bench, console, disks=(), all_devices=True, net=None):
        """Starts a guest. With all_devices there is a virtio console, even if the guest does not use it."""
        for disk in disks:
            wait_unlocked(disk)
        on_serial = console == "ttyS0"
        config = {
            "cpus": {"boot_vcpus": 1},
            "memory": {"size": f"{GUEST_MIB}M"},
            "payload": {"kernel": kernel, "initramfs": initrd, "cmdline": f"console={console} quiet BENCH={bench}"},
            "serial": {"mode": "Tty" if on_serial else "Off"},
            "console": {"mode": "Tty" if not on_serial else "Null" if all_devices else "Off"},
            "disks": [{"path": disk, "direct": True} for disk in disks],
            "net": [net] if net else [],
        }
        path = f"{self.folder}/vm.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        if os.path.exists(self.api):
            os.unlink(self.api)
        return Vm([self.vmm, "--config", path, "--api-socket", self.api])

    def get(self, endpoint):
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.api)
        connection.request("GET", f"/api/v1/{endpoint}")
        text = connection.getresponse().read()
        connection.close()
        return json.loads(text)

    def exits(self):
        """Returns {place: exits to user space}."""
        return self.get("vm.counters")["_vcpus"]


class Qemu:
    def __init__(self):
        self.command, self.environment, self.version = assets.qemu()

    def start(self, kernel, initrd, bench, machine="microvm,rtc=on", console="ttyS0", disk=None, netdev=None):
        command = self.command + ["-M", machine, "-accel", "kvm", "-cpu", "host", "-m", str(GUEST_MIB), "-nodefaults",
                                  "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
                                  "-append", f"console={console} quiet BENCH={bench}"]  # fmt: skip
        if console == "ttyS0":
            command += ["-serial", "stdio"]
        else:
            command += ["-chardev", "stdio,id=c", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=c"]
        if disk:
            command += ["-object", "iothread,id=io", "-drive",
                        f"if=none,id=d,file={disk},format=raw,cache=none,aio=io_uring",
                        "-device", "virtio-blk-pci,drive=d,iothread=io"]  # fmt: skip
        if netdev:
            command += ["-netdev", f"tap,id=n,script=no,downscript=no,{netdev}",
                        "-device", "virtio-net-pci,netdev=n,romfile="]  # fmt: skip
        return Vm(command, self.environment)
