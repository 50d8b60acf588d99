"""Runs commands in a real sandbox, and looks for what they leave behind."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

from builder.sandbox import Limits, Sandbox, open_sandbox
from builder.sandbox.probe import this_python

ORDINARY_ACCOUNT = 64777
LIMITS = Limits(memory_bytes=1024**3, processes=64, disk_bytes=64 * 1024**2, time_limit_seconds=20.0)
PYTHON, PYTHON_FOLDERS = this_python()


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    errors: str


def a_sandbox(grade: str, folder: Path, allow_private_hosts: Sequence[str] = ()) -> Sandbox:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return open_sandbox(grade, allow_private_hosts, work=work)


async def start(
    sandbox: Sandbox, *argv: str, limits: Limits = LIMITS, read_only: Sequence[Path] = (), **environment: str
) -> asyncio.subprocess.Process:
    return await sandbox.start(
        argv,
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
        directory=PurePath(),
        limits=limits,
        read_only=[*PYTHON_FOLDERS, *read_only],
    )


async def run(
    sandbox: Sandbox, *argv: str, limits: Limits = LIMITS, read_only: Sequence[Path] = (), **environment: str
) -> Outcome:
    """Run a command to its end."""
    process = await start(sandbox, *argv, limits=limits, read_only=read_only, **environment)
    output, errors = await asyncio.wait_for(process.communicate(), 30.0)
    return Outcome(process.returncode or 0, output.decode(), errors.decode())


async def run_python(sandbox: Sandbox, program: str, *arguments: str, limits: Limits = LIMITS) -> Outcome:
    return await run(sandbox, PYTHON, "-I", "-S", "-c", program, *arguments, limits=limits)


def run_as_ordinary(program: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python program of the platform under an ordinary account, whoever runs the tests."""
    python = [sys.executable, "-c", program, *arguments]
    if os.geteuid() == 0:
        needed = [sys.base_prefix, sys.prefix, os.getcwd(), str(folder)]
        os.chown(folder, ORDINARY_ACCOUNT, ORDINARY_ACCOUNT)
        become = f"import os; from builder.sandbox.inside.account import become; become({ORDINARY_ACCOUNT}, {needed!r})"
        python = [sys.executable, "-c", f"{become}; os.execv({python[0]!r}, {python!r})"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(python, capture_output=True, text=True, timeout=60, env=environment)


def processes_with(marker: str) -> list[int]:
    """Everybody on this machine whose arguments hold the marker, in whatever namespace; zombies have none."""
    return [pid for pid, arguments in all_arguments().items() if marker in arguments]


def all_arguments() -> dict[int, str]:
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(name)] = Path(f"/proc/{name}/cmdline").read_text(errors="replace")
        except OSError:
            continue
    found.pop(os.getpid(), None)
    return found
