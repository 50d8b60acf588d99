"""The install caches of projects: saved by builds that were published, read by later ones, never by other projects."""

from __future__ import annotations

import contextlib
import datetime
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Iterable

from gateway.errors import Conflict, NotFound, TooLarge
from gateway.models.deployment import Deployment, Status
from gateway.models.object_keys import cache_key
from gateway.models.variable import PRODUCTION
from gateway.roles import ObjectReader, ObjectStore
from gateway.stores.install_caches import CacheEntry, InstallCacheStore

log = logging.getLogger(__name__)

SAVE_WITHIN = datetime.timedelta(minutes=10)
"""An attempt's token saves nothing later than this after its deployment has become READY."""
PROJECTS_SHARE = 4
"""A project may have this part of the whole: one fourth."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class InstallCaches:
    """`limit_bytes`: what is used least recently goes beyond this. 0: nothing is saved or read."""

    def __init__(
        self,
        entries: InstallCacheStore,
        objects: ObjectStore,
        limit_bytes: int,
        now: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self.entry_bytes = limit_bytes // PROJECTS_SHARE
        self._entries = entries
        self._objects = objects
        self._limit_bytes = limit_bytes
        self._now = now

    @contextlib.asynccontextmanager
    async def opened(self, project_id: uuid.UUID, key: str) -> AsyncIterator[tuple[CacheEntry, ObjectReader]]:
        """An entry and its bytes. Raises NotFound."""
        if not self._limit_bytes:
            raise NotFound("This installation has no install cache.")
        entry = await self._entries.use(project_id, key)
        async with self._objects.open(cache_key(project_id, entry.sha256)) as reader:
            yield entry, reader

    async def save(
        self,
        deployment: Deployment,
        attempt: int,
        context: str,
        key: str,
        entry: CacheEntry,
        chunks: AsyncIterator[bytes],
    ) -> None:
        """Raises Conflict unless this attempt has just made its deployment READY, in production, and TooLarge.

        The bytes are stored first: a crash after that leaves an object that the sweep removes, never a torn entry.
        """
        if not self._has_just_ended(deployment, attempt):
            raise Conflict("Only a build that has just become READY may save its installation.")
        if context != PRODUCTION:
            raise Conflict("Only a build of the project's own branch may save its installation; others read.")
        if entry.bytes > self.entry_bytes:
            raise TooLarge(f"The installation has {entry.bytes} bytes; the limit is {self.entry_bytes}.")
        await self._objects.put(
            cache_key(entry.project_id, entry.sha256), chunks, size=entry.bytes, sha256=entry.sha256
        )
        await self._entries.put(key, entry)
        log.info("install cache saved deployment %s attempt %d bytes %d", deployment.id, attempt, entry.bytes)
        await self._forget(await self._entries.evict(self.entry_bytes, self._limit_bytes))

    async def clear(self, project_id: uuid.UUID) -> list[CacheEntry]:
        """Forget all entries of a project. Returns them."""
        entries = await self._entries.clear(project_id)
        await self._forget(entries)
        return entries

    def _has_just_ended(self, deployment: Deployment, attempt: int) -> bool:
        if deployment.status is not Status.READY or deployment.attempt != attempt or deployment.completed_at is None:
            return False
        return self._now() - deployment.completed_at < SAVE_WITHIN

    async def _forget(self, entries: Iterable[CacheEntry]) -> None:
        """Two keys of a project may have the same bytes: then the other one becomes a miss, and is saved again."""
        await self._objects.delete([cache_key(entry.project_id, entry.sha256) for entry in entries])
