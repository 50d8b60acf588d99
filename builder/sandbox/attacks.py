"""The first things that a hostile build would try, as a script that runs in a sandbox. Standard library only.

Takes one JSON argument (the targets) and prints one JSON list: the names of the attacks that succeeded.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

TIMEOUT_SECONDS = 0.7
IPPROTO_MPTCP = 262
MSG_FASTOPEN = 0x20000000
NETLINK_KOBJECT_UEVENT = 15
IN_CREATE = 0x100
PTRACE_TRACEME = 0
PTRACE_SEIZE = 0x4206

Targets = dict[str, Any]


def loopback(targets: Targets) -> bool:
    return any(_connects(address, targets["tcp"]) for address in ("127.0.0.1", *_gateways()))


def loopback_by_fast_open(targets: Targets) -> bool:
    """A first packet that carries data connects without connect()."""
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 1, 0))
        opened.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", targets["tcp"]))
        return opened.getpeername() is not None


def loopback_by_multipath(targets: Targets) -> bool:
    return _connects("127.0.0.1", targets["tcp"], IPPROTO_MPTCP)


def loopback_by_interface(targets: Targets) -> bool:
    """A socket that is bound to an interface bypasses the route of loopback."""
    return any(_connects("127.0.0.1", targets["tcp"], interface=name) for _, name in socket.if_nameindex())


def udp(targets: Targets) -> bool:
    """Only the listener knows whether it arrived."""
    for interface in ("", *(name for _, name in socket.if_nameindex())):
        with socket.socket(type=socket.SOCK_DGRAM) as opened:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            for address in ("127.0.0.1", *_gateways()):
                with contextlib.suppress(OSError):
                    opened.sendto(b"x", (address, targets["udp"]))
    return False


def unix_socket(targets: Targets) -> bool:
    return _connects_unix(targets["unix"])


def abstract_socket(targets: Targets) -> bool:
    return _connects_unix("\0" + targets["abstract"])


def datagram_by_socket_pair(targets: Targets) -> bool:
    """A socket pair needs no call of socket(), and its ends can be connected elsewhere."""
    ours, theirs = socket.socketpair(type=socket.SOCK_DGRAM)
    with ours, theirs:
        return ours.sendto(b"x", "\0" + targets["datagram"]) == 1


def secret_file(targets: Targets) -> bool:
    with open(targets["secret"]) as file:
        return bool(file.read())


def changed_file(targets: Targets) -> bool:
    with open(targets["secret"], "a") as file:
        return file.write("x") == 1


def environment(targets: Targets) -> bool:
    return any(targets["marker"].encode() in content for content in _environments())


def memory(targets: Targets) -> bool:
    with open(f"/proc/{targets['pid']}/cmdline") as file:
        if targets["marker"] not in file.read():
            return False  # in another namespace the number belongs to another process
    return bool(ctypes.CDLL(None).ptrace(PTRACE_SEIZE, targets["pid"], None, None) == 0)


def signals(targets: Targets) -> bool:
    """Only the target knows whether it arrived."""
    os.kill(targets["pid"], signal.SIGUSR1)
    return False


def command_lines(targets: Targets) -> bool:
    with open(f"/proc/{targets['pid']}/cmdline") as file:
        return str(targets["marker"]) in file.read()


def watch(targets: Targets) -> bool:
    """The names of new files in a folder that belongs to the platform's account."""
    libc = ctypes.CDLL(None)
    return bool(libc.inotify_add_watch(libc.inotify_init(), os.path.dirname(targets["secret"]).encode(), IN_CREATE) > 0)


def port(targets: Targets) -> bool:
    """A port that another program of this machine may want."""
    if os.stat("/proc/self/ns/net").st_ino != targets["network"]:
        return False
    with socket.create_server(("127.0.0.1", 0)) as server:
        return bool(server.getsockname()[1])


def families(targets: Targets) -> bool:
    """One family for all except the four that builds need: every kernel has netlink beyond routes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT):
        return True


def tracing(targets: Targets) -> bool:
    """A traced process can be controlled, and a sandbox's first process runs under the build's account."""
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None).ptrace(PTRACE_TRACEME, 0, None, None) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0


def memory_shortage(targets: Targets) -> bool:
    """Whether the kernel would kill the platform before the build."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
    return True


def _connects(address: str, port: int, protocol: int = 0, interface: str = "") -> bool:
    with socket.socket(proto=protocol) as opened:
        if interface:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        opened.settimeout(TIMEOUT_SECONDS)
        return opened.connect_ex((address, port)) == 0


def _connects_unix(name: str) -> bool:
    with socket.socket(socket.AF_UNIX) as opened:
        return opened.connect_ex(name) == 0


def _gateways() -> Iterator[str]:
    """Tools that connect networks often map the gateway's address to the machine's own loopback."""
    with open("/proc/net/route") as file:
        for fields in map(str.split, file.readlines()[1:]):
            if fields[2] != "00000000":
                yield socket.inet_ntoa(struct.pack("=I", int(fields[2], 16)))


def _environments() -> Iterator[bytes]:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
            yield file.read()


ATTACKS: tuple[Callable[[Targets], bool], ...] = (
    *(loopback, loopback_by_fast_open, loopback_by_multipath, loopback_by_interface, udp),
    *(unix_socket, abstract_socket, datagram_by_socket_pair),
    *(secret_file, changed_file, environment, memory, signals, command_lines, watch),
    *(port, families, tracing, memory_shortage),
)


def main() -> None:
    targets = json.loads(sys.argv[1])
    reached = []
    for attack in ATTACKS:
        with contextlib.suppress(OSError):
            if attack(targets):
                reached.append(attack.__name__)
    sys.stdout.write(json.dumps(reached))


if __name__ == "__main__":
    main()
