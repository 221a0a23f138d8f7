"""The parts of a case: a VM to start, its console, its API, and the checks of its end.

Runs inside a lab session, with the standard library only. VMM names the program under test, and
VMM_GUESTS names a JSON file with the guest kernels and images. tests/integration/run sets both.
"""

import base64
import contextlib
import ctypes
import functools
import http.client
import json
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import threading
import time

# A guest of the emulated machine needs 8 to 15 s to reach its init, or 90 s on a busy machine. The
# limits only end guests that hang.
BOOT_SECONDS = 180
# N_TTY_BUF_SIZE of Linux, minus one for the end of the line.
MAX_LINE = 4095
# Text arrives in pieces, so a pattern that captures must also match what follows.
READY = r"VMM-GUEST-READY (\S+)\s"


class Failure(Exception):
    """The program under test did not do what the case demands."""


class StoodStill(Failure):
    """No expected text came in time from a guest or from the program. The lab may be at fault."""


class Skip(Exception):
    """The case cannot run here. The text says why."""


class Case:
    def __init__(self, function, name, group, full, boots):
        self.run = function
        self.name = name
        self.group = group
        self.full = full
        self.boots = boots


CASES = []


def case(name=None, group="lab", full=False, boots=1):
    """Registers a case.

    group is host (no KVM) or lab. Full cases do not run in CI. boots is how many guests the case
    starts, without resets in place.
    """

    def register(function):
        CASES.append(Case(function, name or function.__name__, group, full, boots))
        return function

    return register


def check(condition, text):
    if not condition:
        raise Failure(text)


def check_equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


@functools.lru_cache(maxsize=None)
def guests():
    with open(os.environ["VMM_GUESTS"], encoding="utf-8") as f:
        return json.load(f)


def guest_files(kernel):
    if kernel not in guests():
        raise Skip(f"kernel {kernel} is not to be had from the configured apt sources")
    return guests()[kernel]


def vmm_path():
    return os.environ["VMM"]


def encode(script):
    return base64.b64encode(script.encode()).decode()


