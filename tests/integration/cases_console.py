"""Console and serial port: all sinks, also without a reader; the terminal is restored."""

import os
import re
import socket
import termios
import time

from harness import READY, Failure, Vm, case, check, check_equal, vm_config, wait_for_path

# More than any pipe, socket or terminal holds together with vmm's own buffer. Linux's console kicks
# and waits for each 16 bytes, so a longer text would only take minutes on a busy machine.
FLOOD_HVC = "dd if=/dev/zero bs=64k count=16 2>/dev/null | tr '\\0' x >/dev/hvc0; "
FLOOD_SERIAL = "dd if=/dev/zero bs=1k count=96 2>/dev/null | tr '\\0' x >/dev/ttyS0; "


@case("stalled-pipe-does-not-stall-the-guest")
def stalled_pipe(folder):
    test = FLOOD_HVC + "echo LAST-LINE >/dev/hvc0; "
    with Vm(folder, vm_config(test=test), read_output=False) as vm:
        vm.wait(0, seconds=240)
        # A reader that comes only now finds the mark for dropped output, and the last output.
        text = vm.process.stdout.read()
        mark = text.rfind(b"bytes dropped]")
        check(mark >= 0, f"no mark in {len(text)} bytes of output")
        check(b"LAST-LINE" in text[mark:], f"the last line is lost: {text[-200:]!r}")


@case("stalled-pty-and-socket-do-not-stall-the-guest")
def stalled_pty_and_socket(folder):
    path = f"{folder}/serial.sock"
    config = vm_config(
        test=FLOOD_HVC + FLOOD_SERIAL,
        console={"mode": "Pty"},
        serial={"mode": "Socket", "socket": path},
    )
    with Vm(folder, config) as vm:
        wait_for_path(path)
        client = socket.socket(socket.AF_UNIX)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(path)
        found = find_pty(vm)
        reader = os.open(found, os.O_RDWR | os.O_NOCTTY)
        vm.wait(0, seconds=180)
        os.close(reader)
        client.close()


def find_pty(vm, seconds=20):
    """Returns the path of the pty, from vmm's log line."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = re.search(r"/dev/pts/\d+", vm.stderr() + vm.console.text())
        if found:
            return found.group(0)
        time.sleep(0.05)
    raise Failure(f"vmm names no terminal: {vm.stderr()!r}")


@case("console-to-file-and-serial-to-socket")
def file_and_socket(folder):
    path = f"{folder}/serial.sock"
    log = f"{folder}/console.log"
    config = vm_config(
        # Open the UART before the host sends text, because opening it empties its receive FIFO.
        test="exec 3<>/dev/ttyS0; echo TO-FILE; read line <&3; echo GOT-$line >&3; sleep 1",
        console={"mode": "File", "file": log},
        serial={"mode": "Socket", "socket": path},
    )
    with Vm(folder, config) as vm:
        wait_for_path(path)
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(90)
        client.connect(path)
        wait_for_text(log, "TO-FILE")
        client.sendall(b"line\n")
        received = b""
        while b"GOT-line" not in received:
            data = client.recv(4096)
            check(data, f"the serial socket ended; got {received!r}")
            received += data
        vm.wait(0)


def wait_for_text(path, text, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as f:
                if text in f.read():
                    return
        time.sleep(0.1)
    raise Failure(f"{path} never had {text!r}")


@case("terminal-is-raw-then-restored")
def terminal(folder):
    with Vm(folder, vm_config(), terminal=True) as vm:
        before = termios.tcgetattr(vm.terminal)
        vm.expect(READY)
        during = termios.tcgetattr(vm.terminal)
        check(
            not during[3] & (termios.ICANON | termios.ECHO),
            "the terminal is not raw while the guest runs",
        )
        vm.expect("# ")
        check_equal(vm.shell("echo $((6 * 7))"), "42", "answer of the shell")
        vm.send("\x01x")
        vm.wait(3, seconds=20)
        after = termios.tcgetattr(vm.terminal)
        check_equal(after[:6], without_raw(before, during)[:6], "terminal settings after the end")


def without_raw(before, during):
    """Returns the settings from before vmm made the terminal raw, even if read too late."""
    if before != during:
        return before
    fresh_master, fresh = os.openpty()
    settings = termios.tcgetattr(fresh)
    os.close(fresh)
    os.close(fresh_master)
    return settings
