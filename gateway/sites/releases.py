"""Keeps decoded releases that were read recently. A release never changes, so none is out of date."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable

from gateway.errors import Unavailable
from gateway.models.object_keys import release_key
from gateway.models.release import Release
from gateway.roles import ObjectStore
from gateway.sites.flights import Flights
from gateway.sites.lru import LeastRecentlyUsed
from gateway.sites.release_format import UnknownFeatures, decode_release

READ_SECONDS = 30.0
MAX_RELEASES = 5_000
MAX_BYTES = 128 * 1024 * 1024
MAX_ENCODED_BYTES = 256 * 1024 * 1024
FILE_BYTES = 350
"""The memory that a file of a decoded release takes besides its path."""
RELEASE_BYTES = 2_000
REFUSED_SECONDS = 600.0
"""How long `/ready` names a release that this gateway cannot serve, after the last request for it."""


class Releases:
    def __init__(
        self, objects: ObjectStore, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._kept: LeastRecentlyUsed[uuid.UUID, Release] = LeastRecentlyUsed(MAX_RELEASES, max_bytes)
        self._flights: Flights[uuid.UUID, Release] = Flights()
        # A release never changes, and neither do the features of this process.
        self._refused: LeastRecentlyUsed[uuid.UUID, str] = LeastRecentlyUsed(MAX_RELEASES)
        self._last_refusal = ("", float("-inf"))

    async def check(self) -> None:
        """Raises Unavailable, with the sentence for `/ready`, while requests ask for a release that can't be served."""
        sentence, refused_at = self._last_refusal
        if self._clock() - refused_at < REFUSED_SECONDS:
            raise Unavailable(sentence)

    async def get(self, project_id: uuid.UUID, deployment_id: uuid.UUID) -> Release:
        """Raises NotFound if it is not stored, Unavailable if it can't be read now or belongs to another project."""
        if (sentence := self._refused.get(deployment_id)) is not None:
            raise self._refuse(sentence)
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
        except UnknownFeatures as error:
            self._refused.put(deployment_id, str(error))
            raise self._refuse(str(error)) from error
        except (ValueError, TimeoutError) as error:
            raise Unavailable("The release cannot be read.") from error
        if (release.project_id, release.deployment_id) != (project_id, deployment_id):
            raise Unavailable("Another release is stored under this one's name.")
        self._kept.put(deployment_id, release, _cost_of(release))
        return release

    def _refuse(self, sentence: str) -> Unavailable:
        self._last_refusal = (sentence, self._clock())
        return Unavailable(sentence)


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
