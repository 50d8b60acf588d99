"""Runs one command in the sandbox: both streams go into the log, its time is limited, its failure is explained."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from builder.checkout import Checkout
from builder.disk import watched_disk
from builder.errors import Lost
from builder.failures import Tail, explain
from builder.logs import LineSender
from builder.masking import Masker
from builder.protocol.steps import Stream
from builder.sandbox import Limits, Sandbox
from builder.splitting import LineSplitter
from builder.watch import watched

CHUNK_BYTES = 64 * 1024
DRAIN_SECONDS = 2.0
SANDBOX_FAILED = 125
MEMORY_LOOK_SECONDS = 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """`shown` is its text in the log; `directory` is relative to the work folder."""

    argv: tuple[str, ...]
    shown: str
    directory: PurePath
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    read_only: tuple[Path, ...] = ()


class Runner:
    """Runs commands one after another. No process of a command outlives it."""

    def __init__(
        self,
        sandbox: Sandbox,
        log: LineSender,
        *,
        work: Path,
        environment: Mapping[str, str],
        limits: Limits,
    ) -> None:
        self._sandbox = sandbox
        self._log = log
        self._work = work
        self._environment = environment
        self._limits = limits

    async def run(self, command: Command, hear: Callable[[str], None] = lambda _: None) -> None:
        """Returns if the command exits with 0. Otherwise raises BuildFailed with the lines that explain it.

        `hear` is called with each line.
        """
        await self._log.say(f"$ {command.shown}")
        tail = Tail(self._log.masker)
        watch = watched_limits(self._sandbox, self._work, self._limits)
        async with self._started(command) as process, watch:
            code = await self._read_until_exit(process, tail, hear)
        if code == SANDBOX_FAILED:
            raise Lost(f"The sandbox could not be set up: {tail.text()[-500:] or 'no reason was given'}")
        if code != 0:
            # In a thread, because it may look for a file in the whole checkout.
            raise await asyncio.to_thread(
                explain,
                command.shown,
                code,
                self._log.step,
                tail,
                self._limits,
                Checkout(self._work),
                command.directory,
            )

    @contextlib.asynccontextmanager
    async def _started(self, command: Command) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await self._sandbox.start(
            command.argv,
            environment={**self._environment, **command.environment},
            directory=command.directory,
            limits=self._limits,
            read_only=command.read_only,
        )
        try:
            yield process
        finally:
            await self._sandbox.kill_all()
            await empty_pipes(process)
            await process.wait()

    async def _read_until_exit(
        self, process: asyncio.subprocess.Process, tail: Tail, hear: Callable[[str], None]
    ) -> int:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - started with pipes

        async def keep(stream: Stream, text: str) -> None:
            hear(text)
            tail.add(text, await self._log.write(stream, text))

        readers = [
            asyncio.create_task(read_lines(process.stdout, Stream.STDOUT, keep, self._log.masker)),
            asyncio.create_task(read_lines(process.stderr, Stream.STDERR, keep, self._log.masker)),
        ]
        exit_ = asyncio.create_task(process.wait())
        try:
            # A reader that fails (the log is full) ends the command; one that returns has only seen its pipe close.
            await _first_error_or(exit_, readers)
            # A grandchild may hold the pipes open: their content is read, and all processes are ended.
            await asyncio.wait(readers, timeout=DRAIN_SECONDS)
            await self._sandbox.kill_all()
            await asyncio.gather(*readers)
            return exit_.result()
        finally:
            for task in (exit_, *readers):
                task.cancel()
            await asyncio.gather(exit_, *readers, return_exceptions=True)


async def _first_error_or(exit_: asyncio.Task[int], readers: Sequence[asyncio.Task[None]]) -> None:
    waiting: set[asyncio.Task[Any]] = {exit_, *readers}
    while exit_ in waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@contextlib.asynccontextmanager
async def watched_limits(sandbox: Sandbox, folder: Path, limits: Limits) -> AsyncIterator[None]:
    """End all processes in the sandbox when they use too much disk or memory. The block then ends with BuildFailed."""
    memory = watched(
        lambda: sandbox.memory_use(limits.memory_bytes) > limits.memory_bytes,
        f"The build needed more memory than its {limits.memory_bytes // 2**20} MiB.",
        sandbox.kill_all,
        MEMORY_LOOK_SECONDS,
    )
    async with watched_disk(folder, limits.disk_bytes, sandbox.kill_all), memory:
        yield


async def empty_pipes(process: asyncio.subprocess.Process) -> None:
    """Read and discard the rest, because pipes close only when they are empty."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            for reader in (process.stdout, process.stderr):
                while reader is not None and await reader.read(CHUNK_BYTES):
                    pass


async def read_lines(
    reader: asyncio.StreamReader, stream: Stream, keep: Callable[[Stream, str], Awaitable[None]], masker: Masker
) -> None:
    """Pass each line to `keep`, in order, until the stream ends."""
    splitter = LineSplitter(masker)
    while chunk := await reader.read(CHUNK_BYTES):
        for line in splitter.feed(chunk):
            await keep(stream, line)
    for line in splitter.flush():
        await keep(stream, line)
