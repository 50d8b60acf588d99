"""Packages of npm and PyPI, unpacked, in a folder that the builders of a machine share: each is fetched once.

A package lies in `<name>@<version>/`, beside `<name>@<version>.lock`: a builder that uses it holds a shared lock until
it ends; to fetch or to remove a package, a builder needs the lock for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import shutil
import stat
import tarfile
import time
import zipfile
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol

from builder.registry import Unfetched

RECORD = "entry.json"
CONTENT = "package"
PARTIAL = ".partial"
MAX_FILES = 20_000
MAX_BYTES = 1024**3
HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")
LIST_SECONDS = 12 * 3600.0
"""How long a list of versions is used before it is asked for again."""
LOOK_SECONDS = 0.1
CHUNK_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """`hashes`: those of the package as it was downloaded, in hex, by the name of the algorithm."""

    folder: Path
    hashes: dict[str, str]

    def programs(self) -> dict[str, Path]:
        """The package's programs by name, as its package.json names them."""
        found = json.loads((self.folder / "package.json").read_text())
        named = found.get("bin")
        listed = named.items() if isinstance(named, dict) else [(str(found.get("name")), named)] if named else []
        return {str(name): self.folder / PurePosixPath(str(path)) for name, path in listed}


@dataclasses.dataclass(frozen=True, slots=True)
class Programs:
    """Of a tool. `programs` are to be linked into a folder of PATH."""

    version: str
    programs: Mapping[str, Path]
    read_only: tuple[Path, ...]
    notes: tuple[str, ...] = ()


class Source(Protocol):
    """A registry. `prefix`: of its packages' folders, where names of two registries could be the same."""

    name: str
    prefix: str

    async def list_versions(self, name: str) -> list[str]: ...

    async def download(self, name: str, version: str, folder: Path) -> Path:
        """The package as one file, whose hash is right."""


