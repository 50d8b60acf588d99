"""Mirroring: keeps a copy of each live site under `__outputs/{slug}/`, for other readers of the bucket.

If it is killed at any moment, the database still marks the mirror as incomplete, and the next run copies what differs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping

from gateway.background import each_of, wait_until
from gateway.engines.postgres.database import Held
from gateway.errors import GatewayError, NotFound, Unavailable
from gateway.models.object_keys import blob_key, blobs_prefix, output_key, outputs_prefix
from gateway.models.release import Release
from gateway.roles import ObjectInfo, ObjectStore
from gateway.sites.content_types import content_type_of
from gateway.sites.releases import Releases
from gateway.stores.mirrors import MirrorStore, MirrorTask

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
SLUGS_AT_ONCE = 100
FILES_AT_ONCE = 200
COPIES_AT_ONCE = 8
MAX_KEY_BYTES = 1024
REMEMBERED_BYTES = 16 * 1024 * 1024


class Mirror:
    """Several gateways may run this on the same stores: only one at a time writes a mirror."""

    def __init__(self, mirrors: MirrorStore, objects: ObjectStore, look_seconds: float = LOOK_SECONDS) -> None:
        self._mirrors = mirrors
        self._objects = objects
        self._releases = Releases(objects, REMEMBERED_BYTES)
        self._look_seconds = look_seconds

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Copy each site that goes live, until stopped."""
        while not stopping.is_set():
            await self.catch_up(stopping)
            progress()
            await wait_until(stopping, self._look_seconds)

    async def catch_up(self, stopping: asyncio.Event | None = None) -> None:
        """Bring every mirror up to date. After all others, raises the first error of those that failed."""
        stopping = stopping or asyncio.Event()
        trouble: GatewayError | None = None
        after = ""
        while slugs := await self._mirrors.outdated(after, SLUGS_AT_ONCE):
            for slug in slugs:
                if stopping.is_set():
                    return
                try:
                    await self._mirror(slug, stopping)
                except GatewayError as error:
                    log.warning("site not mirrored %s: %s", slug, error)
                    trouble = trouble or error
                    await self._objects.check()  # if the store is away, the other sites would fail as well
            after = slugs[-1]
        if trouble is not None:
            raise trouble

    async def _mirror(self, slug: str, stopping: asyncio.Event) -> None:
        async with self._mirrors.claim(slug) as held:
            task = await self._mirrors.begin(slug) if held is not None else None
            if held is None or task is None:
                return
            try:
                if await self._write(task, held, stopping):
                    await self._mirrors.finish(task)
            except NotFound as error:  # if another deployment went live meanwhile, this release may have been swept
                if await self._mirrors.begin(slug) == task:
                    raise Unavailable(f"A file of the live release of '{slug}' is not stored.") from error

    async def _write(self, task: MirrorTask, held: Held, stopping: asyncio.Event) -> bool:
        """Copy what differs, delete the rest. False if it was stopped before the end."""
        sources = _sources_of(task.slug, await self._releases.get(*task.live)) if task.live else {}
        stored = {info.key: info async for info in self._objects.list(outputs_prefix(task.slug))}
        others = stored.keys() - sources.keys()
        differing = await self._differing(task, sources, stored)

        async def copy(key: str) -> None:
            source, size = sources[key]
            await self._objects.copy(source, key, size=size, content_type=content_type_of(key))

        # Some stores can't hold a file beside a folder of the same name, so conflicting keys are deleted first.
        for keys, act in (
            (_in_the_way(others, sources), self._objects.delete),
            (differing, lambda some: each_of(some, copy, at_once=COPIES_AT_ONCE)),
            (sorted(others), self._objects.delete),
        ):
            for start in range(0, len(keys), FILES_AT_ONCE):
                await self._check_held(task, held)
                if stopping.is_set():
                    return False
                await act(keys[start : start + FILES_AT_ONCE])
        await self._check_held(task, held)
        deployment_id = task.live[1] if task.live else None
        log.info("mirrored %s deployment %s files %d copied %d", task.slug, deployment_id, len(sources), len(differing))
        return True

    async def _check_held(self, task: MirrorTask, held: Held) -> None:
        """If the lock is lost, another gateway may have written too: marks the mirror incomplete and raises."""
        try:
            await held.check()
        except Unavailable:
            await self._mirrors.doubt(task.slug)
            raise

    async def _differing(
        self, task: MirrorTask, sources: Mapping[str, tuple[str, int]], stored: Mapping[str, ObjectInfo]
    ) -> list[str]:
        """The keys to copy: those whose etag differs from the source's. Only equal etags prove equal bytes."""
        etags: dict[str, str] = {}
        if task.live and not stored.keys().isdisjoint(sources):
            blobs = self._objects.list(blobs_prefix(task.live[0]))
            etags = {info.key: info.etag async for info in blobs if info.etag}
        return [key for key in sources if key not in stored or stored[key].etag != etags.get(sources[key][0])]


def _sources_of(slug: str, release: Release) -> dict[str, tuple[str, int]]:
    """The blob's key and size for each key of the mirror. Pages come last, after the files that they refer to."""
    paths = sorted(release.files, key=lambda path: (path.endswith(".html"), path))
    blobs = {output_key(slug, path): release.files[path].blob for path in paths}
    # A path whose key would be too long is left out.
    return {
        key: (blob_key(release.project_id, blob.sha256), blob.size)
        for key, blob in blobs.items()
        if len(key.encode()) <= MAX_KEY_BYTES
    }


def _in_the_way(others: Collection[str], wanted: Collection[str]) -> list[str]:
    """The keys that block a wanted key: a file where a folder must be, or a key below what must be a file."""
    folders = {folder for key in wanted for folder in _folders_of(key)}
    return [key for key in others if key in folders or any(folder in wanted for folder in _folders_of(key))]


def _folders_of(key: str) -> list[str]:
    names = key.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]
