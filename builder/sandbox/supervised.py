"""The common part of all sandboxes: a supervisor for each command, limits, an account, and an end for all processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

import builder
from builder.sandbox import Limits
from builder.sandbox.gaps import Gap, closed_in, gaps_of, listed
from builder.sandbox.inside import cgroup, processes
from builder.sandbox.inside.plan import Group, Plan
from builder.sandbox.memory import memory_use
from builder.sandbox.ownership import build_account, give_to

PACKAGE_ROOT = Path(str(builder.__file__)).resolve().parent.parent
_SUPERVISOR = (
    "import sys; sys.path.append(sys.argv[1]); from builder.sandbox.inside.supervisor import main; sys.exit(main())"
)
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OPEN_FILES = 65536
NODE_RESERVES_BYTES = 1024**3
"""Node 24 does not start with less than some 600 MiB of address space for data, of which it uses a tenth."""
MEMORY_WORDS = ("memory counted for the build as a whole, several times a second", "memory held by a cgroup")
LOOK_SECONDS = 0.01
STOP_SECONDS = 25.0
"""Longer than a supervisor needs even for a tree of processes that resists."""


class SupervisedSandbox:
    """A grade defines by `_plan` what confines the command. The rest is here."""

    name = ""
    words = ""

    def __init__(self, work: Path, allow_private_hosts: Sequence[str]) -> None:
        closed = "".join(f"; closed: {each}" for each in [", ".join(self._closed())] if each)
        self.words = f"{self.words or self.name}; not held: {listed(self._gaps())}{closed}"
        self.work = work.absolute()
        self.allow_private_hosts = allow_private_hosts
        self.account = build_account()
        self._cgroup = cgroup.find_base()
        self.memory_words = MEMORY_WORDS[self._cgroup is not None]
        self._supervisors: list[asyncio.subprocess.Process] = []

    async def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: PurePath,
        limits: Limits,
        read_only: Sequence[Path] = (),
    ) -> asyncio.subprocess.Process:
        plan = await asyncio.to_thread(self._prepare, argv, dict(environment), directory, limits, read_only)
        with _readable(plan.to_json()) as stdin:
            # From the loop's own thread, because a supervisor gets a signal when the thread that started it ends.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _SUPERVISOR, str(PACKAGE_ROOT)),
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )
        self._supervisors.append(process)
        return process

    async def kill_all(self) -> None:
        for process in self._supervisors:
            await _stop(process)
            if process.returncode == -signal.SIGKILL:
                await asyncio.to_thread(_end_adopted)
        self._supervisors.clear()

    def _gaps(self) -> Sequence[Gap]:
        return gaps_of(self.name)

    def _closed(self) -> Sequence[str]:
        return closed_in(self.name)

    def memory_use(self, enough_bytes: int) -> int:
        if self._cgroup is not None:
            return 0
        pids = {pid for process in self._supervisors for pid in processes.descendants(process.pid)}
        return memory_use(pids, enough_bytes)

    def path(self, host_path: Path) -> str:
        return str(host_path)

    def _prepare(
        self,
        argv: Sequence[str],
        environment: dict[str, str],
        directory: PurePath,
        limits: Limits,
        read_only: Sequence[Path],
    ) -> Plan:
        self._make_folders()
        if self.account is not None:
            give_to(self.account, self.work)
        return self._plan(list(argv), environment, directory, limits, [path.absolute() for path in read_only])

    def _make_folders(self) -> None:
        """Creates what the grade needs in the work folder besides the build."""

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        """The command without confinement, which grades add."""
        return Plan(
            builder_pid=os.getpid(),
            argv=argv,
            environment=environment,
            directory=str(self.work / directory),
            time_limit_seconds=limits.time_limit_seconds,
            limits=resource_limits(limits),
            processes=limits.processes,
            user=self.account,
            group=Group(self._cgroup, limits.memory_bytes, limits.processes) if self._cgroup else None,
            needed=[str(path) for path in (self.work, *read_only)] if self.account is not None else [],
        )


def resource_limits(limits: Limits) -> dict[int, int]:
    """Without RLIMIT_AS, because WebAssembly reserves gigabytes of address space that it never uses."""
    return {
        # A process that grows without end fails here, before the whole build is ended.
        resource.RLIMIT_DATA: max(limits.memory_bytes, NODE_RESERVES_BYTES),
        resource.RLIMIT_FSIZE: limits.disk_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
    }


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[int]:
    file = os.memfd_create("plan")
    try:
        os.write(file, content)
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


async def _stop(process: asyncio.subprocess.Process) -> None:
    _send(process, signal.SIGTERM)
    try:
        await asyncio.wait_for(_end_of(process), STOP_SECONDS)
    except TimeoutError:
        _send(process, signal.SIGKILL)
        await _end_of(process)


def _send(process: asyncio.subprocess.Process, number: int) -> None:
    """Replaces `process.send_signal`, which reaps a process that has just ended, so the loop loses its exit code."""
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            os.kill(process.pid, number)


async def _end_of(process: asyncio.subprocess.Process) -> None:
    """Replaces `process.wait()`, which also waits until the pipes are closed, and orphans may hold these."""
    while process.returncode is None:  # noqa: ASYNC110 - the process sets no event
        await asyncio.sleep(LOOK_SECONDS)


def _end_adopted() -> None:
    """A supervisor was killed, so its orphans are now ours. Other children of the builder end with them."""
    processes.end_descendants()