class Packages:
    """`limit_bytes`: what is used least recently is removed beyond this. What a running builder uses stays.

    Without `registry`, only what is in the folder already can be taken. `say` writes a line for each download.
    """

    def __init__(
        self, folder: Path, limit_bytes: int, say: Callable[[str], Awaitable[None]], registry: Source | None = None
    ) -> None:
        self.registry = registry
        self._say = say
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._locks = contextlib.ExitStack()

    def close(self) -> None:
        """Others may remove what this builder has used."""
        self._locks.close()

    async def take(self, name: str, version: str, keep: Callable[[str], bool] = lambda _: True) -> Entry:
        """A package that stays until `close`. `keep`: which of its files are needed. Raises Unfetched."""
        key = f"{self._prefix}{name.replace('/', '+')}@{version}"
        try:
            return await self._take(key, name, version, keep)
        except (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise Unfetched(f"{name}@{version} can't be unpacked into {self._folder}: {error}.") from error

    async def list_versions(self, name: str) -> list[str]:
        """All versions, by a list that may be some hours old, and older while the registry is away."""
        file = self._folder / "versions" / f"{self._prefix}{name.replace('/', '+')}.json"
        known = await asyncio.to_thread(_read_list, file)
        if known and time.time() - file.stat().st_mtime < LIST_SECONDS:
            return known
        try:
            versions = await self._reach().list_versions(name)
        except Unfetched:
            if known:
                return known
            raise
        await asyncio.to_thread(_write_whole, file, json.dumps(versions))
        return versions

    @property
    def _prefix(self) -> str:
        return self.registry.prefix if self.registry is not None else ""

    def _reach(self) -> Source:
        if self.registry is None:
            raise Unfetched("This machine has no npm that could ask the npm registry.")
        return self.registry

    async def _take(self, key: str, name: str, version: str, keep: Callable[[str], bool]) -> Entry:
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = os.open(self._folder / f"{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._locks.callback(os.close, lock)
        while True:
            if _try_lock(lock, fcntl.LOCK_SH):
                entry = await asyncio.to_thread(_read_entry, self._folder / key)
                if entry is not None:
                    return entry
            if _try_lock(lock, fcntl.LOCK_EX):
                # Another builder may have fetched it in between.
                if await asyncio.to_thread(_read_entry, self._folder / key) is None:
                    await self._fetch(key, name, version, keep)
            else:
                # Another builder fetches it, or looks whether it is there. A thread that waits can't be canceled.
                await asyncio.sleep(LOOK_SECONDS)

    async def _fetch(self, key: str, name: str, version: str, keep: Callable[[str], bool]) -> None:
        partial = self._folder / f"{key}{PARTIAL}"
        registry = self._reach()
        await self._say(f"Fetching {name}@{version} from {registry.name}")
        await asyncio.to_thread(_remove, partial, self._folder / key)
        partial.mkdir(mode=0o755)
        try:
            tarball = await registry.download(name, version, partial)
            await asyncio.to_thread(_unpack_entry, tarball, partial, keep)
            os.rename(partial, self._folder / key)
        finally:
            await asyncio.to_thread(_remove, partial)
        await asyncio.to_thread(self._remove_surplus)

    def _remove_surplus(self) -> None:
        """Also what a builder that was killed has left unfinished."""
        entries = sorted(self._entries(), key=lambda each: each[1])
        surplus = sum(size for _, _, size in entries) - self._limit_bytes
        for path, _, size in entries:
            is_partial = path.name.endswith(PARTIAL)
            if (is_partial or surplus > 0) and self._remove_unused(path) and not is_partial:
                surplus -= size

    def _entries(self) -> Iterator[tuple[Path, float, int]]:
        """Each folder with the time of its last use, and its bytes."""
        for path in self._folder.iterdir():
            if "@" in path.name[1:] and path.is_dir():
                record = path / RECORD
                size = _read_record(record).get("bytes", 0)
                with contextlib.suppress(FileNotFoundError):
                    yield path, (record if record.exists() else path).stat().st_mtime, size

    def _remove_unused(self, path: Path) -> bool:
        key = path.name.removesuffix(PARTIAL)
        with open(self._folder / f"{key}.lock", "a") as lock:
            if not _try_lock(lock.fileno(), fcntl.LOCK_EX):
                return False
            _remove(path)
            return True


def _try_lock(lock: int, kind: int) -> bool:
    """A lock of the other kind on the same descriptor is given up first, even if this fails."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_entry(folder: Path) -> Entry | None:
    """None if it is missing, or torn: every file must have the size that it had when it was unpacked."""
    record = _read_record(folder / RECORD)
    files = record.get("files")
    if not files:
        return None
    try:
        if any((folder / CONTENT / path).stat().st_size != size for path, size in files.items()):
            return None
        os.utime(folder / RECORD)
    except OSError:
        return None
    return Entry(folder / CONTENT, record["hashes"])


def _read_record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _unpack_entry(tarball: Path, folder: Path, keep: Callable[[str], bool]) -> None:
    files = unpack(tarball, folder / CONTENT, keep)
    if not files:
        raise tarfile.TarError("it holds none of the files that are needed")
    hashes = hash_file(tarball, HASHES)
    tarball.unlink()
    record = {"files": files, "bytes": sum(files.values()), "hashes": hashes}
    _write_whole(folder / RECORD, json.dumps(record))


def unpack(package: Path, target: Path, keep: Callable[[str], bool]) -> dict[str, int]:
    """The files that were written, with their sizes. Links are left out, as npm does.

    Raises TarError, BadZipFile, OSError.
    """
    files: dict[str, int] = {}
    total = 0
    for member in _read_wheel(package) if package.suffix == ".whl" else _read_tarball(package):
        parts = PurePosixPath(member.path).parts
        if not parts or not keep(member.path):
            continue
        if ".." in parts or member.path.startswith("/"):
            raise tarfile.TarError(f"the path {member.path[:100]!r} leads out of the package")
        files[member.path] = member.size
        total += member.size
        if len(files) > MAX_FILES or total > MAX_BYTES:
            raise tarfile.TarError("it is larger than any tool for building")
        _write_member(member, target / member.path)
    return files


@dataclasses.dataclass(frozen=True, slots=True)
class _Member:
    """A regular file in a package."""

    path: str
    size: int
    is_program: bool
    opened: Callable[[], IO[bytes] | None]


def _read_tarball(package: Path) -> Iterator[_Member]:
    """Without the folder that npm puts around a package."""
    with tarfile.open(package, "r:gz") as archive:
        for member in archive:
            path = "/".join(PurePosixPath(member.name).parts[1:])
            if member.isreg():
                is_absolute = member.name.startswith("/")
                opened = functools.partial(archive.extractfile, member)
                yield _Member(f"/{path}" if is_absolute else path, member.size, bool(member.mode & 0o111), opened)


def _read_wheel(package: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(package) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if not member.is_dir() and not stat.S_ISLNK(mode):
                opened = functools.partial(archive.open, member)
                yield _Member(member.filename, member.file_size, bool(mode & 0o111), opened)


def _write_member(member: _Member, path: Path) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    source = member.opened()
    assert source is not None  # noqa: S101 - a regular file has a content
    # zipfile and tarfile end a member at its declared size, which was counted.
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
    path.chmod(0o755 if member.is_program else 0o644)


def hash_file(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    found = {name: hashlib.new(name) for name in names}
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            for each in found.values():
                each.update(chunk)
    return {name: each.hexdigest() for name, each in found.items()}


def _read_list(path: Path) -> list[str]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return [version for version in found if isinstance(version, str)] if isinstance(found, list) else []


def _write_whole(path: Path, text: str) -> None:
    """Readers see the old content or the new one."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    os.replace(new, path)


def _remove(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
