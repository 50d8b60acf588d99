"""Deletion: removes what deleted projects have stored. After an interruption the next round goes on."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence

from gateway.background import repeat
from gateway.engines.postgres.database import Held
from gateway.models.object_keys import blobs_prefix, caches_prefix, releases_prefix
from gateway.roles import LogStore, ObjectStore
from gateway.stores.deletions import DeletionStore
from gateway.stores.releases import ReleaseStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
AT_ONCE = 500


class Deleter:
    """First files and logs, then the rows, which are what tells that something is left to remove.

    Several gateways may work at the same time: removing twice is harmless.
    """

    def __init__(self, deletions: DeletionStore, releases: ReleaseStore, objects: ObjectStore, logs: LogStore) -> None:
        self._deletions = deletions
        self._releases = releases
        self._objects = objects
        self._logs = logs
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A project was deleted."""
        self._woken.set()

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        await repeat(self.work, self._woken, LOOK_SECONDS, stopping=stopping, progress=progress)

    async def work(self) -> None:
        """Remove all deleted projects whose builders have stopped. Raises Unavailable if an engine is away."""
        for project_id in await self._deletions.due():
            await self._remove(project_id)
            log.info("project removed %s", project_id)

    async def _remove(self, project_id: uuid.UUID) -> None:
        async with self._releases.project_lock(project_id) as lock:
            for prefix in (releases_prefix(project_id), blobs_prefix(project_id), caches_prefix(project_id)):
                await delete_objects(self._objects, [info.key async for info in self._objects.list(prefix)], lock)
        await self._logs.forget(await self._deletions.deployments(project_id))
        await self._deletions.finish(project_id)


async def delete_objects(objects: ObjectStore, keys: Sequence[str], lock: Held) -> None:
    """In portions, each of them only while the lock is held."""
    for start in range(0, len(keys), AT_ONCE):
        await lock.check()
        await objects.delete(keys[start : start + AT_ONCE])
