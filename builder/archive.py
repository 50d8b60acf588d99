"""Packs folders of a build into one file and unpacks them elsewhere: regular files, folders and links inside them.

A format of its own instead of tar: it can't express devices, owners or hard links, no header of it takes memory, and it
is read faster than `tarfile` reads. It is gzip of MAGIC and records: kind, mode, length of the path, size, mtime, then
the path and the bytes (of a link: its target). The last record is END.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import posixpath
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from builder.checkout import check_deadline, open_file, opened_folder, opened_inner

MAGIC = b"buildspace-1\n"
RECORD = struct.Struct(">cHIQq")
FILE, FOLDER, LINK, END = b"f", b"d", b"l", b"e"
LEVEL = 1
"""Of gzip: the others take several times as long and save a tenth."""
CHUNK_BYTES = 1024 * 1024
MAX_DEPTH = 100
MAX_PATH_BYTES = 4096


class BadArchive(Exception):
    """It is torn, or holds what no archive of ours has."""


class Unpackable(Exception):
    """A folder holds something that a copy elsewhere would lack. A sentence without its end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """`bytes` are those of the unpacked files. `deadline` is monotonic."""

    entries: int
    bytes: int
    deadline: float


@dataclasses.dataclass(slots=True)
class Count:
    files: int = 0
    bytes: int = 0
    entries: int = 0

    def add(self, limits: Limits, size: int | None = None) -> None:
        """One more entry; `size`: that of a file. Raises Unpackable beyond a limit, TimeoutError at the deadline."""
        check_deadline(limits.deadline)
        self.entries += 1
        self.files += size is not None
        self.bytes += size or 0
        if self.entries > limits.entries or self.bytes > limits.bytes:
            raise Unpackable(f"there are more than {limits.entries} files or {limits.bytes} bytes")


Check = Callable[[str, os.stat_result], None]


def pack(root: Path, folders: Sequence[PurePosixPath], file: BinaryIO, limits: Limits, check: Check) -> Count:
    """Writes the folders below `root` to a file. No process may write to them meanwhile.

    `check` gets the path and the status of every entry. Raises Unpackable, OSError, TimeoutError, and what `check`
    raises.
    """
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0) as packed:
        packed.write(MAGIC)
        packer = _Packer(packed, limits, check)
        for folder in folders:
            with opened_folder(root, folder) as descriptor:
                packer.add_folder(descriptor, str(folder), 0)
        _write_record(packed, END, "", 0, packer.count.entries, 0)
    return packer.count


