"""The system calls and socket families that no sandbox leaves open, and those that builds need."""

from __future__ import annotations

import errno
import platform
import signal
import socket
from pathlib import Path

import pyseccomp
import pytest

from builder.sandbox import basic
from tests.hostile.confined import a_sandbox, run_python

BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
CALL = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
values = [ctypes.c_long(int(word)) for word in sys.argv[1:]]
print(libc.syscall(*values), ctypes.get_errno())
"""
OPEN_SOCKET = """
import socket, sys
try:
    socket.socket(*map(int, sys.argv[1:])).close()
    print("open")
except OSError as error:
    print(error.errno)
"""
BIND = """
import socket, sys
with socket.socket(int(sys.argv[1]), int(sys.argv[2])) as opened:
    for attempt in (lambda: opened.bind(("", int(sys.argv[3]))), opened.listen):
        try:
            attempt()
            print("open")
        except OSError as error:
            print(error.errno)
"""
BIND_SHORT = """
import ctypes, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
with socket.socket(int(sys.argv[1])) as opened:
    print(libc.bind(opened.fileno(), bytes([opened.family, 0, 70, 80, *bytes(8)]), 12), ctypes.get_errno())
"""
GETIFADDRS = """
import ctypes
print(ctypes.CDLL(None).getifaddrs(ctypes.byref(ctypes.c_void_p())))
"""
USER = 2
CALLS = {
    "ptrace": (0, 0, 0, 0),
    "keyctl": (0, -3, 1),
    "add_key": (0, 0, 0, 0, -3),
    "request_key": (0, 0, 0, -3),
    "io_uring_setup": (1, 0),
    "shmctl": (0, 3, 0),
    "semctl": (0, 0, 3, 0),
    "msgctl": (0, 3, 0),
    "fanotify_init": (0x200, 0),
    "syslog": (10, 0, 0),
    "memfd_secret": (0,),
    "setpriority": (USER, 0, 19),
    "ioprio_set": (3, 0, 3 << 13),
}
FAMILIES = {
    "vsock": (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
    "alg": (socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
    "key": (socket.AF_KEY, socket.SOCK_RAW, 2),
    "packet": (socket.AF_PACKET, socket.SOCK_DGRAM, 0),
    "tipc": (socket.AF_TIPC, socket.SOCK_STREAM, 0),
    "none of today": (46, socket.SOCK_STREAM, 0),
    "netlink sock_diag": (socket.AF_NETLINK, socket.SOCK_RAW, 4),
    "netlink kobject_uevent": (socket.AF_NETLINK, socket.SOCK_RAW, 15),
    "netlink generic": (socket.AF_NETLINK, socket.SOCK_RAW, 16),
    "sctp": (socket.AF_INET, socket.SOCK_SEQPACKET, 0),
    "icmp": (socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP),
    "multipath": (socket.AF_INET, socket.SOCK_STREAM, 262),
}
NEEDED = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 6),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, 0),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, 17),
    "netlink route": (socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0),
}


@BOTH
@pytest.mark.parametrize("name", CALLS)
async def test_a_call_that_no_build_needs_is_refused(tmp_path: Path, grade: str, name: str) -> None:
    words = map(str, (pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name), *CALLS[name]))
    assert (await run_python(a_sandbox(grade, tmp_path), CALL, *words)).output == f"-1 {errno.EPERM}\n"


@BOTH
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other ABI of x86-64")
async def test_a_call_of_another_abi_ends_the_process(tmp_path: Path, grade: str) -> None:
    """x32 numbers the same calls in another way, past the filter's list."""
    getpid_of_x32 = 0x40000000 | pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "getpid")
    outcome = await run_python(a_sandbox(grade, tmp_path), CALL, str(getpid_of_x32))
    assert (outcome.code, outcome.output) == (128 + signal.SIGSYS, "")


@BOTH
@pytest.mark.parametrize("name", FAMILIES)
async def test_a_family_that_no_build_needs_is_refused(tmp_path: Path, grade: str, name: str) -> None:
    outcome = await run_python(a_sandbox(grade, tmp_path), OPEN_SOCKET, *map(str, FAMILIES[name]))
    assert outcome.output == f"{errno.EPERM}\n"


@BOTH
@pytest.mark.parametrize("name", NEEDED)
async def test_the_sockets_that_builds_need_are_open(tmp_path: Path, grade: str, name: str) -> None:
    outcome = await run_python(a_sandbox(grade, tmp_path), OPEN_SOCKET, *map(str, NEEDED[name]))
    assert outcome.output == "open\n"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("port", ["0", "18123"])
async def test_basic_without_a_broker_binds_no_port_and_listens_on_none(
    tmp_path: Path, family: int, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(basic, "is_brokered", lambda: False)
    words = (str(int(family)), str(int(socket.SOCK_STREAM)), port)
    outcome = await run_python(a_sandbox("basic", tmp_path), BIND, *words)
    assert outcome.output.split() == [str(errno.EACCES)] * 2


async def test_basic_binds_no_port_of_udp(tmp_path: Path) -> None:
    words = (str(int(socket.AF_INET)), str(int(socket.SOCK_DGRAM)), "0")
    outcome = await run_python(a_sandbox("basic", tmp_path), BIND, *words)
    assert outcome.output.split()[0] == str(errno.EACCES)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_the_address_of_a_netlink_socket_is_too_short_for_a_port(
    tmp_path: Path, family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """basic without a broker lets addresses of that length through."""
    monkeypatch.setattr(basic, "is_brokered", lambda: False)
    outcome = await run_python(a_sandbox("basic", tmp_path), BIND_SHORT, str(int(family)))
    assert outcome.output == f"-1 {errno.EINVAL}\n"


@BOTH
async def test_the_machines_addresses_can_be_listed(tmp_path: Path, grade: str) -> None:
    """getifaddrs binds a socket of AF_NETLINK."""
    outcome = await run_python(a_sandbox(grade, tmp_path), GETIFADDRS)
    assert outcome.output == "0\n"
