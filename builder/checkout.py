"""Reads a cloned repository without following a single link: what is in it belongs to strangers."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

MAX_FILE_BYTES = 64 * 1024 * 1024

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
HERE = PurePosixPath(".")


@contextlib.contextmanager
def opened_folder(root: Path, relative: PurePosixPath) -> Iterator[int]:
    """A descriptor of a folder at or below `root`. Raises OSError if it is none, or a link is on the way."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in relative.parts:
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(name: str, folder: int) -> int:
    """A descriptor of a regular file in an open folder. Raises OSError for all else; never waits for a writer."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{name} is not a regular file")
    return descriptor


class Checkout:
    """The files of a repository. Paths are relative to its root; what is missing, a link or too large is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: PurePosixPath) -> str | None:
        """The text of a file; bytes that are not UTF-8 are replaced."""
        try:
            with opened_folder(self.root, path.parent) as folder, os.fdopen(open_file(path.name, folder), "rb") as file:
                body = file.read(MAX_FILE_BYTES + 1)
        except OSError:
            return None
        return body.decode("utf-8-sig", errors="replace") if len(body) <= MAX_FILE_BYTES else None

    def read_json(self, path: PurePosixPath) -> dict[str, Any] | None:
        """An object; None if there is no such file. Raises ValueError if it holds anything else."""
        text = self.read(path)
        if text is None:
            return None
        try:
            found = json.loads(text)
        except RecursionError as error:
            raise ValueError("It is nested too deeply.") from error
        if not isinstance(found, dict):
            raise ValueError("It is not an object.")
        return found

    def has(self, path: PurePosixPath) -> bool:
        """Is there a regular file?"""
        return path.name in self.names(path.parent, folders=False)

    def is_folder(self, path: PurePosixPath) -> bool:
        try:
            with opened_folder(self.root, path):
                return True
        except OSError:
            return False

    def names(self, path: PurePosixPath = HERE, *, folders: bool) -> list[str]:
        """The names of all folders, or of all regular files, in a folder; sorted."""
        try:
            with opened_folder(self.root, path) as folder, os.scandir(folder) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if (entry.is_dir(follow_symlinks=False) if folders else entry.is_file(follow_symlinks=False))
                )
        except OSError:
            return []
