"""The doctor's examination of an object store: an object is written, read and deleted."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator

from gateway.errors import NotFound, Unavailable
from gateway.models.object_keys import doctor_key
from gateway.roles import ObjectStore


async def try_objects(objects: ObjectStore) -> str:
    """Uses a key of its own, because a gateway may be using the store. Raises Unavailable."""
    key, body = doctor_key(), secrets.token_bytes(64)
    await objects.put(key, _once(body), size=len(body))
    try:
        async with objects.open(key) as reader:
            read = b"".join([chunk async for chunk in reader.chunks()])
    finally:
        await objects.delete([key])
    if read != body:
        raise Unavailable("It did not return the bytes that were written: the store is damaged.")
    with contextlib.suppress(NotFound):
        async with objects.open(key):
            raise Unavailable("It still has an object that was deleted.")
    return "an object written, read, deleted."


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
