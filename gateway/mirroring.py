"""Mirroring: what is live stands under `__outputs/{slug}/` as well, for other readers of the bucket.

Killed at any moment it goes on where it was: see `gateway.stores.mirrors`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from gateway.background import wait_until
from gateway.errors import GatewayError, NotFound, Unavailable
from gateway.models import Release
from gateway.object_keys import blob_key, output_key, outputs_prefix
from gateway.roles import ObjectStore
from gateway.sites.content_types import content_type_of
from gateway.sites.releases import Releases
from gateway.stores.mirrors import MirrorRound, MirrorStore
from gateway.workers import each_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
SLUGS_AT_ONCE = 100
FILES_AT_ONCE = 200
COPIES_AT_ONCE = 8
DELETED_AT_ONCE = 500
MAX_KEY_BYTES = 1024
REMEMBERED_BYTES = 16 * 1024 * 1024


class Mirror:
    """Other gateways may do the same on the same stores: each mirror is written by one of them at a time."""

    def __init__(self, mirrors: MirrorStore, objects: ObjectStore, look_seconds: float = LOOK_SECONDS) -> None:
        self._mirrors = mirrors
        self._objects = objects
        self._releases = Releases(objects, REMEMBERED_BYTES)
        self._look_seconds = look_seconds

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Follow what goes live until stopped."""
        while not stopping.is_set():
            await self.catch_up(stopping)
            progress()
            await wait_until(stopping, self._look_seconds)

    async def catch_up(self, stopping: asyncio.Event | None = None) -> None:
        """Make every mirror what is live. What can't be raises at last, after all the others."""
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
                    await self._objects.check()  # when the store is away there is no need to try the others
            after = slugs[-1]
        if trouble is not None:
            raise trouble

    async def _mirror(self, slug: str, stopping: asyncio.Event) -> None:
        async with self._mirrors.claim(slug) as is_ours:
            begun = await self._mirrors.begin(slug) if is_ours else None
            if begun is None:
                return
            if begun.deployment_id is None:
                await self._remove_others(slug, set())
                await self._mirrors.forget(begun)
                log.info("mirror removed %s", slug)
                return
            try:
                release = await self._releases.get(begun.project_id, begun.deployment_id)
                await self._write(begun, release, stopping)
            except NotFound as error:
                if await self._mirrors.is_live(begun):
                    raise Unavailable(f"A file of the live release of '{slug}' is not stored.") from error

    async def _write(self, begun: MirrorRound, release: Release, stopping: asyncio.Event) -> None:
        paths = _in_order(begun.slug, release)
        if begun.copied == 0:
            await self._make_way(begun.slug, paths)
        for start in range(begun.copied, len(paths), FILES_AT_ONCE):
            some = paths[start : start + FILES_AT_ONCE]
            await self._copy(begun.slug, release, some)
            await self._mirrors.advance(begun, start + len(some))
            if stopping.is_set():
                return
        await self._remove_others(begun.slug, {output_key(begun.slug, path) for path in paths})
        await self._mirrors.advance(begun, len(paths), is_whole=True)
        left_out = len(release.files) - len(paths)
        log.info(
            "mirrored %s deployment %s files %d too long %d", begun.slug, begun.deployment_id, len(paths), left_out
        )

    async def _copy(self, slug: str, release: Release, paths: Sequence[str]) -> None:
        async def copy(path: str) -> None:
            blob = release.files[path].blob
            source, target = blob_key(release.project_id, blob.sha256), output_key(slug, path)
            await self._objects.copy(source, target, size=blob.size, content_type=content_type_of(path))

        await each_of(paths, copy, at_once=COPIES_AT_ONCE)

    async def _make_way(self, slug: str, paths: Sequence[str]) -> None:
        """Remove files where folders must be, and what is below of what must be a file: some stores can't have both."""
        files = {output_key(slug, path) for path in paths}
        folders = {folder for key in files for folder in _folders_of(key)}
        await self._delete(
            key async for key in self._stored(slug) if key in folders or not files.isdisjoint(_folders_of(key))
        )

    async def _remove_others(self, slug: str, kept: Collection[str]) -> None:
        await self._delete(key async for key in self._stored(slug) if key not in kept)

    async def _delete(self, keys: AsyncIterator[str]) -> None:
        doomed = [key async for key in keys]
        for start in range(0, len(doomed), DELETED_AT_ONCE):
            await self._objects.delete(doomed[start : start + DELETED_AT_ONCE])

    async def _stored(self, slug: str) -> AsyncIterator[str]:
        async for info in self._objects.list(outputs_prefix(slug)):
            yield info.key


def _in_order(slug: str, release: Release) -> list[str]:
    """Pages last: what they refer to is there before them. A path that makes too long a key has no place there."""
    paths = [path for path in release.files if len(output_key(slug, path).encode()) <= MAX_KEY_BYTES]
    return sorted(paths, key=lambda path: (path.endswith(".html"), path))


def _folders_of(key: str) -> list[str]:
    names = key.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]
