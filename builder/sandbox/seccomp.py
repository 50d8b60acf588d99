"""The system calls that a build in the basic sandbox does without: what Landlock does not see."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
import tempfile
from collections.abc import Iterable
from typing import Any

FORBIDDEN = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd"),
    *("unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "mount_setattr", "move_mount", "open_tree"),
    *(
        "fsopen",
        "fsmount",
        "fsconfig",
        "fspick",
        "open_by_handle_at",
        "name_to_handle_at",
        "quotactl",
        "acct",
        "swapon",
    ),
    *("keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module"),
    *("shmget", "shmat", "semget", "semop", "semtimedop", "msgget", "msgsnd", "msgrcv", "mq_open", "mq_unlink"),
    *("move_pages", "migrate_pages"),
)
ONLY_ON_ITSELF = {
    "prlimit64": 0,
    "sched_setaffinity": 0,
    "sched_setscheduler": 0,
    "sched_setparam": 0,
    "sched_setattr": 0,
    "setpriority": 1,
    "ioprio_set": 1,
}
"""The number of the argument that names another process."""
SENDING = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""The number of the argument with the flags."""

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
_UNCONNECTED_PAIRS = (socket.SOCK_DGRAM, socket.SOCK_RAW)
"""One end of such a pair can still be pointed at any Unix socket that has a name."""
_LAST_PROTOCOL = socket.IPPROTO_UDP
"""Beyond it are MPTCP, SCTP and others, which reach TCP listeners or peers past Landlock's rules."""
_MSG_FASTOPEN = 0x20000000
_NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_TERMINAL_INPUT = (0x5412, 0x541C)
_TYPE_BITS = 0xF


@functools.cache
def compile_filter() -> bytes:
    """The filter as the kernel takes it. Raises RuntimeError where libseccomp is not installed."""
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ALLOW)

    def forbid(name: str, *conditions: Any, number: int = errno.EPERM) -> None:
        with contextlib.suppress(ValueError):  # a call that this machine's libseccomp has not heard of
            rules.add_rule(seccomp.ERRNO(number), name, *conditions)

    for name in FORBIDDEN:
        forbid(name)
    for name, place in ONLY_ON_ITSELF.items():
        forbid(name, seccomp.Arg(place, seccomp.NE, 0))
    for name, place in SENDING.items():
        forbid(name, seccomp.Arg(place, seccomp.MASKED_EQ, _MSG_FASTOPEN, _MSG_FASTOPEN))
    for flag in _NEW_NAMESPACES:
        forbid("clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in _TERMINAL_INPUT:
        forbid("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    # clone3 keeps its flags in memory, where no filter can look. Without it, libraries use clone.
    forbid("clone3", number=errno.ENOSYS)
    for condition in _socket_conditions(seccomp):
        forbid("socket", condition)
    for kind in _UNCONNECTED_PAIRS:
        forbid("socketpair", seccomp.Arg(1, seccomp.MASKED_EQ, _TYPE_BITS, kind))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _socket_conditions(seccomp: Any) -> Iterable[Any]:
    """Each condition that forbids a socket: all families, kinds and protocols but those of TCP, UDP and netlink."""
    last = max(_FAMILIES)
    yield seccomp.Arg(0, seccomp.GT, last)
    yield from (seccomp.Arg(0, seccomp.EQ, family) for family in range(last) if family not in _FAMILIES)
    kinds = (kind for kind in range(_TYPE_BITS + 1) if kind not in _KINDS)
    yield from (seccomp.Arg(1, seccomp.MASKED_EQ, _TYPE_BITS, kind) for kind in kinds)
    yield seccomp.Arg(2, seccomp.GT, _LAST_PROTOCOL)
