"""The system calls that Python does not offer: prctl, Landlock, seccomp, mounts, keyrings."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

CLONE_NEWNS = 0x00020000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MNT_DETACH = 2

_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
"""The numbers are the same on every architecture."""

_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 2, 8

_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "loongarch64": 277, "ppc64le": 358, "s390x": 348}
_SECCOMP_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def is_possible(attempt: Callable[[], object]) -> bool:
    """Whether it raises no OSError. Tried in a thread: how it restricts itself ends with it.

    Without concurrent.futures, whose import would slow the start of each command.
    """
    succeeded = []

    def run() -> None:
        with contextlib.suppress(OSError):
            attempt()
            succeeded.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return bool(succeeded)


def prctl(option: int, value: int, what: str) -> None:
    _check(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), what)


def drop_bounding_capabilities() -> None:
    """Programs started from here can gain no capability. Harmless if there is none to drop."""
    capability = 0
    while _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == 0:
        capability += 1


def load_filter(program: bytes) -> None:
    """Apply a seccomp filter to this process and all that it starts. Needs no_new_privs."""
    value = _filter_program(program)
    _check(_libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(value), 0, 0), "seccomp")


def load_listening_filter(program: bytes) -> int:
    """The same. Returns the descriptor that receives the calls for which the filter says NOTIFY."""
    value = _filter_program(program)
    # Linux 5.19 lets only fatal signals interrupt a call that has been received: others would make it run twice.
    for flags in (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER):
        made = _libc.syscall(_SECCOMP.get(os.uname().machine, -1), _SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(value))
        if made >= 0 or ctypes.get_errno() != errno.EINVAL:
            break
    return _check(made, "seccomp with a listener")


def _filter_program(program: bytes) -> _FilterProgram:
    held = ctypes.create_string_buffer(program, len(program))
    value = _FilterProgram(len(program) // 8, ctypes.cast(held, ctypes.c_void_p))
    value.held = held
    return value


def open_beneath(folder: int, path: bytes) -> int:
    """A descriptor (O_PATH) of what lies at `path` in a folder. Links that lead out of it raise OSError."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    return _check(_libc.syscall(_OPENAT2, folder, path, how, ctypes.c_size_t(len(how))), "openat2")


def connect(descriptor: int, address: bytes) -> int:
    """0 or the errno, as the next two. Python's own functions parse and change addresses."""
    return _errno_of(_libc.connect(descriptor, address, len(address)))


def bind(descriptor: int, address: bytes) -> int:
    return _errno_of(_libc.bind(descriptor, address, len(address)))


def listen(descriptor: int, backlog: int) -> int:
    return _errno_of(_libc.listen(descriptor, backlog))


def _errno_of(answer: int) -> int:
    return ctypes.get_errno() if answer < 0 else 0


def leave_session_keyring() -> None:
    """Join a new, empty session keyring. If this call is forbidden here, it is forbidden for the children too."""
    machine = os.uname().machine
    if machine not in _KEYCTL:
        raise OSError(f"the number of keyctl on {machine} is not known")
    try:
        _check(_libc.syscall(_KEYCTL[machine], _KEYCTL_JOIN_SESSION_KEYRING, None), "session keyring")
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(done, f"mount on {target}")


def unmount(target: str, flags: int) -> None:
    _check(_libc.umount2(target.encode(), flags), f"unmount of {target}")


def landlock_version() -> int:
    """0 if this kernel has no Landlock, or if it is disabled."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def landlock_create(attributes: bytes) -> int:
    made = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    return _check(made, "landlock_create_ruleset")


def landlock_add(ruleset: int, kind: int, rule: bytes) -> None:
    _check(_libc.syscall(_LANDLOCK_ADD_RULE, ruleset, kind, rule, 0), "landlock_add_rule")


def landlock_restrict(ruleset: int) -> None:
    _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")


def _check(answer: int, what: str) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return int(answer)
