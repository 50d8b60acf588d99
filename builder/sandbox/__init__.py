"""Runs other people's commands so that they reach nothing but their work folder and the public network.

    sandbox = open_sandbox("strong", allow_private_hosts, work=work)
    process = await sandbox.start(["npm", "ci"], environment=..., directory=PurePath("src"), limits=limits,
                                  read_only=[node_folder])
    ...
    await sandbox.kill_all()

- `environment` is the whole environment of the command. Its paths are those inside the sandbox: `sandbox.path(...)`.
  `TMPDIR` is added if it is missing and /tmp is closed. `argv[0]` is looked up in `PATH`.
- `read_only` are folders that the command may read and execute besides /usr, at their own paths, such as a Node in a
  virtual environment. They are reachable even below a home directory that is closed to others.
- `process.returncode` is the command's exit code, 128 + N after signal N, 124 after `time_limit_seconds`,
  125 if the sandbox could not be set up (stderr says why), 127 if there is no such command. When the process has ended,
  everything that it started has ended too, including daemons.
- If the builder is root, the commands run under an account of their own, which also gets `work`.
- The sandboxes of a builder that is killed end with it.
- Memory is limited for all processes together: by a cgroup if possible, otherwise by the caller, which calls
  `memory_use` several times a second.
- `disk_bytes` limits each file; the folder as a whole is watched from outside (builder/disk.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio


class SandboxError(Exception):
    """The sandbox is not available. A full sentence with what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Memory and processes of the whole build, size of one file, seconds of one command."""

    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    disk_bytes: int = 4 * 1024**3
    time_limit_seconds: float = 900.0


class Sandbox(Protocol):
    """One build's sandbox. Its commands run one after another."""

    name: str
    words: str
    """The isolation of the build, for the first line of its log."""
    memory_words: str
    """How its memory is limited."""

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
        """No process of the build runs afterwards."""

    def memory_use(self, enough_bytes: int) -> int:
        """The memory of all processes, roughly if it is more than `enough_bytes`. 0 if a cgroup enforces the limit."""

    def path(self, host_path: Path) -> str:
        """The path inside the sandbox of a path at or below the work folder."""


def open_sandbox(grade: str, allow_private_hosts: Sequence[str] = (), *, work: Path) -> Sandbox:
    """A sandbox of exactly this grade around `work`. Raises SandboxError for an unknown one. Does not probe it.

    From now on this process is closed to others of its account, and adopts the orphans of its children. `container`
    takes a second to find out whether basic holds inside.
    """
    from builder.sandbox import account, basic, container, none, strong
    from builder.sandbox.inside import kernel

    makers: dict[str, Callable[[Path, Sequence[str]], Sandbox]] = {
        "strong": strong.StrongSandbox,
        "basic": basic.BasicSandbox,
        "account": account.AccountSandbox,
        "container": container.open_container,
        "none": none.NoSandbox,
    }
    if grade not in makers:
        raise SandboxError(f"There is no sandbox called {grade!r}; there are {', '.join(makers)}.")
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0, "dumpable")
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1, "subreaper")
    return makers[grade](work, allow_private_hosts)
