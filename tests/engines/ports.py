"""Ports for the servers that tests start, on a machine where several workers and several checkouts test at once."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

BLOCK_PORTS = 1000
FIRST_PORTS = range(10_000, 32_000, BLOCK_PORTS)
"""Below 32768, where the ports begin that Linux chooses by itself: no connection takes one of ours."""

_HELD: list[contextlib.ExitStack] = []
"""The lock that stays open: a process holds its block of ports as long as it lives."""


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens. Neither this process nor another is given them a second time."""
    free = list(itertools.islice(filter(_is_free, _own_ports()), count))
    assert len(free) == count, f"This process has used up its block of {BLOCK_PORTS} ports."
    return free


@functools.cache
def _own_ports() -> Iterator[int]:
    for first in FIRST_PORTS:
        with contextlib.suppress(OSError):  # another process holds this block, or another user made the file
            _hold(Path(tempfile.gettempdir()) / f"buildspace-test-ports-{first}.lock")
            return iter(range(first, first + BLOCK_PORTS))
    raise AssertionError("Every block of ports for tests is held by a running test process.")


def _hold(file: Path) -> None:
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(file.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _HELD.append(stack.pop_all())


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
