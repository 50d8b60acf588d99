"""Files below one folder that is closed to other accounts, found by key. A link is no object. All of it blocks."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import functools
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from gateway.engines.directory.modes import set_back
from gateway.errors import Invalid
from gateway.roles import ObjectInfo

T = TypeVar("T")
More = ParamSpec("More")

INCOMING = ".incoming"
TRIAL = ".trial"
MAX_KEY_BYTES = 1024
MAX_NAME_BYTES = 255
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG})
"""The system's errors for a key that is not stored."""


def mending(function: Callable[Concatenate[Path, str, More], T]) -> Callable[Concatenate[Path, str, More], T]:
    """If modes forbid a call, restores the modes on the key's path and repeats it: a build may have changed them."""

    @functools.wraps(function)
    def mended(root: Path, key: str, /, *arguments: More.args, **options: More.kwargs) -> T:
        try:
            return function(root, key, *arguments, **options)
        except PermissionError:
            if not any([set_back(root, INCOMING), set_back(root, key)]):
                raise
        return function(root, key, *arguments, **options)

    return mended


@mending
def prepare_folders(root: Path, incoming: str) -> None:
    """Create the folders, closed to other accounts, and remove the temporary files that a crash left."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / incoming).mkdir(mode=0o700, exist_ok=True)
    for left in (root / incoming).iterdir():
        _remove_unless_held(left)


@mending
def try_folder(root: Path, name: str) -> None:
    """Write, move, read and remove a file, as a put, an open and a delete do. Raises OSError.

    Nothing is synced: this runs every few seconds and must not keep a disk awake.
    """
    path, file = make_held(root, INCOMING)
    try:
        os.write(file, path.name.encode())
        path.rename(root / name)
        if (root / name).read_text() != path.name:
            raise OSError(errno.EIO, "it does not give back what was written")
    finally:
        os.close(file)
        path.unlink(missing_ok=True)
        (root / name).unlink(missing_ok=True)


@mending
def make_held(root: Path, folder: str) -> tuple[Path, int]:
    """A new file to write to, held by a lock while it is open: see flock(2)."""
    while True:
        path = root / folder / secrets.token_hex(16)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        # Another process that prepares the folders may hold or remove the file at this moment.
        if _hold(file) and os.fstat(file).st_nlink:
            return path, file
        os.close(file)


def _remove_unless_held(path: Path) -> None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone, or not made by a store
        path.unlink(missing_ok=True)
        return
    try:
        if _hold(file):
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _hold(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@mending
def move_into_place(root: Path, key: str, path: Path) -> None:
    """From its return on the file is stored under its key, even if the machine crashes."""
    target = root / key
    for attempt in range(3):
        try:
            _make_folders(root, target.parent)
            path.rename(target)
        except FileNotFoundError:  # a delete removed the empty folder meanwhile
            if attempt == 2:
                raise
        else:
            _sync(target.parent)
            return


@mending
def discard(root: Path, path: str) -> None:
    (root / path).unlink(missing_ok=True)


def check_key(key: str) -> None:
    """Raises Invalid."""
    if not is_key(key):
        raise Invalid(f"{key!r:.80} is not a key: it must be relative, without empty, '.' and '..' segments.")


def is_key(key: str) -> bool:
    try:
        names = [segment.encode() for segment in key.split("/")]
    except UnicodeEncodeError:
        return False
    return (
        len(key) <= MAX_KEY_BYTES
        and not any(letter in key for letter in "\0\\")
        and all(name not in (b"", b".", b"..") and len(name) <= MAX_NAME_BYTES for name in names)
        and sum(map(len, names)) + len(names) <= MAX_KEY_BYTES
        and names[0] not in (INCOMING.encode(), TRIAL.encode())
    )


def _make_folders(root: Path, folder: Path) -> None:
    """This folder and those above it, below `root`. The entry of each new one is on disk when this returns."""
    if folder == root or folder.is_dir():
        return
    _make_folders(root, folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@mending
def open_file(root: Path, key: str) -> tuple[int, os.stat_result]:
    """A descriptor of the regular file under this key, and its stat result. Raises OSError."""
    if not is_key(key):
        raise FileNotFoundError(errno.ENOENT, "not a key", key)
    # O_NONBLOCK: a FIFO in the place of a file must not block the thread.
    file = os.open(root / key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        os.close(file)
        raise FileNotFoundError(errno.ENOENT, "not a file", key)
    return file, found


@mending
def is_file(root: Path, key: str) -> bool:
    try:
        file, _ = open_file(root, key)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    os.close(file)
    return True


@mending
def scan(root: Path, folder: str) -> tuple[list[ObjectInfo], list[str], list[str]]:
    """The entries of a folder: objects, folders, and names that cannot be in a key."""
    objects, folders, strange = [], [], []
    for entry in _entries(root, folder):
        key = f"{folder}/{entry.name}" if folder else entry.name
        if key in (INCOMING, TRIAL):
            continue
        if not is_key(key):
            strange.append(key)
        elif entry.is_dir(follow_symlinks=False):
            folders.append(key)
        elif entry.is_file(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                objects.append(info_of(key, entry.stat(follow_symlinks=False)))
    return objects, folders, strange


def _entries(root: Path, folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            yield from entries
    except OSError as error:
        if error.errno not in ABSENT:
            raise


def delete_files(root: Path, keys: Iterable[str]) -> None:
    for key in keys:
        _delete(root, key)


@mending
def _delete(root: Path, key: str) -> None:
    if not is_key(key):
        return
    path = root / key
    try:
        path.unlink()
        _remove_empty(root, path.parent)
    except OSError as error:
        if error.errno not in ABSENT:
            raise


def _remove_empty(root: Path, folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, which is the usual case
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def info_of(key: str, found: os.stat_result) -> ObjectInfo:
    # Not st_mtime: a build of the same account can set that, and thereby choose what the sweep deletes or keeps.
    modified_at = datetime.datetime.fromtimestamp(found.st_ctime, datetime.UTC)
    return ObjectInfo(key, found.st_size, modified_at, f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}")