class _Packer:
    def __init__(self, packed: gzip.GzipFile, limits: Limits, check: Check) -> None:
        self.count = Count()
        self._packed = packed
        self._limits = limits
        self._check = check

    def add_folder(self, descriptor: int, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Unpackable(f"{path[:200]} is nested too deeply")
        status = os.fstat(descriptor)
        self._begin(FOLDER, path, status)
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            self._add(descriptor, name, f"{path}/{name}", depth)

    def _add(self, folder: int, name: str, path: str, depth: int) -> None:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            with opened_inner(name, folder) as inner:
                self.add_folder(inner, path, depth + 1)
        elif stat.S_ISREG(mode):
            self._add_file(open_file(name, folder), path)
        elif stat.S_ISLNK(mode):
            target = os.readlink(name, dir_fd=folder)
            if not is_inside(path, target):
                raise Unpackable(f"{path[:200]} is a link out of the repository")
            self._begin(LINK, path, os.stat(name, dir_fd=folder, follow_symlinks=False), os.fsencode(target))
        # Sockets and pipes are of no use elsewhere.

    def _add_file(self, descriptor: int, path: str) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            self.count.add(self._limits, status.st_size)
            self._check(path, status)
            _write_record(self._packed, FILE, path, stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns)
            left = status.st_size
            while left:
                check_deadline(self._limits.deadline)
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise Unpackable(f"{path[:200]} changed while it was read")
                self._packed.write(chunk)
                left -= len(chunk)

    def _begin(self, kind: bytes, path: str, status: os.stat_result, content: bytes = b"") -> None:
        self.count.add(self._limits)
        self._check(path, status)
        _write_record(self._packed, kind, path, stat.S_IMODE(status.st_mode), len(content), status.st_mtime_ns)
        self._packed.write(content)


def _write_record(packed: gzip.GzipFile, kind: bytes, path: str, mode: int, size: int, mtime: int) -> None:
    name = os.fsencode(path)
    if len(name) > MAX_PATH_BYTES:
        raise Unpackable(f"{path[:200]} has too long a path")
    packed.write(RECORD.pack(kind, mode & 0o777, len(name), size, mtime) + name)


def is_inside(path: str, target: str) -> bool:
    """Whether a link at this path below the root leads, by its words, to a place below the root."""
    if target.startswith("/") or len(os.fsencode(target)) > MAX_PATH_BYTES:
        return False
    real = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return real != ".." and not real.startswith("../")


def unpack(file: BinaryIO, root: Path, folders: Sequence[PurePosixPath], limits: Limits) -> Count:
    """Makes the folders below `root`, where they are missing, and nothing else.

    Raises BadArchive for anything that `pack` does not write, Unpackable beyond a limit, OSError and TimeoutError. What
    was written until then remains.
    """
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            if packed.read(len(MAGIC)) != MAGIC:
                raise BadArchive("It does not begin as an archive does.")
            with opened_folder(root, PurePosixPath()) as descriptor:
                return _Unpacker(packed, descriptor, frozenset(map(str, folders)), limits).run()
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise BadArchive(f"It can't be read: {error}") from error


class _Unpacker:
    """Every folder on the way to an entry was made here before, so no path follows a link."""

    def __init__(self, packed: gzip.GzipFile, root: int, allowed: frozenset[str], limits: Limits) -> None:
        self._packed = packed
        self._root = root
        self._allowed = allowed
        self._limits = limits
        self._count = Count()
        self._made: dict[str, tuple[int, int]] = {}

    def run(self) -> Count:
        for kind, path, mode, size, mtime in self._records():
            self._check_path(path)
            self._count.add(self._limits, size if kind == FILE else None)
            if kind == FOLDER:
                self._make_folder(path)
                self._made[path] = (mode, mtime)
            elif kind == LINK:
                self._make_link(path, size)
            else:
                self._write_file(path, mode, size, mtime)
        # Last, and the innermost first: writing into a folder changes its time, and its mode may forbid that.
        for path, (mode, mtime) in reversed(self._made.items()):
            os.chmod(path, mode, dir_fd=self._root)
            os.utime(path, ns=(mtime, mtime), dir_fd=self._root)
        return self._count

    def _records(self) -> Iterator[tuple[bytes, str, int, int, int]]:
        while True:
            kind, mode, length, size, mtime = RECORD.unpack(self._read(RECORD.size))
            if kind == END:
                if size != self._count.entries or self._packed.read(1):
                    raise BadArchive("It does not end as an archive does.")
                return
            if kind not in (FILE, FOLDER, LINK) or length > MAX_PATH_BYTES or mode > 0o777:
                raise BadArchive("It holds a record of an unknown kind.")
            yield kind, os.fsdecode(self._read(length)), mode, size, mtime

    def _check_path(self, path: str) -> None:
        parts = path.split("/")
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise BadArchive(f"It holds the path {path[:200]!a}.")
        if path not in self._allowed and posixpath.dirname(path) not in self._made:
            raise BadArchive(f"It holds {path[:200]!a}, which is outside of the saved folders.")

    def _make_folder(self, path: str) -> None:
        above = posixpath.dirname(path)
        if path in self._allowed and above and not os.access(above, os.F_OK, dir_fd=self._root, follow_symlinks=False):
            os.mkdir(above, 0o755, dir_fd=self._root)
        os.mkdir(path, 0o700, dir_fd=self._root)

    def _make_link(self, path: str, size: int) -> None:
        if size > MAX_PATH_BYTES:
            raise BadArchive("It holds a link whose target is too long.")
        target = os.fsdecode(self._read(size))
        if "\0" in target or not is_inside(path, target):
            raise BadArchive(f"It holds the link {path[:200]!a}, which leads out of the repository.")
        os.symlink(target, path, dir_fd=self._root)

    def _write_file(self, path: str, mode: int, size: int, mtime: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600, dir_fd=self._root)
        try:
            while size:
                chunk = self._read(min(size, CHUNK_BYTES))
                while chunk:
                    written = os.write(descriptor, chunk)
                    size -= written
                    chunk = chunk[written:]
            os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=(mtime, mtime))
        finally:
            os.close(descriptor)

    def _read(self, size: int) -> bytes:
        found = self._packed.read(size)
        if len(found) != size:
            raise BadArchive("It ends too early.")
        return found
