"""Keeps objects as plain files below one folder: whole or not at all, never outside of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import itertools
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from gateway.engines.directory.files import (
    ABSENT,
    INCOMING,
    TRIAL,
    check_key,
    delete_files,
    discard,
    info_of,
    is_file,
    is_key,
    make_held,
    move_into_place,
    open_file,
    prepare_folders,
    scan,
    try_folder,
)
from gateway.engines.object_examination import try_objects
from gateway.errors import Conflict, Invalid, NotFound, Unavailable
from gateway.roles import ObjectInfo, ignore

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

PIECE_BYTES = 256 * 1024
KEYS_AT_ONCE = 256
EXAMINED = "__doctor"


class DirectoryObjectStore:
    """Keys are paths: `a/b` and `a` cannot both be stored, the second raises Conflict. Links are never followed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_clean = False
        self._cleaning = asyncio.Lock()

    async def prepare(self) -> None:
        """Create the folder and remove what a crash left unfinished. `put` also does this, once."""
        async with self._cleaning:
            if not self._is_clean:
                await _in_thread(prepare_folders, self._root, INCOMING, words=_trouble)
                self._is_clean = True

    async def put(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        size: int,
        sha256: str | None = None,
        content_type: str = "",
    ) -> None:
        """Store exactly `size` bytes; readers see nothing or all. Invalid, Conflict and Unavailable store nothing."""
        check_key(key)
        await self.prepare()
        incoming = await _in_thread(_Incoming, self._root, on_cancel=_Incoming.close, words=_trouble)
        try:
            async for piece in _pieces(chunks):
                if incoming.size + len(piece) > size:
                    raise Invalid(f"There are more than the {size} bytes that were announced.")
                await _in_thread(incoming.write, piece, words=_trouble)
            incoming.check(size, sha256)
            await _in_thread(incoming.move_to, key, words=_refusal)
        finally:
            await _in_thread(incoming.close, words=_trouble)

    async def copy(self, source: str, target: str, *, size: int, content_type: str = "") -> None:
        """Store a copy of `source` under another key. A link would let a program that writes to one change both."""
        check_key(target)
        async with self.open(source) as reader:
            await self.put(target, reader.chunks(), size=size)

    @contextlib.asynccontextmanager
    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[DirectoryReader]:
        """Read `length` bytes from `start` (to the end by default)."""
        reader = await _in_thread(DirectoryReader, self._root, key, start, length, on_cancel=DirectoryReader.close)
        try:
            yield reader
        finally:
            await _in_thread(reader.close)

    async def exists(self, key: str) -> bool:
        return await _in_thread(is_file, self._root, key)

    async def list(self, prefix: str, pass_over: Callable[[str], None] = ignore) -> AsyncIterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no order. `pass_over` gets each file name that is no key."""
        folder = prefix.rpartition("/")[0]
        waiting = [folder] if not folder or is_key(folder) else []
        while waiting:
            objects, folders, strange = await _in_thread(scan, self._root, waiting.pop())
            for name in strange:
                pass_over(name)
            for found in objects:
                if found.key.startswith(prefix):
                    yield found
            waiting += [name for name in folders if name.startswith(prefix) or prefix.startswith(name + "/")]

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these keys. A key that is not stored is not an error."""
        waiting = iter(keys)
        while some := list(itertools.islice(waiting, KEYS_AT_ONCE)):
            await _in_thread(delete_files, self._root, some)

    async def tidy(self) -> int:
        """Does nothing: the next start removes what interrupted puts left."""
        return 0

    async def check(self) -> None:
        """Raises Unavailable, with the folder's name, if a file cannot be written, read and removed in it."""
        try:
            await self.prepare()
            await _in_thread(try_folder, self._root, TRIAL, words=_trouble)
        except Unavailable as error:
            raise Unavailable(f"{error.sentence} It is {self._root}.") from error

    async def examine(self) -> str:
        """Uses a folder of its own inside, because preparing this one would remove what a running gateway writes."""
        was_there = await asyncio.to_thread(self._root.exists)
        try:
            return f"a directory; {await try_objects(DirectoryObjectStore(self._root / EXAMINED))}"
        finally:
            await asyncio.to_thread(_clear, self._root, was_there)


class DirectoryReader:
    """An open file. Its calls block, so they run in a thread; only one of them runs at a time."""

    def __init__(self, root: Path, key: str, start: int, length: int | None) -> None:
        self._lock = threading.Lock()
        self._file, found = open_file(root, key)
        self.info = info_of(key, found)
        self._position = start
        self._end = found.st_size if length is None else min(found.st_size, start + length)
        # Most files are small, so the call that opens one also reads its first piece.
        self._first = self._read()

    async def chunks(self) -> AsyncIterator[bytes]:
        piece = self._first
        self._first = b""
        while piece:
            yield piece
            piece = await _in_thread(self._read) if self._position < self._end else b""

    def close(self) -> None:
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _read(self) -> bytes:
        with self._lock:
            wanted = min(PIECE_BYTES, self._end - self._position)
            if wanted <= 0 or self._file < 0:
                return b""
            piece = os.pread(self._file, wanted, self._position)
            self._position += len(piece)
            return piece


class _Incoming:
    """A file that is being written, under a temporary name until it is complete. Blocking, one call at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path, self._file = make_held(root, INCOMING)
        self._lock = threading.Lock()
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes) -> None:
        with self._lock:
            self._digest.update(piece)
            self.size += len(piece)
            view = memoryview(piece)
            while view and self._file >= 0:
                view = view[os.write(self._file, view) :]

    def check(self, size: int, sha256: str | None) -> None:
        if self.size != size:
            raise Invalid(f"{size} bytes were announced, {self.size} came.")
        if sha256 is not None and self._digest.hexdigest() != sha256:
            raise Invalid(f"The bytes have the sha256 {self._digest.hexdigest()}, not {sha256}.")

    def move_to(self, key: str) -> None:
        with self._lock:
            os.fsync(self._file)
            move_into_place(self._root, key, self._path)

    def close(self) -> None:
        """Removes the file unless it was moved."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                discard(self._root, f"{INCOMING}/{self._path.name}")


async def _in_thread(
    function: Callable[[*Arguments], T],
    *arguments: *Arguments,
    on_cancel: Callable[[T], None] | None = None,
    words: Callable[[OSError], Exception] | None = None,
) -> T:
    """Run in a thread to its end, so that a cancelled caller leaves no file open. Raises OSError in our words."""
    job = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        job.add_done_callback(functools.partial(_finish, on_cancel))
        raise
    except OSError as error:
        raise (words or _in_our_words)(error) from error


def _finish(on_cancel: Callable[[T], None] | None, job: asyncio.Future[T]) -> None:
    if not job.cancelled() and job.exception() is None and on_cancel is not None:
        on_cancel(job.result())


async def _pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces large enough for a call in a thread."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= PIECE_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _in_our_words(error: OSError) -> Exception:
    if error.errno in ABSENT:
        return NotFound("There is no such object.")
    return _trouble(error)


def _refusal(error: OSError) -> Exception:
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP):
        return Conflict("A key cannot be both an object and the folder of other objects.")
    return _trouble(error)


def _trouble(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Unavailable("The disk is full: the object was not stored.")
    return Unavailable(f"The folder of the objects cannot be used: {error.strerror}.")


def _clear(root: Path, was_there: bool) -> None:
    shutil.rmtree(root / EXAMINED, ignore_errors=True)
    if not was_there:
        with contextlib.suppress(OSError):  # it is in use by now
            root.rmdir()
