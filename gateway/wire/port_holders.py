"""Finds the program that listens on a port of this machine, for a sentence that a person can act on."""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"
UNKNOWN = "another program"


def holder_of(port: int) -> str:
    """Its name and process id. For a hidden program of another account, the account. Otherwise UNKNOWN."""
    for inode, uid in _listeners(port):
        for process in _processes_with(f"socket:[{inode}]"):
            with contextlib.suppress(OSError):
                # Any program chooses its own name: shown without control characters.
                return f"{(process / 'comm').read_text().strip()!a} (process {process.name})"
        return f"a program of {_account(uid)}"
    return UNKNOWN


def _listeners(port: int) -> Iterator[tuple[str, int]]:
    """The inode and the account of each socket that listens on the port."""
    # https://docs.kernel.org/networking/proc_net_tcp.html
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                    yield columns[9], int(columns[7])


def _processes_with(link: str) -> Iterator[Path]:
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(_target(descriptor) == link for descriptor in (process / "fd").iterdir()):
                yield process


def _target(descriptor: Path) -> str:
    with contextlib.suppress(OSError):
        return str(descriptor.readlink())
    return ""


def _account(uid: int) -> str:
    try:
        return f"the account {pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"account {uid}"
