"""Ports for the servers that tests start, on a machine where several workers and several checkouts test at once."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

BLOCK_PORTS = 250
FIRST_PORTS = range(10_000, 32_000, BLOCK_PORTS)
"""Below 32768, where the ports begin that Linux chooses by itself: no connection takes one of ours."""


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens. No other process is given them, and this one only after the rest of its block."""
    return list(itertools.islice(filter(_is_free, _own_ports()), count))


@functools.cache
def _own_ports() -> Iterator[int]:
    for first in FIRST_PORTS:
        with contextlib.suppress(OSError):  # another process holds this block, or another user made the file
            _hold(Path(tempfile.gettempdir()) / f"buildspace-test-ports-{first}.lock")
            return itertools.cycle(range(first, first + BLOCK_PORTS))
    raise AssertionError("Every block of ports for tests is held by a running test process.")


def _hold(file: Path) -> None:
    """Lock it until this process ends: nothing closes the descriptor."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
