"""Builders among the processes of this machine, identified by process id and start time, a pair that never recurs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from pathlib import Path
from typing import Self

from gateway.errors import Unavailable

_DEAD = frozenset("ZXx")
_STATE, _PARENT, _START_TICKS = 0, 1, 19
"""Positions in /proc/PID/stat, counted behind the name."""


@dataclasses.dataclass(frozen=True, slots=True)
class ProcessId:
    """`start_ticks`: clock ticks between the start of the machine and that of the process."""

    pid: int
    start_ticks: int

    @classmethod
    def from_handle(cls, handle: str) -> Self:
        """Reads `process:PID:STARTTICKS`. Raises Unavailable for any other text, because its state is unknown."""
        kind, _, rest = handle.partition(":")
        pid, _, ticks = rest.partition(":")
        if kind != "process" or not pid.isdigit() or not ticks.isdigit():
            raise Unavailable(f"{handle!r} is not a handle of the process launcher.")
        return cls(int(pid), int(ticks))

    @property
    def handle(self) -> str:
        return f"process:{self.pid}:{self.start_ticks}"


def is_running(process: ProcessId) -> bool:
    """False only if it certainly does not run. Raises Unavailable if that cannot be found out."""
    fields = _stat(process.pid)
    if fields is None:
        return _may_be_hidden(process.pid)
    if int(fields[_START_TICKS]) != process.start_ticks:
        return False
    if fields[_STATE] in _DEAD:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        return False
    return True


def descendants(root: int) -> set[ProcessId]:
    """All descendants of a process, without itself."""
    children: dict[int, list[ProcessId]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if fields := _stat(pid):
            children.setdefault(int(fields[_PARENT]), []).append(ProcessId(pid, int(fields[_START_TICKS])))
    found: set[ProcessId] = set()
    waiting = [root]
    while waiting:
        new = set(children.get(waiting.pop(), ())) - found
        found |= new
        waiting += [process.pid for process in new]
    return found


def boot_id() -> str:
    """Different after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def send_signal(process: ProcessId, number: int) -> None:
    """Signal this process, and no other that got its id later. One that is gone is not an error."""
    try:
        opened = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if is_running(process):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(opened, number)
    finally:
        os.close(opened)


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError as error:
        raise Unavailable(f"/proc/{pid} cannot be read: {error.strerror}.") from error
    return text.rpartition(")")[2].split()


def _may_be_hidden(pid: int) -> bool:
    """/proc may be mounted so that it hides processes of other accounts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    raise Unavailable(f"Process {pid} exists, but /proc does not show it.")