class Console:
    """Collects what a descriptor delivers, on its own thread, and searches it."""

    def __init__(self, descriptor, log_path):
        self._descriptor = descriptor
        self._text = ""
        self._position = 0
        self._changed = threading.Condition()
        self._ended = False
        self._log = open(log_path, "ab")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:
                data = b""
            with self._changed:
                self._ended = not data
                self._text += data.decode(errors="replace")
                self._changed.notify_all()
            if not data:
                return
            self._log.write(data)
            self._log.flush()

    def expect(self, pattern, seconds=BOOT_SECONDS):
        """Returns the next match of pattern in the output, and continues behind it afterwards."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = re.compile(pattern, re.MULTILINE).search(self._text, self._position)
                if found:
                    self._position = found.end()
                    return found
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the output ended" if self._ended else f"{seconds} s passed"
                    raise (Failure if self._ended else StoodStill)(
                        f"{why} without {pattern!r} on the console; last: {self.tail()!r}"
                    )
                self._changed.wait(left)

    def text(self):
        with self._changed:
            return self._text

    def tail(self):
        return self._text[-600:]

    def send(self, text):
        os.write(self._descriptor, text.encode())


class Vm:
    """A running vmm. Use it as a context manager, which kills the process at the end."""

    def __init__(self, folder, config, *options, terminal=False, read_output=True, fds=()):
        self.folder = folder
        self._commands = 0
        self.number = len([name for name in os.listdir(folder) if name.endswith(".json")])
        self.config_path = os.path.join(folder, f"vm{self.number}.json")
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(config, f, indent=2)
        self._stderr_path = os.path.join(folder, f"vm{self.number}.stderr")
        command = [vmm_path(), "--config", self.config_path, *options]
        with open(self._stderr_path, "wb") as stderr:
            if terminal:
                master, slave = pty.openpty()
                self.process = subprocess.Popen(
                    command, stdin=slave, stdout=slave, stderr=stderr, start_new_session=True
                )
                self.terminal = slave
                output = self._input = master
            else:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    pass_fds=fds,
                )
                self._input = self.process.stdin.fileno()
                output = self.process.stdout.fileno()
        self.console = (
            Console(output, os.path.join(folder, f"vm{self.number}.console"))
            if read_output
            else None
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def expect(self, pattern, seconds=BOOT_SECONDS):
        try:
            return self.console.expect(pattern, seconds)
        except Failure as failure:
            status = self.process.poll()
            if status is None:
                raise type(failure)(f"{failure}; its threads: {self.threads()}") from failure
            raise Failure(
                f"{failure}; vmm ended with {status}: {self.stderr().strip()[-600:]}"
            ) from failure

    def send(self, text):
        try:
            os.write(self._input, text.encode())
        except BrokenPipeError:
            tail = self.console.tail() if self.console else ""
            raise Failure(
                f"vmm has ended before {text!r} was sent; console: {tail!r}; "
                f"stderr: {self.stderr().strip()[-600:]}"
            ) from None

    def shell(self, command, seconds=60):
        """Runs a command in the guest's shell. Returns what the command printed."""
        # With its line editor, the shell echoes each character by a write, which costs several
        # exits. Without the editor, the terminal reads a whole line. But at a prompt without the
        # editor, busybox's shell exits if the end of a background job interrupts its read, because
        # it takes that for the end of the input. So the first command starts a shell that reads
        # the terminal as its script: it has no prompt, and repeats such a read.
        if self._commands == 0:
            self.send("stty -echo 2>/dev/null; echo NO''-ECHO; exec sh /dev/tty\n")
            self.expect(r"NO-ECHO\s", seconds)
        # The marks are split in the command line, so that its echo does not match.
        self._commands += 1
        mark = f"MARK{self._commands}"
        line = f"echo BEGIN-''{mark}; {command}; echo END-''{mark}\n"
        check(len(line) < MAX_LINE, f"a command of {len(line)} characters for the guest's shell")
        self.send(line)
        return (
            self.expect(rf"BEGIN-{mark}\s([\s\S]*?)END-{mark}\s", seconds)
            .group(1)
            .replace("\r", "")
            .strip()
        )

    def reboot(self):
        """Reboots a guest that runs a shell, and waits for the shell of the next boot."""
        self.send("reboot -f\n")
        self.expect(READY)
        self._commands = 0  # the new shell echoes again

    def stderr(self):
        with open(self._stderr_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, status, seconds=60):
        """Waits for the end of vmm and checks its exit status."""
        try:
            got = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            tail = self.console.tail() if self.console else ""
            raise StoodStill(
                f"vmm still runs after {seconds} s, wanted exit status {status}; "
                f"console: {tail!r}; its threads: {self.threads()}; "
                f"stderr: {self.stderr().strip()[-600:]}"
            ) from None
        check_equal(got, status, f"exit status ({self.stderr().strip()[-600:]})")

    @contextlib.contextmanager
    def stopped_thread(self, name):
        """Stops one thread of vmm, like a host that hangs, while the other threads run."""
        seize, interrupt, detach, any_thread = 0x4206, 0x4207, 17, 0x40000000
        libc = ctypes.CDLL(None, use_errno=True)

        def trace(request, thread):
            done = libc.ptrace(request, thread, None, None)
            check(done == 0, f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")

        for task in os.scandir(f"/proc/{self.process.pid}/task"):
            with open(f"{task.path}/comm", encoding="ascii") as f:
                if f.read().strip() == name:
                    break
        else:
            raise Failure(f"no thread {name}: {self.threads()}")
        thread = int(task.name)
        trace(seize, thread)
        trace(interrupt, thread)
        os.waitpid(thread, any_thread)
        try:
            yield
        finally:
            trace(detach, thread)

    def threads(self):
        """Returns the name of each thread, its state, and what it waits for in the kernel."""
        shown = []
        for task in sorted(os.scandir(f"/proc/{self.process.pid}/task"), key=lambda t: int(t.name)):
            with contextlib.suppress(OSError):
                with open(f"{task.path}/stat", encoding="ascii", errors="replace") as f:
                    name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
                with open(f"{task.path}/wchan", encoding="ascii") as f:
                    shown.append(f"{name} {rest.split()[0]} {f.read()}")
        return ", ".join(shown)

    def usage(self):
        """Returns values that a leak would increase. The program's own pages are not among them."""
        proc = f"/proc/{self.process.pid}"
        by_mapping = self._anonymous_kib(proc)
        return {
            "descriptors": self._descriptors(proc),
            "threads": len(os.listdir(f"{proc}/task")),
            "anonymous_kib": sum(by_mapping.values()),
            "anonymous_by_mapping": by_mapping,
        }

    def _descriptors(self, proc):
        """Returns what the descriptors refer to, when no client's descriptor is being closed."""
        previous = None
        while True:
            names = []
            for descriptor in os.listdir(f"{proc}/fd"):
                with contextlib.suppress(FileNotFoundError):
                    names.append(os.readlink(f"{proc}/fd/{descriptor}"))
            if names == previous:
                return sorted(re.sub(r"\d{3,}", "N", name) for name in names)
            previous = names
            time.sleep(0.1)

    def _anonymous_kib(self, proc):
        """Returns the resident anonymous memory outside guest RAM, by mapping."""
        with open(self.config_path, encoding="utf-8") as f:
            ram_kib = to_bytes(json.load(f)["memory"]["size"]) // 1024
        by_mapping = {}
        name = ""
        size = 0
        with open(f"{proc}/smaps", encoding="ascii", errors="replace") as f:
            for line in f:
                words = line.split()
                if "-" in words[0] and not words[0].endswith(":"):
                    name = f"{words[0]} {' '.join(words[5:])}".strip()
                elif line.startswith("Size:"):
                    size = int(words[1])
                elif line.startswith("Anonymous:") and size < ram_kib // 2:
                    by_mapping[f"{name} of {size} KiB"] = int(words[1])
        return by_mapping


def to_bytes(size):
    units = {"K": 10, "M": 20, "G": 30}
    return int(size[:-1]) << units[size[-1]] if isinstance(size, str) else size


def vm_config(
    kernel="cloud",
    image="vmlinux",
    vcpus=1,
    memory="256M",
    tty="hvc0",
    test="shell",
    cmdline="",
    **more,
):
    """Returns a vm.json for a test guest.

    tty is the console that vmm's own terminal is connected to (hvc0 or ttyS0). test is a script for
    tests/lab/guest_init, or "shell". more are further keys of vm.json.
    """
    files = guest_files(kernel)
    encoded = test if test == "shell" else encode(test)
    config = {
        "cpus": {"boot_vcpus": vcpus},
        "memory": {"size": memory},
        "payload": {
            "kernel": files[image],
            "initramfs": files["initrd"],
            "cmdline": f"console={tty} quiet {cmdline} vmmtest={encoded}",
        },
        "console": {"mode": "Tty" if tty == "hvc0" else "Off"},
        "serial": {"mode": "Tty" if tty == "ttyS0" else "Off"},
    }
    config.update(more)
    return config


class Api:
    """A client of the control socket."""

    def __init__(self, path):
        self.path = path

    def call(self, method, name, body=None):
        """Returns (status code, parsed body)."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(self.path)
        connection.request(
            method, f"/api/v1/{name}", body=json.dumps(body) if body is not None else None
        )
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, json.loads(data) if data else None

    def put(self, name):
        status, body = self.call("PUT", name)
        check(status in (200, 204), f"PUT {name}: {status} {body}")


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"{what}: not within {seconds} s")
        time.sleep(0.02)


def wait_for_path(path, seconds=30):
    wait_until(lambda: os.path.exists(path), path, seconds)


def wait_readable(descriptor, seconds):
    return bool(select.select([descriptor], [], [], seconds)[0])


def run(*command, status=0):
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    check_equal(done.returncode, status, f"{' '.join(command)} ({done.stdout.strip()[-500:]})")
    return done.stdout


def copy_image(name, target):
    """Makes a writable copy of a prepared image among the case's files."""
    run("cp", "--sparse=always", guests()[name], target)
    return target


def new_image(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


def have(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise Skip(f"not installed: {' '.join(missing)}")
