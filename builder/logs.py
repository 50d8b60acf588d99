"""Sends log lines to the gateway in order and without gaps, also after outages."""

from __future__ import annotations

import asyncio
import collections
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from builder.errors import BuildFailed
from builder.masking import NO_SECRETS, Masker
from builder.protocol.lines import MAX_BATCH_BYTES, MAX_BATCH_SECONDS, Line, LineBatch, encode_batch, split_text
from builder.protocol.steps import Step, Stream

MEMORY_BYTES = 4 * 1024 * 1024
LINE_COST_BYTES = 32
"""What a line counts besides its text, so that empty lines are limited too."""

Send = Callable[[bytes], Awaitable[None]]


class LineSender:
    """Numbers lines from 1, groups them into batches, and sends one batch at a time.

    A batch never changes once it is made. Waiting batches stay in memory up to MEMORY_BYTES, and further ones go to a
    file; the log's limit also bounds that file.
    """

    def __init__(
        self,
        send: Send,
        *,
        project: str,
        deployment_id: uuid.UUID,
        attempt: int,
        spool_directory: Path,
        limit_bytes: int,
        masker: Masker = NO_SECRETS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.step: Step = Step.PREPARE
        self.masker = masker
        self._send = send
        self._project = project
        self._deployment_id = deployment_id
        self._attempt = attempt
        self._spool = Spool(spool_directory)
        self._now = now
        self._limit_bytes = limit_bytes
        self._spent_bytes = 0
        self._open: list[Line] = []
        self._open_bytes = 0
        self._opened_at = 0.0
        self._next_seq = 1
        self._is_cut = False
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def last_seq(self) -> int:
        """The number of the last line so far, which is also the number of lines."""
        return self._next_seq - 1 + len(self._open)

    async def say(self, text: str) -> None:
        """A line of the platform itself. It is never refused, because these lines are few."""
        for line in self.masker.mask_text(text).split("\n"):
            for piece in split_text(line):
                await self._add(Stream.SYSTEM, piece)

    async def write(self, stream: Stream, text: str) -> int:
        """A line of a command, at most MAX_LINE_BYTES long, masked by its splitter. Returns its number, or 0 if the log
        is cut.

        Raises BuildFailed when the log's limit is reached.
        """
        cost = len(json.dumps(text, ensure_ascii=False).encode()) + LINE_COST_BYTES
        if self._is_cut:
            return 0
        if self._spent_bytes + cost > self._limit_bytes:
            self._is_cut = True
            sentence = f"The log reached its limit of {self._limit_bytes} bytes, so the build was stopped."
            await self.say(sentence)
            raise BuildFailed(sentence)
        self._spent_bytes += cost
        return await self._add(stream, text)

    async def run(self) -> None:
        """Send until `close` was called and everything is sent. An error of `send` ends it."""
        while True:
            record = await self._next_record()
            if record is None:
                return
            await self._send(record)

    def close(self) -> None:
        """No line follows: `run` returns once the last one is delivered."""
        self._is_closed = True
        self._changed.set()

    async def _add(self, stream: Stream, text: str) -> int:
        loop = asyncio.get_running_loop()
        if not self._open:
            self._opened_at = loop.time()
            self._changed.set()
        self._open.append(Line(int(self._now() * 1000), stream, self.step, text))
        self._open_bytes += len(text.encode()) + LINE_COST_BYTES
        seq = self.last_seq
        if self._open_bytes >= MAX_BATCH_BYTES:
            await self._close_batch()
        return seq

    async def _close_batch(self) -> None:
        """Gives the open lines their final numbers."""
        lines, self._open, self._open_bytes = tuple(self._open), [], 0
        batch = LineBatch(self._project, self._deployment_id, self._attempt, self._next_seq, lines)
        self._next_seq += len(lines)
        await self._spool.put(encode_batch(batch))
        self._changed.set()

    async def _next_record(self) -> bytes | None:
        loop = asyncio.get_running_loop()
        while True:
            record = await self._spool.get()
            if record is not None:
                return record
            self._changed.clear()
            if self._open:
                wait = 0.0 if self._is_closed else self._opened_at + MAX_BATCH_SECONDS - loop.time()
                if wait <= 0:
                    await self._close_batch()
                    continue
            elif self._is_closed:
                return None
            else:
                wait = None
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                continue


class Spool:
    """Records in the order of `put`: the first ones in memory, the rest in a file."""

    def __init__(self, directory: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._memory: collections.deque[bytes] = collections.deque()
        self._held_bytes = 0
        self._sizes: collections.deque[int] = collections.deque()
        self._read_at = 0
        self._write_at = 0
        self._lock = asyncio.Lock()

    async def put(self, record: bytes) -> None:
        async with self._lock:
            if not self._sizes and self._held_bytes + len(record) <= self._memory_bytes:
                self._memory.append(record)
                self._held_bytes += len(record)
                return
            await asyncio.to_thread(self._write, self._write_at, record)
            self._write_at += len(record)
            self._sizes.append(len(record))

    async def get(self) -> bytes | None:
        """The oldest record. None if there is none."""
        async with self._lock:
            if self._memory:
                record = self._memory.popleft()
                self._held_bytes -= len(record)
                return record
            if not self._sizes:
                return None
            size = self._sizes.popleft()
            record = await asyncio.to_thread(self._read, self._read_at, size)
            self._read_at += size
            if not self._sizes:
                self._read_at = self._write_at = 0
            return record

    @property
    def _path(self) -> Path:
        return self._directory / "lines.spool"

    def _write(self, at: int, record: bytes) -> None:
        with self._path.open("r+b" if at else "wb") as file:
            file.seek(at)
            file.write(record)

    def _read(self, at: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(size)
