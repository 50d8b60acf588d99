"""Releases that were read lately, decoded. A release never changes, so none is ever out of date."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

from gateway.errors import Unavailable
from gateway.models import Release
from gateway.roles import ObjectStore
from gateway.sites.flights import Flights
from gateway.sites.keys import release_key
from gateway.sites.lru import LeastRecentlyUsed
from gateway.sites.release_format import decode_release

READ_SECONDS = 30.0
MAX_RELEASES = 5_000
MAX_BYTES = 128 * 1024 * 1024
MAX_ENCODED_BYTES = 256 * 1024 * 1024
FILE_BYTES = 350
"""What a file of a decoded release costs in memory, besides its path."""
RELEASE_BYTES = 2_000


class Releases:
    def __init__(self, objects: ObjectStore, max_bytes: int = MAX_BYTES) -> None:
        self._objects = objects
        self._kept: LeastRecentlyUsed[uuid.UUID, Release] = LeastRecentlyUsed(MAX_RELEASES, max_bytes)
        self._flights: Flights[uuid.UUID, Release] = Flights()

    async def get(self, project_id: uuid.UUID, deployment_id: uuid.UUID) -> Release:
        """Raises NotFound if it is not stored, Unavailable if it cannot be read now or is not of this project."""
        release = self._kept.get(deployment_id)
        if release is None:
            release = await self._flights.share(deployment_id, lambda: self._read(project_id, deployment_id))
        if release.project_id != project_id:
            raise Unavailable("The release belongs to another project.")
        return release

    async def _read(self, project_id: uuid.UUID, deployment_id: uuid.UUID) -> Release:
        try:
            async with asyncio.timeout(READ_SECONDS):
                async with self._objects.open(release_key(project_id, deployment_id)) as reader:
                    body = await _join(reader.chunks())
                release = await asyncio.to_thread(decode_release, body)
        except (ValueError, TimeoutError) as error:
            raise Unavailable("The release cannot be read.") from error
        if (release.project_id, release.deployment_id) != (project_id, deployment_id):
            raise Unavailable("Another release is stored under this one's name.")
        self._kept.put(deployment_id, release, _cost_of(release))
        return release


async def _join(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_ENCODED_BYTES:
            raise ValueError("The stored release is too large.")
    return bytes(body)


def _cost_of(release: Release) -> int:
    blobs = sum(1 + len(file.encodings) for file in release.files.values())
    return RELEASE_BYTES + blobs * FILE_BYTES + sum(map(len, release.files))
