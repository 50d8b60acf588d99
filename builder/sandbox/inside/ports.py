"""The TCP ports that a build listens on, and the addresses of this machine.

A port that a build asks for is only a number inside the build: the kernel picks a free one of loopback, and connections
to the number that was asked for are led there. So a build takes no port that another program may want, concurrent
builds do not collide, and nothing of a build is reached from other machines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import os
import select
import socket
import struct
from collections.abc import Iterator

from builder.sandbox.inside import kernel

_LISTENING = b"0A"
_ROOM_MILLISECONDS = 50
_MAPPED_LOOPBACK = ipaddress.IPv6Address("::ffff:127.0.0.1").packed
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """`address` is an IPv4 one if it is mapped into IPv6. `rest` is what else its `family` has."""

    family: int
    address: Address
    port: int

    @classmethod
    def parse(cls, raw: bytes) -> Place:
        """Of a sockaddr_in or sockaddr_in6. Raises ValueError if it is too short."""
        try:
            family, port = struct.unpack_from("=H", raw)[0], struct.unpack_from("!H", raw, 2)[0]
            if family == socket.AF_INET:
                return cls(family, ipaddress.IPv4Address(struct.unpack_from("4s", raw, 4)[0]), port)
            six = ipaddress.IPv6Address(struct.unpack_from("16s", raw, 8)[0])
        except struct.error as error:
            raise ValueError("the address is too short") from error
        return cls(family, six.ipv4_mapped or six, port)

    def is_loopback(self) -> bool:
        """Linux takes the unspecified address for loopback."""
        return self.address.is_loopback or self.address.is_unspecified


def loopback(family: int, version: int, port: int) -> bytes:
    """The sockaddr of loopback of that IP version, for a socket of this family."""
    if family == socket.AF_INET:
        return struct.pack("=H", family) + struct.pack("!H4s8x", port, b"\x7f\0\0\1")
    address = ipaddress.IPv6Address(1).packed if version == 6 else _MAPPED_LOOPBACK
    return struct.pack("=H", family) + struct.pack("!HI16sI", port, 0, address, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """A socket of the build, and the IP version and real port that it is bound to on loopback."""

    version: int
    port: int
    inode: int


class OwnPorts:
    """By IP version and the number that the build knows."""

    def __init__(self) -> None:
        self._owners: dict[tuple[int, int], Owner] = {}

    def add(self, version: int, asked: int, real: int, inode: int) -> None:
        """A socket was bound to `real`. The build knows it by both numbers."""
        for number in {asked or real, real}:
            self._owners[version, number] = Owner(version, real, inode)

    def find(self, place: Place) -> Owner | None:
        """The build's socket that listens there now."""
        for version in (6, 4) if place.family == socket.AF_INET6 and place.address.version == 6 else (4,):
            owner = self._owners.get((version, place.port))
            # Another program may have the port by now, so what counts is the socket.
            if owner is not None and (owner.port, owner.inode) in _listening():
                return owner
        return None

    def connect(self, family: int, place: Place, owner: Owner | None = None) -> socket.socket | None:
        """A new socket of this family, connected to the build's socket that listens there: `owner`, if it has just been
        found. None if that has no room. Raises OSError.
        """
        owner = owner or self.find(place)
        if owner is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "no socket of the build listens there")
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(made.close)
            error = kernel.connect(made.fileno(), loopback(place.family, owner.version, owner.port))
            if error == errno.EINPROGRESS:
                if not _is_answered(made):
                    return None
                error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            # The build may have closed it since, and another program may have the port. If it listens still, it has
            # listened all the time.
            if self.find(place) != owner:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "the socket of the build was closed meanwhile")
            on_failure.pop_all()
        return made


def _is_answered(made: socket.socket) -> bool:
    """A listener with room answers at once. Linux repeats the request after 1 s, when the port may be another's."""
    poll = select.poll()
    poll.register(made, select.POLLOUT)
    return bool(poll.poll(_ROOM_MILLISECONDS))


def _listening() -> Iterator[tuple[int, int]]:
    """Port and inode of each socket that listens on this machine."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{name}", "rb", buffering=512) as file:
            # Linux lists these first. It takes milliseconds for all others, so read little and stop early.
            file.readline()
            for fields in map(bytes.split, file):
                if fields[3] != _LISTENING:
                    break
                yield int(fields[1].rpartition(b":")[2], 16), int(fields[9])
