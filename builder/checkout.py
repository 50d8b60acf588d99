"""Reads a cloned repository without following links, because its content is not trusted."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from builder.errors import BuildFailed

MAX_FILE_BYTES = 1024 * 1024
"""The builder parses these files outside of the build's limits: 1 MiB of JSON takes less than 50 MB of memory."""
START_BYTES = 2000
MAX_STEPS = 200
"""Of the way to a folder: names, and links on the way."""
MAX_NAMES = 1000
"""A limit, because a build can create millions of folders."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
HERE = PurePosixPath(".")
PAGES = (".html", ".htm")
TOO_MANY_DIGITS = f"It has a number with more than {sys.get_int_max_str_digits()} digits."


@contextlib.contextmanager
def opened_folder(root: Path, relative: PurePosixPath) -> Iterator[int]:
    """A descriptor of a folder at or below `root`. Raises OSError for anything else, and for a link on the way."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in relative.parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened_inner(name: str, folder: int) -> Iterator[int]:
    """A descriptor of a folder in an open folder. Raises OSError for anything else, and for a link."""
    descriptor = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(name: str, folder: int) -> int:
    """A descriptor of a regular file in an open folder. Raises OSError for anything else; never waits for a writer."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{name} is not a regular file")
    return descriptor


def check_deadline(deadline: float) -> None:
    """A thread cannot be stopped from outside, so it checks the deadline itself."""
    if time.monotonic() >= deadline:
        raise TimeoutError


def parse_json(text: str) -> Any:
    """Raises JSONDecodeError, and ValueError with a sentence for JSON that Python cannot hold or write."""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise ValueError("It is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise ValueError(r"It has half of a surrogate pair, such as \ud800, which is not valid Unicode.") from error
    except ValueError as error:
        raise ValueError(TOO_MANY_DIGITS) from error
    return found


class Checkout:
    """The files of a repository. Paths are relative to its root. A link counts as missing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: PurePosixPath) -> str | None:
        """The text of a file; bytes that are not UTF-8 are replaced. Raises BuildFailed for one that is too large."""
        body = self._read_bytes(path, MAX_FILE_BYTES + 1)
        if body is not None and len(body) > MAX_FILE_BYTES:
            raise BuildFailed(f"{path} has more than 1 MiB: it is too large to be searched for how to build.")
        return _decode(body) if body is not None else None

    def read_start(self, path: PurePosixPath) -> str:
        """The first START_BYTES of a file of any size. Empty if the file is missing."""
        return _decode(self._read_bytes(path, START_BYTES) or b"")

    def _read_bytes(self, path: PurePosixPath, size: int) -> bytes | None:
        try:
            with opened_folder(self.root, path.parent) as folder, os.fdopen(open_file(path.name, folder), "rb") as file:
                return file.read(size)
        except OSError:
            return None

    def read_json(self, path: PurePosixPath) -> dict[str, Any] | None:
        """An object. None if the file is missing. Raises ValueError if it holds anything else."""
        text = self.read(path)
        if text is None:
            return None
        found = parse_json(text)
        if not isinstance(found, dict):
            raise ValueError("It is not an object.")
        return found

    def read_object(self, path: PurePosixPath) -> dict[str, Any]:
        """As `read_json`; empty if the file is missing or holds anything but an object."""
        try:
            return self.read_json(path) or {}
        except ValueError:
            return {}

    def has(self, path: PurePosixPath) -> bool:
        """Whether this is a regular file."""
        try:
            with opened_folder(self.root, path.parent) as folder:
                return stat.S_ISREG(os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode)
        except OSError:
            return False

    def is_folder(self, path: PurePosixPath) -> bool:
        try:
            with opened_folder(self.root, path):
                return True
        except OSError:
            return False

    def real_folder(self, path: PurePosixPath) -> PurePosixPath | None:
        """The folder that a path means, through links that stay inside the repository. None if there is none."""
        parts = list(reversed(path.parts))
        found = HERE
        for _ in range(MAX_STEPS):
            if not parts:
                return found if self.is_folder(found) else None
            name = parts.pop()
            if name == "..":
                if found == HERE:
                    return None
                found = found.parent
                continue
            target = self._link(found / name)
            if target is None:
                found /= name
            elif target.startswith("/"):
                return None
            else:
                parts.extend(reversed(PurePosixPath(target).parts))
        return None

    def _link(self, path: PurePosixPath) -> str | None:
        try:
            with opened_folder(self.root, path.parent) as folder:
                return os.readlink(path.name, dir_fd=folder)
        except OSError:
            return None

    def folders(self, path: PurePosixPath = HERE) -> list[str]:
        """The names of the folders in a folder, sorted; the first MAX_NAMES of them."""
        with self._entries(path) as entries:
            return heapq.nsmallest(MAX_NAMES, (entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))

    def has_page(self, path: PurePosixPath) -> bool:
        """Whether a page, or a link with the name of one, is directly in this folder."""
        with self._entries(path) as entries:
            return any(
                entry.name.endswith(PAGES) and (entry.is_file(follow_symlinks=False) or entry.is_symlink())
                for entry in entries
            )

    @contextlib.contextmanager
    def _entries(self, path: PurePosixPath) -> Iterator[Iterator[os.DirEntry[str]]]:
        """The entries of a folder. Empty if it cannot be opened."""
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(opened_folder(self.root, path))
                entries: Iterator[os.DirEntry[str]] = stack.enter_context(os.scandir(folder))
            except OSError:
                entries = iter(())
            yield entries


def _decode(body: bytes) -> str:
    return body.decode("utf-8-sig", errors="replace")
