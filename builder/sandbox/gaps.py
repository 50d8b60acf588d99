"""What a grade does not hold, and what it closes to builds that they have elsewhere: as shown in the log, by the probe
(and so by `doctor`), and in the documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from builder.sandbox.inside import kernel, landlock, notifications
from builder.sandbox.ownership import build_account, hides_processes


@dataclasses.dataclass(frozen=True, slots=True)
class Gap:
    """`attack` is the attack that finds it, if there is one."""

    words: str
    attack: str = ""


EVERYTHING = Gap("everything")
PUBLIC_DNS = Gap("data sent in DNS names")
UDP = Gap("UDP", "udp")
TWO_PORTS = Gap("TCP on ports 443 and 53 of this machine")
ONE_PORT = Gap("TCP on port 53 of this machine")
COMMAND_LINES = Gap("command lines of other builds", "command_lines")
READABLE_FILES = Gap("files that every account of this machine may read")
MODES = Gap("modes and times of files of the same account")
BUILDER = Gap("signals to its own builder")
CONTAINER_FILES = Gap("files of its container")
CONTAINER_NETWORK = Gap("the network of its container")


OWN_SOCKETS = "ports and Unix sockets of its own"
OTHER_SOCKETS = "UDP ports, abstract and datagram Unix sockets"
WATCHES = "file watches"


def gaps_of(grade: str) -> tuple[Gap, ...]:
    """The gaps of a grade when this process runs it."""
    if grade == "strong":
        return (PUBLIC_DNS,)
    if grade in ("basic", "account"):
        return tuple(_gaps_without_namespaces(grade))
    return (EVERYTHING,)


def _gaps_without_namespaces(grade: str) -> Iterable[Gap]:
    yield from (UDP, ONE_PORT if notifications.are_available() else TWO_PORTS, PUBLIC_DNS)
    if grade == "account" and kernel.landlock_version() < landlock.MOVES_VERSION:
        yield READABLE_FILES
    if not hides_processes():
        yield COMMAND_LINES
    if build_account() is None:
        yield MODES


def closed_in(grade: str) -> tuple[str, ...]:
    """What builds commonly use and this grade cannot tell apart from what belongs to others."""
    if grade not in ("basic", "account"):
        return ()
    sockets = OTHER_SOCKETS if notifications.are_available() else OWN_SOCKETS
    return (sockets,) if build_account() is not None else (sockets, WATCHES)


def listed(gaps: Iterable[Gap]) -> str:
    return ", ".join(gap.words for gap in gaps)
