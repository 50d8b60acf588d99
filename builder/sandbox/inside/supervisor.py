"""Starts one command in its confinement, waits for it, and leaves nothing of it behind.

It is the one process between builder and build: it adopts the build's orphans and notices when the builder dies, and
the build cannot reach it. Exit codes: the command's own, 128 + N after signal N, 124 out of time, 125 no sandbox, 127
no command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

from builder.sandbox.inside import cgroup, kernel, processes
from builder.sandbox.inside.confine import run_confined
from builder.sandbox.inside.plan import LOG, OUT_OF_MEMORY, Plan

OUT_OF_TIME = 124
NOT_SET_UP = 125
_AWAITED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def main() -> int:
    plan = Plan.from_json(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1, "subreaper")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM, "pdeathsig")
    if os.getppid() != plan.builder_pid:
        return NOT_SET_UP
    try:
        group = cgroup.make(plan.group) if plan.group is not None else None
    except OSError as error:
        print(f"sandbox: no cgroup can be made: {error}", file=sys.stderr)  # noqa: T201 - it goes to the build log
        return NOT_SET_UP
    supervisor = os.getpid()
    command = os.fork()
    if command == 0:
        if group is not None:
            cgroup.join(group)
        run_confined(plan, supervisor)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, "dumpable")
    code = wait_for(command, plan.time_limit_seconds)
    are_gone = processes.end_descendants()
    if group is not None and cgroup.close(group):
        print(OUT_OF_MEMORY, file=sys.stderr)  # noqa: T201 - it goes to the build log
    if not are_gone:
        print("sandbox: some processes could not be killed", file=sys.stderr)  # noqa: T201 - it goes to the build log
        return NOT_SET_UP
    if plan.folder is not None and not was_set_up(plan.folder, plan.files) and 0 < code < OUT_OF_TIME:
        return NOT_SET_UP
    return code


def wait_for(command: int, time_limit_seconds: float) -> int:
    """Wait until the command ends, its time is over, or a stop is requested."""
    deadline = time.monotonic() + time_limit_seconds
    while True:
        came = signal.sigtimedwait(_AWAITED, max(0.0, deadline - time.monotonic()))
        if came is None:
            return OUT_OF_TIME
        if came.si_signo != signal.SIGCHLD:
            return 128 + came.si_signo
        code = reap(command)
        if code is not None:
            return code


def reap(command: int) -> int | None:
    """Reap the children that have ended. Returns the exit code of the command if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return None
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def was_set_up(folder: str, names: Iterable[str]) -> bool:
    """Whether the command removed the folder, which it does once it is set up. If not, the log in it says why."""
    if not os.path.exists(folder):
        return True
    with contextlib.suppress(FileNotFoundError):
        with open(f"{folder}/{LOG}", errors="replace") as log:
            sys.stderr.write(log.read())
        for name in (LOG, *names):
            os.unlink(f"{folder}/{name}")
        os.rmdir(folder)
    return False
