"""What an emulated KVM does to a guest once in some hundred boots, and how it is recognised.

The emulated processor may deliver an interrupt twice. The second one comes at the first
instructions of the handler, which run with interrupts off, and before the kernel has exchanged the
user's GS base for its own. The kernel then either faults at each access to its per-CPU data until
the entry stack is full, or panics at once. Both dumps of registers show the same thing: the two GS
bases are equal, and both are the kernel's. Neither a program in the guest nor vmm can cause this:
SWAPGS exchanges the two, and vmm never writes them.
"""

import re

# By the ending of a file's name: (pattern, reason)
_FAULTS = {
    ".stderr": (re.compile("guest reset by a triple fault"), "its guest triple faulted"),
    ".console": (
        re.compile(r"GS:(ffff[0-9a-f]{12})\(0000\) knlGS:\1[\s\S]*Fatal exception in interrupt"),
        "an interrupt came twice",
    ),
}


def recognise(name, text):
    """Returns the fault of the lab that a file of a failed case shows, or ""."""
    for ending, (pattern, reason) in _FAULTS.items():
        if name.endswith(ending) and pattern.search(text):
            return reason
    return ""
