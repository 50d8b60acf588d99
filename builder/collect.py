"""Collects the output of a build after its processes have ended: files within limits, links as copies of them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from builder.checkout import PAGES, check_deadline, open_file, opened_folder, opened_inner
from builder.errors import BuildFailed
from builder.leaks import NO_LEAKS, FileSearch, Leak, Leaks, explain_leak
from builder.links import Links, TooManyLinks
from builder.protocol.calls import ManifestFile

CHUNK_BYTES = 1024 * 1024
MAX_NOTES = 20
ENTRIES_PER_FILE = 2
HOLES_BYTES = 1024 * 1024
"""Holes of at least this size in a file get a line in the log: the published file has its full size."""
MAX_DEPTH = 100
MAX_PATH_BYTES = 1024
NOT_PUBLISHED = frozenset({".git", "node_modules"})
ERROR_PAGES = frozenset({"200.html", "404.html"})

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
# Takes linear time: no two branches begin alike, and no run of letters is tried twice.
_ENDINGS = re.compile(r"(?:\.(?:LICENSE|[A-Za-z0-9]{1,5}))+\Z")
_DIGEST = re.compile(r"(?:^|[.\-_/])[A-Za-z0-9]*(?=[A-Za-z0-9_-]{8}\Z)[a-z_-]*[A-Z0-9]")


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    files: int
    bytes: int
    file_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """`folder`: where the files are, relative to the repository. `notes`: lines for the log about unusual files."""

    folder: PurePosixPath
    files: tuple[ManifestFile, ...]
    notes: tuple[str, ...]
    leak: str = ""
    """Which file has a secret: it must not be published."""
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """By path, for files that are links: the file whose bytes they have."""

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def has_page(self) -> bool:
        return any(file.path.endswith(PAGES) for file in self.files)


def collect_output(
    root: Path, folder: PurePosixPath, limits: Limits, *, is_source: bool, deadline: float, leaks: Leaks = NO_LEAKS
) -> Output:
    """Every file below `folder` with its digest.

    `is_source`: the folder is the repository, of which only public files are taken. Raises BuildFailed if a limit is
    exceeded, and TimeoutError at the deadline (monotonic).
    """
    walk = _Walk(limits, is_source=is_source, deadline=deadline, leaks=leaks)
    with opened_folder(root, folder) as descriptor:
        walk.visit(descriptor, "", 0)
    walk.copy_links()
    files = tuple(sorted(walk.files, key=lambda file: file.path))
    return Output(folder, files, tuple(walk.all_notes()), walk.leak, walk.copies)


class _Walk:
    def __init__(self, limits: Limits, *, is_source: bool, deadline: float, leaks: Leaks) -> None:
        self.files: list[ManifestFile] = []
        self._limits = limits
        self._is_source = is_source
        self._deadline = deadline
        self._leaks = leaks
        self.leak = ""
        self.copies: dict[str, str] = {}
        self._folders: list[str] = []
        self._links: dict[str, str] = {}
        self._entries = 0
        self._notes: list[str] = []
        self._sparse: list[str] = []
        self._skipped = 0
        self._bytes = 0

    def visit(self, folder: int, prefix: str, depth: int) -> None:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in self._counted(entries))
        for name, mode in found:
            path = prefix + name
            if self._is_private(name):
                continue
            if _ODD.search(name) or len(os.fsencode(path)) > MAX_PATH_BYTES or depth > MAX_DEPTH:
                self._skip(path, "its name cannot be part of a URL")
            elif stat.S_ISDIR(mode):
                self._enter(folder, name, path, depth)
            elif stat.S_ISREG(mode):
                self._take(folder, name, path)
            elif stat.S_ISLNK(mode):
                self._links[path] = os.readlink(name, dir_fd=folder)
            else:
                self._skip(path, "it is not a regular file")

    def copy_links(self) -> None:
        """Adds a copy for each link to something that is published."""
        files = {file.path: file for file in self.files}
        links = Links(files, self._folders, self._links, self._limits.files)
        try:
            for path, real in links.copies():
                check_deadline(self._deadline)
                if len(os.fsencode(path)) > MAX_PATH_BYTES:
                    self._skip(path, "its name cannot be part of a URL")
                    continue
                self._count(path, files[real].size)
                self.files.append(ManifestFile(path, files[real].sha256, files[real].size))
                self.copies[path] = real
        except TooManyLinks as error:
            raise BuildFailed(f"The links in the output stand for more than {self._limits.files} files.") from error
        for path, why in links.left_out:
            self._skip(path, why)

    def _counted(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        """Counts entries that are no files too, because they cost memory and time."""
        most = ENTRIES_PER_FILE * self._limits.files
        for entry in entries:
            self._entries += 1
            if self._entries > most:
                raise BuildFailed(f"The output has more than {most} files, folders and links.")
            check_deadline(self._deadline)
            yield entry

    def all_notes(self) -> list[str]:
        more = self._skipped - len(self._notes)
        left_out = [f"{more} more were left out."] if more else []
        return [*self._notes, *left_out, *self._sparse]

    def _is_private(self, name: str) -> bool:
        if name == ".git":
            return True
        return self._is_source and (name in NOT_PUBLISHED or (name.startswith(".") and name != ".well-known"))

    def _enter(self, folder: int, name: str, path: str, depth: int) -> None:
        self._folders.append(path)
        with opened_inner(name, folder) as inner:
            self.visit(inner, f"{path}/", depth + 1)

    def _take(self, folder: int, name: str, path: str) -> None:
        descriptor = open_file(name, folder)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if status.st_nlink != 1:
                self._skip(path, "it has several hard links")
                return
            self._count(path, status.st_size)
            self._warn_of_holes(path, descriptor, status)
            digest, search = hashlib.sha256(), FileSearch(self._leaks)
            self._notice(path, self._leaks.in_path(path))
            size = 0
            while chunk := file.read(CHUNK_BYTES):
                check_deadline(self._deadline)
                digest.update(chunk)
                self._notice(path, search.feed(chunk))
                size += len(chunk)
        if size != status.st_size:
            raise BuildFailed(f"{path} changed while it was read.")
        self.files.append(ManifestFile(path, digest.hexdigest(), size))

    def _notice(self, path: str, leak: Leak | None) -> None:
        if leak is not None and not self.leak:
            self.leak = explain_leak(_printable(path), leak)

    def _count(self, path: str, size: int) -> None:
        if size > self._limits.file_bytes:
            raise BuildFailed(f"{path} has {size} bytes; a file of a site has at most {self._limits.file_bytes}.")
        if len(self.files) >= self._limits.files:
            raise BuildFailed(f"The output has more than {self._limits.files} files.")
        self._bytes += size
        if self._bytes > self._limits.bytes:
            raise BuildFailed(f"The output has more than {self._limits.bytes} bytes.")

    def _warn_of_holes(self, path: str, descriptor: int, status: os.stat_result) -> None:
        size, real = status.st_size, status.st_blocks * 512
        if size - real < HOLES_BYTES or len(self._sparse) == MAX_NOTES:
            return
        # A compressing file system also has fewer blocks, but no holes.
        if os.lseek(descriptor, 0, os.SEEK_HOLE) < size:
            odd = f"{_printable(path)} is sparse: it has {size} bytes and takes {real} on the disk here"
            self._sparse.append(f"Warning: {odd}. All {size} are published.")
        os.lseek(descriptor, 0, os.SEEK_SET)

    def _skip(self, path: str, why: str) -> None:
        self._skipped += 1
        if len(self._notes) < MAX_NOTES:
            self._notes.append(f"Left out {_printable(path)}: {why}.")


def _printable(path: str) -> str:
    return os.fsencode(path).decode(errors="replace").encode("unicode_escape").decode("ascii")[:200]


def read_file(root: Path, folder: PurePosixPath, path: str) -> Iterator[bytes]:
    """The bytes of a collected file, opened with the same care. Raises OSError if it is no longer a regular file."""
    whole = folder / path
    with opened_folder(root, whole.parent) as descriptor:
        inner = open_file(whole.name, descriptor)
    with os.fdopen(inner, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def is_single_page(files: Sequence[ManifestFile]) -> bool:
    """One page, at the root: it handles every path itself."""
    pages = {file.path for file in files if file.path.endswith(PAGES)}
    return pages - ERROR_PAGES == {"index.html"}


def keep_hashed(folders: Sequence[str], files: Sequence[ManifestFile]) -> tuple[str, ...]:
    """The folders in which every name contains a digest, so that browsers may cache their files for ever.

    Folders like `_next/` belong to the framework; a project may put files of its own into those like `assets/`.
    """
    kept = []
    for folder in folders:
        inside = [file.path.removeprefix(folder) for file in files if file.path.startswith(folder)]
        if inside and (folder.startswith("_") or all(bears_digest(path) for path in inside)):
            kept.append(folder)
    return tuple(kept)


def bears_digest(path: str) -> bool:
    """Whether its own name, or that of a folder above it, contains a digest."""
    *folders, name = path.split("/")
    return any(_DIGEST.search(part) for part in (*folders, _ENDINGS.sub("", name)))
