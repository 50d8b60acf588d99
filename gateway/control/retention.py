"""Retention: which logs, releases and blobs are deleted. After an interrupted sweep the next one continues."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from builder.protocol.calls import Manifest
from gateway import config
from gateway.background import wait_until
from gateway.control.deletion import delete_objects
from gateway.engines.postgres.database import Held
from gateway.errors import Conflict, GatewayError, NotFound, Unavailable
from gateway.models.object_keys import blob_key, blobs_prefix, cache_key, caches_prefix, release_key, releases_prefix
from gateway.models.release import Release
from gateway.roles import LogStore, ObjectStore
from gateway.sites.release_format import decode_release
from gateway.stores.deployments import DeploymentStore
from gateway.stores.releases import ReleaseStore
from gateway.stores.sweeps import SweepStore

log = logging.getLogger(__name__)

FIRST_SECONDS = 60.0
AGAIN_SECONDS = 60.0
"""A sweep that failed runs again after this long, or as soon as another trouble is over."""
SWEEP_SECONDS = 3600.0
ALL_PROJECTS_SECONDS = 24 * 3600.0
"""How often projects without an old release are swept as well, because failed builds also leave blobs."""
SILENT_SECONDS = 600.0
"""After this long without progress, another gateway continues the sweep of all projects."""
PROJECTS_AT_ONCE = 20
YOUNG = datetime.timedelta(hours=1)
"""Objects written this recently are never deleted."""


class Sweeper:
    """Keeps what is live, retained, recently replaced or pending. Deletes other releases, and unused blobs.

    Gateways share the work: one of them retires each release, and one sweeps all projects. The database's clock counts,
    so a gateway whose own clock is fast deletes nothing early.
    """

    def __init__(
        self,
        deployments: DeploymentStore,
        releases: ReleaseStore,
        objects: ObjectStore,
        logs: LogStore,
        sweeps: SweepStore,
        retention: config.Retention,
        caches: Callable[[uuid.UUID], Awaitable[set[str]]],
        *,
        first_seconds: float = FIRST_SECONDS,
        now: Callable[[], Awaitable[datetime.datetime]] | None = None,
    ) -> None:
        self._deployments = deployments
        self._releases = releases
        self._objects = objects
        self._logs = logs
        self._sweeps = sweeps
        self._retention = retention
        self._caches = caches
        self._wait_seconds = first_seconds
        self._now = now or deployments.now

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Sweep shortly after the start, then each hour, until stopped. A run after an error sweeps immediately."""
        while not await wait_until(stopping, self._wait_seconds):
            self._wait_seconds = 0.0
            await self.sweep(stopping)
            progress()
            self._wait_seconds = SWEEP_SECONDS

    async def sweep(self, stopping: asyncio.Event | None = None) -> None:
        """Sweep logs, releases and blobs once. After all the rest, raises the first error of those that failed."""
        stopping = stopping or asyncio.Event()
        troubles: list[GatewayError] = []
        await _noting(troubles, self._drop_logs())
        await self._tidy_objects()
        await self._sweep_projects(await self._retire_releases(), stopping, troubles)
        if await self._sweeps.begin(ALL_PROJECTS_SECONDS, SILENT_SECONDS):
            await self._sweep_all_projects(stopping, troubles)
        if troubles:
            raise troubles[0]

    async def _sweep_all_projects(self, stopping: asyncio.Event, troubles: list[GatewayError]) -> None:
        while projects := await self._sweeps.projects(PROJECTS_AT_ONCE):
            await self._sweep_projects(projects, stopping, troubles)
            if stopping.is_set():
                return
            await self._sweeps.advance(projects[-1])
        await self._sweeps.end()

    async def _sweep_projects(
        self, projects: Iterable[uuid.UUID], stopping: asyncio.Event, troubles: list[GatewayError]
    ) -> None:
        for project_id in projects:
            if stopping.is_set():
                return
            try:
                await self.sweep_project(project_id)
            except GatewayError as error:
                troubles.append(error)
                await self._objects.check()  # if the store is away, the other projects would fail as well

    async def sweep_project(self, project_id: uuid.UUID) -> None:
        """Delete the objects of retired releases, then the blobs and saved installations that nothing refers to.

        If a release that must stay can't be read, this raises and deletes no blob. If the store holds a release that
        the database does not know, it deletes nothing at all.
        """
        async with self._releases.project_lock(project_id) as lock:
            await self._refuse_unknown_releases(project_id)
            kept = await self._releases.kept_releases(project_id)
            releases = {release_key(project_id, deployment_id) for deployment_id in kept}
            await self._delete_others(releases_prefix(project_id), releases, lock)
            marked = await self._marked_blobs(project_id, releases)
            await self._delete_others(blobs_prefix(project_id), marked, lock)
            saved = {cache_key(project_id, sha256) for sha256 in await self._caches(project_id)}
            await self._delete_others(caches_prefix(project_id), saved, lock)

    async def _refuse_unknown_releases(self, project_id: uuid.UUID) -> None:
        """Raises if a release belongs to another database: its blobs would look unused to this one."""
        prefix = releases_prefix(project_id)
        found: set[uuid.UUID] = set()
        async for info in self._objects.list(prefix):
            with contextlib.suppress(ValueError):
                found.add(uuid.UUID(info.key.removeprefix(prefix)))
        if strangers := found - await self._deployments.known(found):
            log.warning("project not swept %s: unknown releases %d", project_id, len(strangers))
            raise Unavailable(
                f"{len(strangers)} releases of the project {project_id} are not known to this database, so nothing"
                " of it is swept: another database is in use with the same objects, or this one is an older backup."
            )

    async def _drop_logs(self) -> None:
        day = (await self._now()).astimezone(datetime.UTC).date() - datetime.timedelta(days=self._retention.log_days)
        dropped = await self._logs.drop_before(day)
        log.info("dropped logs before %s partitions %d", day, dropped)

    async def _tidy_objects(self) -> None:
        try:
            if tidied := await self._objects.tidy():
                log.info("removed unfinished uploads %d", tidied)
        except GatewayError as error:  # where keys may not be listed, a lifecycle rule of the bucket does this
            log.warning("unfinished uploads were not looked for: %s", error)

    async def _retire_releases(self) -> set[uuid.UUID]:
        """The database forgets releases before their objects are deleted, so that none of them can be made live."""
        projects: set[uuid.UUID] = set()
        keep, days = self._retention.releases, self._retention.replaced_days
        while old := await self._releases.releases_to_sweep(keep, days):
            retired = {row.project_id for row in old if await self._retire(row.id)}
            if not retired:
                break
            projects |= retired
        return projects

    async def _retire(self, deployment_id: uuid.UUID) -> bool:
        try:
            await self._releases.mark_swept(deployment_id)
        except (Conflict, NotFound):  # it went live again
            return False
        return True

    async def _marked_blobs(self, project_id: uuid.UUID, releases: Iterable[str]) -> set[str]:
        """The keys of all blobs that a release or a running build refers to."""
        hashes: set[str] = set()
        for key in releases:
            hashes |= _hashes_of(await self._read_release(key))
        for body in await self._releases.pending_manifests(project_id):
            manifest = await asyncio.to_thread(Manifest.from_json, body)
            hashes |= {file.sha256 for file in manifest.files}
        return {blob_key(project_id, sha256) for sha256 in hashes}

    async def _read_release(self, key: str) -> Release:
        try:
            async with self._objects.open(key) as reader:
                body = b"".join([piece async for piece in reader.chunks()])
            return await asyncio.to_thread(decode_release, body)
        except (NotFound, ValueError) as error:
            log.exception("release unreadable, its project is not swept: %s", key)
            raise Unavailable(f"The release {key} can't be read, so its project is not swept.") from error

    async def _delete_others(self, prefix: str, kept: set[str], lock: Held) -> None:
        """Delete the objects under the prefix that are neither kept nor young."""
        doomed = [key async for key in self._old_others(prefix, kept)]
        # After a lost lock, a publication may be using a blob again that was unused a moment ago.
        await delete_objects(self._objects, doomed, lock)
        if doomed:
            log.info("swept %d objects under %s", len(doomed), prefix)

    async def _old_others(self, prefix: str, kept: set[str]) -> AsyncIterator[str]:
        old = await self._now() - YOUNG
        async for info in self._objects.list(prefix):
            if info.key not in kept and info.modified_at < old:
                yield info.key


async def _noting(troubles: list[GatewayError], work: Awaitable[None]) -> None:
    try:
        await work
    except GatewayError as error:
        troubles.append(error)


def _hashes_of(release: Release) -> set[str]:
    files = release.files.values()
    return {file.blob.sha256 for file in files} | {blob.sha256 for file in files for blob in file.encodings.values()}
