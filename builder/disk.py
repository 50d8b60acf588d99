"""Watches how much disk a folder takes while commands write to it."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from builder.watch import watched

FIRST_LOOK_SECONDS = 1.0
ENTRY_BYTES = 512
FOLDER_BYTES = 4096
"""The least that a folder counts, because the names of folders that wait for the count are kept in memory."""
LONG_PATH_LETTERS = 900
"""The kernel's limit is 4096 bytes: a letter has up to four, and one more name has up to 255."""
MAX_DESCENTS = 50
"""Each is LONG_PATH_LETTERS deep. Folders nested deeper, over 20,000 levels, count as a full disk."""


def watched_disk(
    folder: Path, limit_bytes: int, stop: Callable[[], Awaitable[None]]
) -> contextlib.AbstractAsyncContextManager[None]:
    """Call `stop` as soon as the folder takes more than `limit_bytes`; the block then ends with BuildFailed."""
    return watched(
        lambda: disk_use(folder, limit_bytes) > limit_bytes,
        f"The build used more than its {limit_bytes // 2**20} MiB of disk.",
        stop,
        FIRST_LOOK_SECONDS,
    )


def disk_use(folder: Path, enough_bytes: int, descents: int = MAX_DESCENTS) -> int:
    """Bytes on disk below a folder, without following links. Counting stops above `enough_bytes`.

    Entries that disappear meanwhile count as nothing. Folders too deep for a path are counted too, because a build can
    create them.
    """
    total = 0
    # Keeps only the names of sibling folders: hostile paths are long, and a million of them would take gigabytes.
    folders = [("", os.fspath(folder))]
    while folders and total <= enough_bytes:
        path = os.path.join(*folders.pop())
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        total += status.st_blocks * 512 // max(status.st_nlink, 1) + ENTRY_BYTES
                        continue
                    total += max(status.st_blocks * 512, FOLDER_BYTES) + ENTRY_BYTES
                    if len(path) + len(entry.name) < LONG_PATH_LETTERS:
                        folders.append((path, entry.name))
                    else:
                        total += _disk_use_by_descriptor(entry.path, enough_bytes - total, descents - 1)
    return total


def _disk_use_by_descriptor(folder: str, enough_bytes: int, descents: int) -> int:
    """As disk_use, but paths begin at a descriptor, so they stay below the kernel's length limit."""
    if descents == 0:
        return enough_bytes + 1
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return disk_use(Path(f"/proc/self/fd/{descriptor}"), enough_bytes, descents)
    finally:
        os.close(descriptor)
