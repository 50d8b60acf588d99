"""Builders as processes of this machine, each in a session of its own. They outlive a gateway that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from builder.protocol.calls import Isolation
from gateway.engines.builder_environment import PACKAGE_ROOT, order_environment, pick_environment
from gateway.engines.process import processes
from gateway.engines.process.grades import Grade
from gateway.engines.process.processes import ProcessId
from gateway.engines.process.work_folders import WORK, AttemptFolders, Record, parse_record, read_record
from gateway.errors import ConfigError, LaunchRefused, Unanswered, Unavailable
from gateway.roles import BuilderState, LaunchOrder

log = logging.getLogger(__name__)

BUILDER = (sys.executable, "-P", "-m", "builder")
"""-P: a builder must not import files that a build has left in a folder."""
STARTER = Path(__file__).with_name("starter.py")
START_SECONDS = 20.0
POLITE_SECONDS = 4.0
TIDY_SECONDS = 4.0
"""A sandbox ends its processes when its builder is gone. This is how long it has for that."""
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.05
SLOTS = 90
SAME_ACCOUNT = (
    " Builds run as this user and can change the modes of its files: those in the data directory are set back within"
    " seconds, those of running builds, the configuration and the programs are not. Started as root, the gateway gives"
    " builds users of their own."
)


class ProcessLauncher:
    """`grade` is called at each launch, and raises LaunchRefused while builds must not run.

    `node_cache`: the folder that builders share for Node and package managers.
    `instance` separates the gateways on one database: each finds and stops only the processes of its own machine.
    """

    needs_sandbox = True
    start_seconds = 0.0

    def __init__(
        self,
        work_directory: Path,
        grade: Callable[[], Grade],
        *,
        instance: str = "here",
        environ: Mapping[str, str] = os.environ,
        builder: Sequence[str] = BUILDER,
        node_cache: Path | None = None,
        node_cache_bytes: int = 0,
    ) -> None:
        self.name = f"process:{instance}"
        self._folders = AttemptFolders(work_directory.absolute(), instance)
        self._grade = grade
        self._environ = environ
        self._builder = builder
        self._cache = {} if node_cache is None else _cache_environment(node_cache.absolute(), node_cache_bytes)
        self._launching = asyncio.Lock()

    async def launch(self, order: LaunchOrder) -> str:
        async with self._launching:
            record = read_record(self._folders.of(order.deployment_id, order.attempt))
            if record is None:
                grade = self._grade()
                record = await asyncio.to_thread(self._start, order, grade)
        return record.process.handle

    async def find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        return await asyncio.to_thread(self._find, handles)

    def _find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        states = {}
        for handle in handles:
            with contextlib.suppress(Unavailable):
                is_running = self._is_running(ProcessId.from_handle(handle))
                states[handle] = BuilderState.RUNNING if is_running else BuilderState.GONE
        return states

    def _is_running(self, process: ProcessId) -> bool:
        record = self._folders.find(process)
        return record.is_running() if record is not None else processes.is_running(process)

    async def stop(self, handle: str, reason: str) -> None:
        process = ProcessId.from_handle(handle)
        if await asyncio.to_thread(self._is_running, process):
            log.info("stop builder %s: %s", handle, reason)
            await _end(process)

    async def last_words(self, handle: str) -> str:
        """The last output of a builder that failed, not of its build. Empty if there is none."""
        return await asyncio.to_thread(self._folders.last_words, ProcessId.from_handle(handle))

    async def check(self) -> None:
        """Raises Unavailable if a builder's programs are closed, which a build of our account may have caused.

        `grade` reports what the sandbox lacks.
        """
        for path in (self._builder[0], PACKAGE_ROOT / "builder"):
            if not await asyncio.to_thread(os.access, path, os.R_OK | os.X_OK):
                raise Unavailable(f"No builder can be started: {path} is closed to this user. `chmod u+rwX` opens it.")

    async def examine(self) -> str:
        try:
            grade = self._grade()
        except LaunchRefused as refusal:
            raise ConfigError(refusal.sentence) from refusal
        shared = SAME_ACCOUNT if grade.name is Isolation.BASIC and os.geteuid() != 0 else ""
        return f"isolation {grade.name}. {grade.sentence}{shared}"

    async def close(self) -> None:
        """A stop leaves no builder behind. The next start finds them gone and begins other attempts."""
        running = [record.process.handle for record in self._folders.records() if record.is_running()]
        stops = [self.stop(handle, "The gateway stops.") for handle in running]
        for error in await asyncio.gather(*stops, return_exceptions=True):
            if error is not None:
                log.error("a builder could not be stopped: %s", error)

    async def tidy(self) -> None:
        for record in await asyncio.to_thread(self._folders.records):
            if not record.is_running():
                await self._folders.clear(record)

    def _start(self, order: LaunchOrder, grade: Grade) -> Record:
        slot = free_slot(record.slot for record in self._folders.records() if record.is_running())
        try:
            folder = self._folders.make(order.deployment_id, order.attempt)
            started = subprocess.run(
                [sys.executable, "-I", "-S", str(STARTER), str(folder), str(slot), *self._builder],
                env=self._environment(order, grade, folder, slot),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,
                timeout=START_SECONDS,
            )
            return parse_record(folder, json.loads(started.stdout))
        except subprocess.TimeoutExpired as error:
            raise Unanswered(f"The builder has not started within {START_SECONDS:.0f} s.") from error
        except (OSError, subprocess.SubprocessError) as error:
            raise LaunchRefused(f"The builder could not be started: {error}.") from error
        except ValueError as error:
            said = started.stderr.decode(errors="replace").strip()[-500:]
            raise LaunchRefused(f"The builder could not be started: {said}") from error

    def _environment(self, order: LaunchOrder, grade: Grade, folder: Path, slot: int) -> dict[str, str]:
        return {
            **pick_environment(self._environ),
            "PYTHONPATH": str(PACKAGE_ROOT),
            "PYTHONUNBUFFERED": "1",
            **order_environment(order, grade.name),
            "BUILDSPACE_WORK": str(folder / WORK),
            "BUILDSPACE_SLOT": str(slot),
            **self._cache,
        }


def _cache_environment(folder: Path, size: int) -> dict[str, str]:
    return {"BUILDSPACE_NODE_CACHE": str(folder), "BUILDSPACE_NODE_CACHE_BYTES": str(size)}


def free_slot(taken: Iterable[int]) -> int:
    """The smallest number that no running builder has, so that concurrent builds get different accounts."""
    used = set(taken)
    return next((slot for slot in range(SLOTS) if slot not in used), SLOTS)


async def _end(process: ProcessId) -> None:
    """Send SIGTERM, later SIGKILL. Then wait until its children are gone too, and kill those that remain."""
    family = await asyncio.to_thread(processes.descendants, process.pid)
    processes.send_signal(process, signal.SIGTERM)
    if not await _gone({process}, POLITE_SECONDS):
        family |= await asyncio.to_thread(processes.descendants, process.pid)
        processes.send_signal(process, signal.SIGKILL)
    if not await _gone({process, *family}, TIDY_SECONDS):
        for each in family:
            processes.send_signal(each, signal.SIGKILL)
    if not await _gone({process, *family}, KILL_SECONDS):
        raise Unavailable(f"The builder {process.handle} or a process of its build cannot be killed.")


async def _gone(family: Collection[ProcessId], seconds: float) -> bool:
    """Wait until all have ended. False if the time limit came first."""
    deadline = asyncio.get_running_loop().time() + seconds
    while any(processes.is_running(process) for process in family):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True
