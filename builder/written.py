"""Tells which files a build wrote, by comparing the checkout with what it held before."""

from __future__ import annotations

import collections
import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import PurePosixPath

from builder.checkout import HERE, PAGES, Checkout, check_deadline, opened_folder

MAX_FILES = 200_000
"""Of more files than these nothing is remembered: the others count as written. 100,000 take about 20 MB and 0.5 s."""
MAX_DEPTH = 30
NOT_LOOKED_AT = frozenset({".git", "node_modules"})

_Mark = tuple[int, int, int]
"""Inode, time of the last change, size. Its ctime says nothing: it changes when the sandbox's account gets the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """`pages`: the pages that the build wrote. `folders`: those in which, or below which, it wrote a file."""

    pages: tuple[PurePosixPath, ...]
    folders: frozenset[PurePosixPath]

    def pages_in(self, folder: PurePosixPath) -> list[PurePosixPath]:
        return [page for page in self.pages if page.is_relative_to(folder)]


class Before:
    """The files of a checkout at the time when this was made."""

    def __init__(self, checkout: Checkout, deadline: float = float("inf")) -> None:
        self._checkout = checkout
        self._marks: dict[PurePosixPath, _Mark] = dict(_files(checkout, deadline))

    def compare(self, deadline: float = float("inf")) -> Written:
        """What was written since. Raises TimeoutError at the deadline (monotonic)."""
        pages = []
        folders: set[PurePosixPath] = set()
        for path, mark in _files(self._checkout, deadline):
            if self._marks.get(path) == mark:
                continue
            if path.name.endswith(PAGES):
                pages.append(path)
            if path.parent not in folders:
                folders.update((path.parent, *path.parent.parents))
        return Written(tuple(sorted(pages)), frozenset(folders))


def _files(checkout: Checkout, deadline: float) -> Iterator[tuple[PurePosixPath, _Mark]]:
    """Regular files, those near the root first; a build may make millions, so only the first MAX_FILES."""
    waiting = collections.deque([HERE])
    left = MAX_FILES
    while waiting and left > 0:
        check_deadline(deadline)
        folder = waiting.popleft()
        for name, status in _entries(checkout, folder):
            left -= 1
            if left <= 0:
                return
            if stat.S_ISREG(status.st_mode):
                yield folder / name, (status.st_ino, status.st_mtime_ns, status.st_size)
            elif stat.S_ISDIR(status.st_mode) and name not in NOT_LOOKED_AT and len(folder.parts) < MAX_DEPTH:
                waiting.append(folder / name)


def _entries(checkout: Checkout, folder: PurePosixPath) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with opened_folder(checkout.root, folder) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                yield entry.name, entry.stat(follow_symlinks=False)
    except OSError:  # a folder that its owner may not read, or that is gone
        return
