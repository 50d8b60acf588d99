"""What a build of the gateway's own account may do to its folders, and what the store makes of it.

The scenes are run under an ordinary account: nothing is closed to root.
"""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.errors import Unavailable

KEY = "__blobs/project/sha256"
CLOSED_TO_ITS_OWNER = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, 0, 0xFFFFFFFF) for tag in (1, 4, 32))
"""A default ACL (acl(5)): whatever is made in its folder has no rights at all."""


async def closed(folder: Path, path: str) -> None:
    """Each call to the store works, though its folder, one above, one below or the object is closed before it."""
    objects = DirectoryObjectStore(folder / "data" / "objects")
    await _put(objects)

    (folder / path).chmod(0)
    await _put(objects)
    (folder / path).chmod(0)
    assert await _get(objects) == b"hello"
    (folder / path).chmod(0)
    assert await objects.exists(KEY)
    (folder / path).chmod(0)
    assert [found.key async for found in objects.list("__blobs/")] == [KEY]
    (folder / path).chmod(0)
    await objects.check()
    (folder / path).chmod(0)
    await objects.delete([KEY])
    assert not await objects.exists(KEY)


async def closed_while_an_object_comes(folder: Path) -> None:
    objects = DirectoryObjectStore(folder / "objects")

    async def body() -> AsyncIterator[bytes]:
        yield b"hel"
        (folder / "objects" / ".incoming").chmod(0)
        (folder / "objects").chmod(0)
        yield b"lo"

    await objects.put(KEY, body(), size=5)
    assert await _get(objects) == b"hello"
    assert list((folder / "objects" / ".incoming").iterdir()) == []


async def closed_before_the_start(folder: Path) -> None:
    await _put(DirectoryObjectStore(folder / "objects"))
    (folder / "objects" / ".incoming").chmod(0)
    (folder / "objects").chmod(0)
    objects = DirectoryObjectStore(folder / "objects")
    assert await _get(objects) == b"hello"
    await objects.check()


async def closed_to_all_that_is_made(folder: Path) -> None:
    objects = DirectoryObjectStore(folder / "objects")
    await objects.prepare()
    os.setxattr(folder / "objects", "system.posix_acl_default", CLOSED_TO_ITS_OWNER)
    os.setxattr(folder / "objects" / ".incoming", "system.posix_acl_default", CLOSED_TO_ITS_OWNER)
    await _put(objects)
    assert await _get(objects) == b"hello"
    await objects.check()


async def in_the_way(folder: Path) -> None:
    """What no mode can mend is named, and is well again once it works."""
    objects = DirectoryObjectStore(folder / "objects")
    await objects.check()
    (folder / "objects" / ".trial").mkdir()
    with pytest.raises(Unavailable, match=str(folder / "objects")):
        await objects.check()
    (folder / "objects" / ".trial").rmdir()
    await objects.check()


async def _put(objects: DirectoryObjectStore) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"hello"

    await objects.put(KEY, body(), size=5)


async def _get(objects: DirectoryObjectStore) -> bytes:
    async with objects.open(KEY) as reader:
        return b"".join([piece async for piece in reader.chunks()])
