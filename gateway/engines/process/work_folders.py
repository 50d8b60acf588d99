"""The folders of the attempts: which builder runs in each, its last output, and their removal."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import json
import logging
import os
import time
import uuid
from pathlib import Path

from gateway.engines.directory.modes import set_back
from gateway.engines.process import processes
from gateway.engines.process.processes import ProcessId
from gateway.engines.process.starter import LOG, RECORD

log = logging.getLogger(__name__)

LAST_WORDS_BYTES = 800
RECORD_BYTES = 4096
REMOVE_SECONDS = 1800.0
"""The largest builds leave a few million files; only a disk that hangs takes longer than this."""
WORK = "work"
KEEP_LOGS_SECONDS = 24 * 3600.0


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """The builder that was started in a folder. `slot`: a small number that no other running builder has."""

    folder: Path
    process: ProcessId
    boot_id: str
    slot: int

    def is_running(self) -> bool:
        """False only if it certainly does not run. Raises Unavailable if that cannot be found out."""
        return self.boot_id == processes.boot_id() and processes.is_running(self.process)


class AttemptFolders:
    """All are below one folder that only the launcher uses.

    Paths show in the command lines of builds, which every account of the machine can read under some grades of
    isolation. So a folder's name tells nothing about its deployment to a reader who does not know `instance`.
    """

    def __init__(self, root: Path, instance: str) -> None:
        self.root = root
        self._key = instance.encode()

    def of(self, deployment_id: uuid.UUID, attempt: int) -> Path:
        """The same folder each time, so that an order given twice finds its first builder."""
        name = hmac.new(self._key, f"work folder|{deployment_id}|{attempt}".encode(), hashlib.sha256)
        # Short, because the address of a Unix socket in the folder has 107 bytes at most.
        return self.root / name.hexdigest()[:16]

    def make(self, deployment_id: uuid.UUID, attempt: int) -> Path:
        folder = self.of(deployment_id, attempt)
        (folder / WORK).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        return folder

    def records(self) -> list[Record]:
        set_back(self.root)
        folders = [*self.root.iterdir()] if self.root.is_dir() else []
        return [record for record in map(read_record, folders) if record is not None]

    def find(self, process: ProcessId) -> Record | None:
        return next((record for record in self.records() if record.process == process), None)

    def last_words(self, process: ProcessId) -> str:
        """The last output of the builder itself, not of the build. Empty if there is none."""
        record = self.find(process)
        with contextlib.suppress(OSError):
            if record is not None:
                return _read_end(record.folder / LOG, LAST_WORDS_BYTES).decode(errors="replace").strip()
        return ""

    async def clear(self, record: Record) -> None:
        """Delete the attempt's files. Its record and log stay for a day, so that the attempt is not started again."""
        await remove(record.folder / WORK)
        if await asyncio.to_thread(_is_old, record.folder / RECORD):
            await remove(record.folder)


def read_record(folder: Path) -> Record | None:
    """None if no builder was started here yet, or if the record is damaged, which must not hold up other builds."""
    try:
        return parse_record(folder, json.loads(_read(folder)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("builder record unreadable, builder unknown: %s: %s", folder / RECORD, error)
        return None


def _read(folder: Path) -> bytes:
    try:
        return _read_end(folder / RECORD, RECORD_BYTES)
    except PermissionError:  # another build of our account has changed its mode
        if not set_back(folder, RECORD):
            raise
    return _read_end(folder / RECORD, RECORD_BYTES)


def _read_end(path: Path, most_bytes: int) -> bytes:
    """The last bytes of the file. Raises OSError if it is no plain file."""
    # A build of our account may have put a link, a pipe or a very large file in its place.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
        return file.read(most_bytes)


def parse_record(folder: Path, found: dict[str, object]) -> Record:
    process = ProcessId(int(str(found["pid"])), int(str(found["start_ticks"])))
    return Record(folder, process, str(found["boot_id"]), int(str(found["slot"])))


def _is_old(path: Path) -> bool:
    # Not st_mtime, because a build of our account can set it.
    return path.exists() and time.time() - path.stat().st_ctime > KEEP_LOGS_SECONDS


async def remove(path: Path) -> None:
    """Remove a tree of untrusted files: any depth, closed folders, no link followed. A later call retries the rest."""
    if not await asyncio.to_thread(os.path.lexists, path):
        return
    try:
        async with asyncio.timeout(REMOVE_SECONDS):
            await _remove(path)
    except TimeoutError:
        log.warning("not removed within %.0f seconds: %s", REMOVE_SECONDS, path)


async def _remove(path: Path) -> None:
    if await _run("rm", "--recursive", "--force", "--one-file-system", "--", str(path)) != 0:
        await _run("chmod", "--recursive", "u+rwX", "--", str(path))
        await _run("rm", "--recursive", "--force", "--one-file-system", "--", str(path))


async def _run(*command: str) -> int:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
