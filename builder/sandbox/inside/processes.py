"""Finds and ends every descendant, however often it forked."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

PATIENCE_SECONDS = 20.0


def parents() -> dict[int, int]:
    """The parent of each process on this machine at present."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
    return found


def descendants(root: int) -> set[int]:
    """The children of a process, theirs, and so on; without itself."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(new)
        waiting.extend(new)
    return found


def end_descendants() -> bool:
    """Kill and reap all descendants of this process, a subreaper. False if some did not end in time.

    They are stopped first: a stopped process still counts towards the limit of processes, so a fork bomb reaches its
    limit instead of forking faster than it is killed.
    """
    frozen: set[int] = set()
    while new := descendants(os.getpid()) - frozen:
        send(signal.SIGSTOP, new)
        frozen |= new
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        send(signal.SIGKILL, descendants(os.getpid()))
        if not reap_and_see_more():
            return True
        time.sleep(0.002)
    return False


def send(number: int, pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            continue  # its number belongs to another process by now


def reap_and_see_more() -> bool:
    """Reap the children that have ended. True if there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
