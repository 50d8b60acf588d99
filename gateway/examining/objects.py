"""What the doctor says of the object store: an object written, read and deleted."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.config import Config
from gateway.errors import NotFound, Unavailable
from gateway.roles import ObjectStore
from gateway.stores.blobs_directory import DirectoryObjectStore
from gateway.stores.blobs_s3 import open_s3
from gateway.stores.s3_words import name_of


async def examine_objects(config: Config) -> str:
    """In a place of its own beside what is stored: a gateway may be at work there."""
    if config.s3.bucket:
        async with open_s3(config.s3) as bucket:
            await bucket.check()
            return f"bucket '{config.s3.bucket}' of {name_of(config.s3)}; {await check_objects(bucket)}"
    root = config.data_directory / "objects"
    was_there = await asyncio.to_thread(root.exists)
    try:
        return f"a directory; {await check_objects(DirectoryObjectStore(root / '__doctor'))}"
    finally:
        await asyncio.to_thread(_clear, root, was_there)


async def check_objects(objects: ObjectStore) -> str:
    key, body = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    await objects.put(key, _once(body), size=len(body))
    try:
        async with objects.open(key) as reader:
            read = b"".join([chunk async for chunk in reader.chunks()])
    finally:
        await objects.delete([key])
    if read != body:
        raise Unavailable("It did not give back the bytes that were written: the store is damaged.")
    with contextlib.suppress(NotFound):
        async with objects.open(key):
            raise Unavailable("It still has an object that was deleted.")
    return "an object written, read, deleted."


def _clear(root: Path, was_there: bool) -> None:
    shutil.rmtree(root / "__doctor", ignore_errors=True)
    if not was_there:
        with contextlib.suppress(OSError):  # somebody has begun to use it
            root.rmdir()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
