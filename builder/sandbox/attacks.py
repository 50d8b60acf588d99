"""The first things that a hostile build would try, as a script that runs in a sandbox. Standard library only.

Takes one JSON argument (the targets) and prints one JSON list: the names of the attacks that succeeded.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

TIMEOUT_SECONDS = 0.7
RACES = 60
RACE_SECONDS = 0.001
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


def loopback_by_other_names(targets: Targets) -> bool:
    """Linux takes the unspecified address for loopback, and IPv6 sockets reach IPv4."""
    return any(_connects(address, targets["tcp"]) for address in ("0.0.0.0", "127.9.9.9", "::ffff:127.0.0.1"))


def loopback_by_race(targets: Targets) -> bool:
    """Another process changes the address while the call is judged."""
    with socket.create_server(("127.0.0.1", 0)) as own:
        ports = (own.getsockname()[1], targets["tcp"])
        addresses = [struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, b"\x7f\0\0\1") for port in ports]
        return _wins_race(socket.AF_INET, addresses, lambda peer: peer[1] == targets["tcp"])


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


def unix_socket_by_link(targets: Targets) -> bool:
    os.symlink(targets["unix"], "link-to-socket")
    return _connects_unix("link-to-socket")


def unix_socket_by_race(targets: Targets) -> bool:
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("own-socket")
        own.listen(RACES)
        names = (os.path.abspath("own-socket"), targets["unix"])
        addresses = [struct.pack("=H108s", socket.AF_UNIX, name.encode()) for name in names]
        return _wins_race(socket.AF_UNIX, addresses, lambda peer: peer == targets["unix"])


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


def left_file(targets: Targets) -> bool:
    """What a later build finds, which has the same account. Only the machine knows whether it is there."""
    for folder in targets["shared"]:
        with contextlib.suppress(OSError), open(f"{folder}/{targets['marker']}", "w"):
            pass
    return False


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
    if _has_own_network(targets):
        return False
    with socket.create_server(("127.0.0.1", targets["free"])) as server:
        return bool(server.getsockname()[1] == targets["free"])


def open_port(targets: Targets) -> bool:
    """A port that other machines reach. Without bind, listen takes one on all addresses."""

    def bind_without_family(opened: socket.socket) -> None:
        ctypes.CDLL(None).bind(opened.fileno(), bytes(16), 16)

    if _has_own_network(targets):
        return False
    for prepare in (lambda opened: None, lambda opened: opened.bind(("", 0)), bind_without_family):
        with contextlib.suppress(OSError), socket.socket() as opened:
            prepare(opened)
            opened.listen()
            if opened.getsockname()[0] == "0.0.0.0":
                return True
    return False


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


def _has_own_network(targets: Targets) -> bool:
    return bool(os.stat("/proc/self/ns/net").st_ino != targets["network"])


def _wins_race(family: int, addresses: list[bytes], is_target: Callable[[Any], bool]) -> bool:
    """Connects to an address in memory that another process changes between an allowed and a forbidden one."""
    shared, length = mmap.mmap(-1, mmap.PAGESIZE), len(addresses[0])
    racer = os.fork()
    while racer == 0:
        for address in addresses:
            shared[:length] = address
    try:
        for _ in range(RACES):
            time.sleep(RACE_SECONDS)
            with socket.socket(family) as opened, contextlib.suppress(OSError):
                memory = ctypes.byref(ctypes.c_char.from_buffer(shared))
                if ctypes.CDLL(None).connect(opened.fileno(), memory, length) == 0 and is_target(opened.getpeername()):
                    return True
        return False
    finally:
        os.kill(racer, signal.SIGKILL)
        os.waitpid(racer, 0)


def _connects(address: str, port: int, protocol: int = 0, interface: str = "") -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, proto=protocol) as opened:
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
    *(loopback, loopback_by_other_names, loopback_by_race, loopback_by_fast_open),
    *(loopback_by_multipath, loopback_by_interface, udp),
    *(unix_socket, unix_socket_by_link, unix_socket_by_race, abstract_socket, datagram_by_socket_pair),
    *(secret_file, changed_file, left_file, environment, memory, signals, command_lines, watch),
    *(port, open_port, families, tracing, memory_shortage),
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
