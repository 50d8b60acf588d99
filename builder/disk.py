"""Watches how much disk a folder takes while commands write to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from builder.errors import BuildFailed

FIRST_LOOK_SECONDS = 1.0
LOOK_SHARE = 0.05
"""At most this part of the time is spent on looking."""
ENTRY_BYTES = 512
LONG_PATH_BYTES = 2048
"""The kernel takes 4096, and one more name has up to 255."""


@contextlib.asynccontextmanager
async def watched_disk(folder: Path, limit_bytes: int, stop: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Call `stop` as soon as the folder takes more than `limit_bytes`; the block then ends with BuildFailed."""
    exceeded = asyncio.Event()

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_LOOK_SECONDS
        while not exceeded.is_set():
            await asyncio.sleep(pause)
            began = loop.time()
            if await asyncio.to_thread(disk_use, folder, limit_bytes) > limit_bytes:
                exceeded.set()
                await stop()
            pause = max(FIRST_LOOK_SECONDS, (loop.time() - began) / LOOK_SHARE)

    watcher = asyncio.create_task(watch(), name="disk watch")
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    if exceeded.is_set():
        raise BuildFailed(f"The build used more than its {limit_bytes // 2**20} MiB of disk.")


def disk_use(folder: Path, enough_bytes: int) -> int:
    """Bytes on disk below a folder, without following links; counting ends beyond `enough_bytes`.

    What vanishes while we look counts as nothing. Folders too deep for a path are counted, too: a build can make them.
    """
    total = 0
    folders = [os.fspath(folder)]
    while folders and total <= enough_bytes:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * 512 // max(status.st_nlink, 1) + ENTRY_BYTES
                    if not entry.is_dir(follow_symlinks=False):
                        continue
                    if len(os.fsencode(entry.path)) < LONG_PATH_BYTES:
                        folders.append(entry.path)
                    else:
                        total += _disk_use_by_descriptor(entry.path, enough_bytes - total)
    return total


def _disk_use_by_descriptor(folder: str, enough_bytes: int) -> int:
    """As disk_use: the path begins anew at a descriptor, so it does not reach the kernel's limit."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return disk_use(Path(f"/proc/self/fd/{descriptor}"), enough_bytes)
    finally:
        os.close(descriptor)
