"""The system calls and socket families that are forbidden for builds: one list for all grades."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
import socket
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

FORBIDDEN = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "pidfd_getfd", "kcmp"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "syslog"),
    *("unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "mount_setattr", "move_mount", "open_tree"),
    *("fsopen", "fsmount", "fsconfig", "fspick", "open_by_handle_at", "name_to_handle_at", "fanotify_init"),
    *("quotactl", "quotactl_fd", "acct", "swapon", "swapoff"),
    *("keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module"),
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
    *("move_pages", "migrate_pages", "memfd_secret"),
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
"""The position of the argument that names another process."""
LAST_KIND_OF_TARGET = {"setpriority": 1, "ioprio_set": 2}
"""Process and process group. The next kind is the account, which may also be the platform's."""
SENDING = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""The position of the argument with the flags."""


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    kinds: tuple[int, ...]
    last_protocol: int
    closed_protocols: tuple[int, ...] = ()


FAMILIES: dict[int, Family] = {
    # MPTCP, SCTP and others have higher numbers than UDP. They reach TCP listeners or peers despite Landlock's rules.
    # ICMP tells which private addresses are in use.
    socket.AF_INET: Family((socket.SOCK_STREAM, socket.SOCK_DGRAM), socket.IPPROTO_UDP, (socket.IPPROTO_ICMP,)),
    socket.AF_INET6: Family((socket.SOCK_STREAM, socket.SOCK_DGRAM), socket.IPPROTO_UDP),
    # NETLINK_ROUTE alone, with which glibc and Node list the addresses of the machine.
    socket.AF_NETLINK: Family((socket.SOCK_RAW, socket.SOCK_DGRAM), 0),
}
UNIX: dict[int, Family] = {socket.AF_UNIX: Family((socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET), 1)}
STREAMS: dict[int, Family] = {socket.AF_UNIX: Family((socket.SOCK_STREAM, socket.SOCK_SEQPACKET), 1)}
"""A datagram names its receiver in memory, which a filter cannot read and another thread can change."""
BROKERED = ("socket", "connect", "bind", "listen", "openat")
_FOLDER_FLAGS = os.O_DIRECTORY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_PATH
_UNCONNECTED_PAIRS = (socket.SOCK_DGRAM, socket.SOCK_RAW)
"""One end of such a pair can be connected to any Unix socket with a name."""
_NETLINK_ADDRESS_BYTES = 12
"""Shorter than an address of IPv4 or IPv6, so no socket of these families can be bound with it."""
_MSG_FASTOPEN = 0x20000000
_NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_TERMINAL_INPUT = (0x5412, 0x541C)
_TYPE_BITS = 0xF


@dataclasses.dataclass(frozen=True, slots=True)
class Openings:
    """What the filter allows, because the grade protects it by other means.

    `is_brokered`: the broker (inside/broker.py) makes, binds and connects all sockets.
    """

    is_brokered: bool = False
    unix_sockets: bool = False
    ports: bool = False
    watches: bool = False


@functools.cache
def compile_filter(openings: Openings) -> bytes:
    """The filter in the kernel's format. Raises RuntimeError if libseccomp is not installed."""
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ALLOW)

    def forbid(name: str, *conditions: Any, number: int = errno.EPERM) -> None:
        with contextlib.suppress(ValueError):  # this machine's libseccomp does not know the call
            rules.add_rule(seccomp.ERRNO(number), name, *conditions)

    for name in FORBIDDEN:
        forbid(name)
    for name, place in ONLY_ON_ITSELF.items():
        forbid(name, seccomp.Arg(place, seccomp.NE, 0))
    for name, last in LAST_KIND_OF_TARGET.items():
        forbid(name, seccomp.Arg(0, seccomp.GT, last))
    for name, place in SENDING.items():
        forbid(name, seccomp.Arg(place, seccomp.MASKED_EQ, _MSG_FASTOPEN, _MSG_FASTOPEN))
    for flag in _NEW_NAMESPACES:
        forbid("clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in _TERMINAL_INPUT:
        forbid("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    # clone3 keeps its flags in memory, which a filter cannot read. Without it, libraries use clone.
    forbid("clone3", number=errno.ENOSYS)
    unix = UNIX if openings.unix_sockets else STREAMS if openings.is_brokered else {}
    for conditions in _socket_conditions(seccomp, FAMILIES | unix):
        forbid("socket", *conditions)
    forbid("socketpair", seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    for kind in () if openings.unix_sockets else _UNCONNECTED_PAIRS:
        forbid("socketpair", seccomp.Arg(1, seccomp.MASKED_EQ, _TYPE_BITS, kind))
    if not openings.ports and not openings.is_brokered:
        forbid("bind", seccomp.Arg(2, seccomp.NE, _NETLINK_ADDRESS_BYTES), number=errno.EACCES)
        # Without bind, listen takes any free port.
        forbid("listen", number=errno.EACCES)
    if not openings.watches:
        # A process may watch every folder that it can read, and Landlock does not restrict watches.
        forbid("inotify_add_watch")
    return _exported(rules)


@functools.cache
def compile_broker_filter() -> tuple[bytes, dict[str, int]]:
    """The filter that stops a call until the broker answers it, and the numbers of these calls.

    It is loaded besides the other one, which refuses before this one asks.
    """
    import pyseccomp as seccomp

    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    # As bun opens folders. The C library opens them without blocking, and so often that the broker would slow it down.
    conditions = {"openat": [seccomp.Arg(2, seccomp.MASKED_EQ, _FOLDER_FLAGS, os.O_DIRECTORY)]}
    for name in BROKERED:
        rules.add_rule(seccomp.NOTIFY, name, *conditions.get(name, []))
    return _exported(rules), {name: seccomp.resolve_syscall(seccomp.Arch.NATIVE, name) for name in BROKERED}


def _exported(rules: Any) -> bytes:
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _socket_conditions(seccomp: Any, allowed: Mapping[int, Family]) -> Iterable[tuple[Any, ...]]:
    """Sets of conditions, each of which forbids a socket. A family that is not named is denied."""
    last = max(allowed)
    yield (seccomp.Arg(0, seccomp.GT, last),)
    yield from ((seccomp.Arg(0, seccomp.EQ, family),) for family in range(last) if family not in allowed)
    for number, family in allowed.items():
        is_it = seccomp.Arg(0, seccomp.EQ, number)
        yield (is_it, seccomp.Arg(2, seccomp.GT, family.last_protocol))
        yield from ((is_it, seccomp.Arg(2, seccomp.EQ, protocol)) for protocol in family.closed_protocols)
        kinds = (kind for kind in range(_TYPE_BITS + 1) if kind not in family.kinds)
        yield from ((is_it, seccomp.Arg(1, seccomp.MASKED_EQ, _TYPE_BITS, kind)) for kind in kinds)
