"""Keeps small files that were requested recently in memory."""

from __future__ import annotations

import asyncio
import uuid

from gateway.errors import Unavailable
from gateway.models.object_keys import blob_key
from gateway.models.release import Blob
from gateway.roles import ObjectStore
from gateway.sites.flights import Flights
from gateway.sites.lru import LeastRecentlyUsed

MAX_BLOB_BYTES = 256 * 1024
MAX_BLOBS = 500_000
ENTRY_BYTES = 400
"""The memory that an entry takes besides its bytes."""
READ_SECONDS = 20.0

Key = tuple[uuid.UUID, str]


class BlobCache:
    """Entries belong to a project, so that response times do not reveal which files another project has."""

    def __init__(self, objects: ObjectStore, max_bytes: int) -> None:
        self._objects = objects
        self._kept: LeastRecentlyUsed[Key, bytes] = LeastRecentlyUsed(MAX_BLOBS, max_bytes)
        self._flights: Flights[Key, bytes] = Flights()

    async def get(self, project_id: uuid.UUID, blob: Blob) -> bytes:
        """The whole blob, of at most MAX_BLOB_BYTES. Raises NotFound and Unavailable."""
        key = (project_id, blob.sha256)
        body = self._kept.get(key)
        if body is None:
            body = await self._flights.share(key, lambda: self._read(project_id, blob))
        return body

    async def _read(self, project_id: uuid.UUID, blob: Blob) -> bytes:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(READ_SECONDS),
                self._objects.open(blob_key(project_id, blob.sha256)) as reader,
            ):
                async for chunk in reader.chunks():
                    body += chunk
                    if len(body) > blob.size:
                        break
        except TimeoutError as error:
            raise Unavailable("The store does not answer.") from error
        if len(body) != blob.size:
            raise Unavailable(f"The blob {blob.sha256} has {len(body)} bytes or more, not {blob.size}.")
        whole = bytes(body)
        self._kept.put((project_id, blob.sha256), whole, len(whole) + ENTRY_BYTES)
        return whole
