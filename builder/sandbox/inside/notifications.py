"""System calls that wait for another process's answer (seccomp user notification), by their kernel interface.

The names are those of linux/seccomp.h. Linux 5.9 is the first version with all of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import os
import struct
from pathlib import Path

from builder.sandbox.inside import kernel

_RECEIVE, _SEND, _ID_VALID, _ADD_DESCRIPTOR = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_CALL = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_DESCRIPTOR = struct.Struct("=QIIII")
_CONTINUE = 1
_AT_NUMBER = 1
_MEMORY_ONLY_BY_PRIVILEGE = 2
"""The first value of kernel.yama.ptrace_scope with which an ancestor cannot read its descendants' memory."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A call that waits. `task` is the thread that makes it."""

    id: int
    task: int
    number: int
    arguments: tuple[int, ...]


def receive(listener: int) -> Call | None:
    """The next call. None if its task has ended meanwhile."""
    buffer = bytearray(_CALL.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except FileNotFoundError:
        return None
    found = _CALL.unpack(buffer)
    return Call(found[0], found[1], found[3], found[6:])


def is_waiting(listener: int, call: Call) -> bool:
    """Whether it still waits, so that what was read of its task was not another's with the same number."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", call.id))
    except OSError:
        return False
    return True


def answer(listener: int, call: Call, value: int = 0, error: int = 0) -> None:
    """What the call returns, or its errno. Nothing happens if it does not wait any more."""
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(call.id, value, -error, 0))


def proceed(listener: int, call: Call) -> None:
    """Let the kernel run the call as the task made it, with what its memory holds by then."""
    with contextlib.suppress(FileNotFoundError):
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(call.id, 0, 0, _CONTINUE))


def give(listener: int, call: Call, descriptor: int, flags: int, number: int | None = None) -> int:
    """Duplicates one of our descriptors into the task, in place of `number` if it is given. Returns its number there.
    Raises OSError.
    """
    how = 0 if number is None else _AT_NUMBER
    # A bytearray, because for bytes Python returns them in place of the number.
    request = bytearray(_DESCRIPTOR.pack(call.id, how, descriptor, number or 0, flags))
    return int(fcntl.ioctl(listener, _ADD_DESCRIPTOR, request))


@functools.cache
def are_available() -> bool:
    """Whether this machine has all that the broker uses."""
    yama = Path("/proc/sys/kernel/yama/ptrace_scope")
    is_readable = not yama.exists() or int(yama.read_text()) < _MEMORY_ONLY_BY_PRIVILEGE
    return is_readable and kernel.is_possible(_try)


def _try() -> None:
    allow_everything = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    with contextlib.ExitStack() as stack:
        listener = kernel.load_listening_filter(allow_everything)
        stack.callback(os.close, listener)
        top = os.open("/", os.O_PATH | os.O_CLOEXEC)
        stack.callback(os.close, top)
        stack.callback(os.close, kernel.open_beneath(top, b"proc"))
        # No call has this number, which is FileNotFoundError. A kernel that does not know the request answers EINVAL.
        with contextlib.suppress(FileNotFoundError):
            give(listener, Call(0, 0, 0, ()), listener, 0)
