"""A boot by phase, from tracepoints of the host's kernel. The traced program needs no support for it.

Needs root. Times are of CLOCK_MONOTONIC, which time.monotonic() reads too.
"""

import os
import re
import subprocess

TRACING = "/sys/kernel/tracing"
# The phases, named by the event that ends each, in the order of a boot.
PHASES = ("process start", "KVM objects", "kernel loaded", "first entry", "kernel entry", "init")
COLOURS = ("#9aa5b1", "#4c78a8", "#72b7b2", "#eeca3b", "#f58518", "#54a24b")
KVM_CREATE_VM, KVM_SET_REGS, KVM_SET_SREGS, KVM_SET_MSRS = 0xAE01, 0x4090AE82, 0x4138AE84, 0x4008AE89
KVM_CREATE_VCPU, KVM_SET_CPUID2 = 0xAE41, 0x4008AE90
SETUP = (KVM_CREATE_VM, KVM_CREATE_VCPU, KVM_SET_CPUID2, KVM_SET_MSRS, KVM_SET_SREGS, KVM_SET_REGS)
# Linux maps itself there; boot loaders and decompressors run at lower addresses.
KERNEL_SPACE = 0xFFFFFFFF80000000
EVENTS = ("sched/sched_process_exec", "syscalls/sys_enter_ioctl", "kvm/kvm_entry", "kvm/kvm_exit")
LINE = re.compile(r"\s(\d+\.\d+): (\w+)\(?:? ?(.*)")


def _write(name, text):
    with open(f"{TRACING}/{name}", "w", encoding="ascii") as f:
        f.write(text)


def _mount():
    if not os.path.exists(f"{TRACING}/trace"):
        subprocess.run(["mount", "-t", "tracefs", "tracefs", TRACING], check=True)


class SystemCalls:
    """Counts the system calls of a process while it is open, which slows all system calls down."""

    TRIGGER = "events/raw_syscalls/sys_enter/trigger"
    HISTOGRAM = "hist:keys=common_pid"

    def __init__(self, pid):
        self.pid = pid
        self.count = 0

    def __enter__(self):
        _mount()
        _write(self.TRIGGER, self.HISTOGRAM)
        return self

    def __exit__(self, *_):
        with open(f"{TRACING}/events/raw_syscalls/sys_enter/hist", encoding="ascii") as f:
            rows = re.findall(r"common_pid:\s*(\d+) \} hitcount:\s*(\d+)", f.read())
        threads = os.listdir(f"/proc/{self.pid}/task")
        self.count = sum(int(count) for thread, count in rows if thread in threads)
        _write(self.TRIGGER, f"!{self.HISTOGRAM}")


class Trace:
    """Collects the events that happen while it is open."""

    def __enter__(self):
        _mount()
        _write("tracing_on", "0")
        _write("trace_clock", "mono")
        _write("buffer_size_kb", "32768")
        _write("options/overwrite", "0")  # keep the first events when the buffer is full
        _write("trace", "")
        _write("events/syscalls/sys_enter_ioctl/filter", " || ".join(f"cmd == {number}" for number in SETUP))
        for event in EVENTS:
            _write(f"events/{event}/enable", "1")
        _write("tracing_on", "1")
        return self

    def __exit__(self, *_):
        _write("tracing_on", "0")
        for event in EVENTS:
            _write(f"events/{event}/enable", "0")
        _write("trace", "")

    def marks(self, program):
        """Returns {phase: seconds} of the boot of `program`, without init."""
        _write("tracing_on", "0")
        marks = {}
        with open(f"{TRACING}/trace", encoding="ascii", errors="replace") as f:
            for line in f:
                match = LINE.search(line)
                if match:
                    _mark(marks, program, float(match[1]), match[2], match[3])
                if "kernel entry" in marks:
                    break
        return marks


def _mark(marks, program, time, event, text):
    if event == "sched_process_exec" and f"filename={program} " in text:
        marks["process start"] = time
    elif "process start" not in marks or "kernel entry" in marks:
        return
    elif event == "sys_ioctl" and "first entry" not in marks:
        # KVM_SET_REGS or KVM_SET_SREGS comes after the kernel is loaded. Earlier calls make the
        # objects.
        command = int(re.search(r"cmd: (\w+)", text)[1], 16)
        if command in (KVM_SET_SREGS, KVM_SET_REGS):
            marks["kernel loaded"] = time
        elif "kernel loaded" not in marks:
            marks["KVM objects"] = time
    elif event == "kvm_entry":
        marks.setdefault("first entry", time)
    elif event == "kvm_exit":
        address = re.search(r"rip (0x[0-9a-f]+)", text)
        if address and int(address[1], 16) >= KERNEL_SPACE:
            marks["kernel entry"] = time


def since_start(marks):
    """Returns [(phase, milliseconds since the process started)] of the phases that occurred."""
    return [(phase, (marks[phase] - marks["process start"]) * 1000) for phase in PHASES if phase in marks]


def text(rows):
    return ", ".join(f"{phase} {at:.1f}" for phase, at in rows[1:])


def svg(boots):
    """Returns an SVG picture of {name: [(phase, milliseconds)]}: a bar for each boot, with the phases' lengths."""
    left, width, row = 190, 760, 74
    end = max(rows[-1][1] for rows in boots.values())
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 30}" height="{row * len(boots) + 40}"'
             ' font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for number, (name, rows) in enumerate(boots.items()):
        y = number * row + 12
        parts.append(f'<text x="8" y="{y + 18}">{name}</text>')
        for (_, start), (phase, stop) in zip(rows, rows[1:]):
            x, length = left + start / end * width, (stop - start) / end * width
            colour = COLOURS[PHASES.index(phase)]
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{max(length, 1):.1f}" height="26" fill="{colour}">'
                         f"<title>{phase}: {stop - start:.1f} ms</title></rect>")  # fmt: skip
        lengths = "   ".join(f"{phase} {stop - start:.1f}" for (_, start), (phase, stop) in zip(rows, rows[1:]))
        parts.append(f'<text x="{left}" y="{y + 44}" fill="#555">{lengths}  (ms)</text>')
    for number, phase in enumerate(PHASES[1:]):
        x, y = left + number * 120, row * len(boots) + 12
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[number + 1]}"/>'
                     f'<text x="{x + 18}" y="{y + 11}">{phase}</text>')  # fmt: skip
    return "\n".join(parts + ["</svg>", ""])
