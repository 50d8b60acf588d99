"""Runs other people's commands so that they reach nothing but their work folder and the public network.

    sandbox = open_sandbox("strong", allow_private_hosts, work=work)
    process = await sandbox.start(["npm", "ci"], environment=..., directory=PurePath("src"), limits=limits,
                                  read_only=[node_folder])
    ...
    await sandbox.kill_all()

- `environment` is all that the command gets. Paths in it are those that the command sees: `sandbox.path(...)`. `TMPDIR`
  is added where it is not given and /tmp is closed. `PATH` decides which command `argv[0]` is.
- `read_only` are folders that the command may read and execute besides /usr, seen at their own paths: a Node that
  lives in a virtual environment. They are found again even below a home directory that is closed to others.
- `process.returncode` is the command's exit code, 128 + N after signal N, 124 when `time_limit_seconds` is over,
  125 when the sandbox itself could not be set up (stderr says why), 127 when there is no such command. When the process
  has ended, everything that it started has ended too: daemons as well.
- Started as root, the commands run under an account of their own, and `work` is given to it.
- A builder that is killed takes its sandboxes with it.
- Memory is limited for all processes together: by a cgroup where one can be had, else whoever runs the command asks
  `memory_use` several times a second.
- `disk_bytes` bounds each file; the folder as a whole is watched from outside (builder/disk.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class SandboxError(Exception):
    """The sandbox cannot be had. A full sentence, with what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Memory and processes of the whole build, the size of a file, seconds of one command."""

    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    disk_bytes: int = 4 * 1024**3
    time_limit_seconds: float = 900.0


class Sandbox(Protocol):
    """One build's sandbox. Commands run one after the other in it."""

    name: str
    words: str
    """What isolates the build, for the first line of its log."""
    memory_words: str
    """What holds its limit of memory."""

    async def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: PurePath,
        limits: Limits,
        read_only: Sequence[Path] = (),
    ) -> asyncio.subprocess.Process:
        """Start a command in `directory`, relative to the work folder. stdout and stderr are pipes, stdin is empty."""

    async def kill_all(self) -> None:
        """Nothing of the build runs afterwards."""

    def memory_use(self, enough_bytes: int) -> int:
        """What all processes have now, roughly once it is more than `enough_bytes`. 0: a cgroup holds the limit."""

    def path(self, host_path: Path) -> str:
        """How the command sees a path at or below the work folder."""


def open_sandbox(grade: str, allow_private_hosts: Sequence[str] = (), *, work: Path) -> Sandbox:
    """A sandbox of exactly this grade around `work`. Raises SandboxError for an unknown one; does not probe.

    From here on this process is closed to others of its account, and adopts the orphans of its children. `container`
    takes a second to find out what holds inside.
    """
    from builder.sandbox import basic, container, none, strong
    from builder.sandbox.inside import kernel

    makers: dict[str, Callable[[Path, Sequence[str]], Sandbox]] = {
        "strong": strong.StrongSandbox,
        "basic": basic.BasicSandbox,
        "container": container.open_container,
        "none": none.NoSandbox,
    }
    if grade not in makers:
        raise SandboxError(f"There is no sandbox called {grade!r}; there are {', '.join(makers)}.")
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, "dumpable")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1, "subreaper")
    return makers[grade](work, allow_private_hosts)
