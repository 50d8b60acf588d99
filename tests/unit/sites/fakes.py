"""What the tests of the sites share: an object store, a database and releases that live in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.errors import NotFound, Unavailable
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from gateway.models.host import SitePointer
from gateway.models.object_keys import blob_key, release_key
from gateway.models.release import Blob, Release, ReleaseFile
from gateway.roles import ObjectInfo
from gateway.sites.release_format import encode_release

PUBLISHED = datetime.datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=datetime.UTC)
PUBLISHED_DATE = "Wed, 04 Mar 2026 05:06:07 GMT"
PROJECT = uuid.UUID("11111111-1111-4111-8111-111111111111")
DEPLOYMENT = uuid.UUID("22222222-2222-4222-8222-222222222222")
CHUNK_BYTES = 256 * 1024


def sha256_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def blob_of(body: bytes) -> Blob:
    return Blob(sha256_of(body), len(body))


def make_release(
    files: Mapping[str, bytes] | Iterable[str],
    *,
    project_id: uuid.UUID = PROJECT,
    deployment_id: uuid.UUID = DEPLOYMENT,
    encodings: Mapping[str, Mapping[str, bytes]] | None = None,
    **settings: Any,
) -> Release:
    """A release of these files; of mere paths each file holds its own path."""
    bodies = dict(files) if isinstance(files, Mapping) else {path: path.encode() for path in files}
    forms = {path: {name: blob_of(form) for name, form in found.items()} for path, found in (encodings or {}).items()}
    return Release(
        project_id=project_id,
        deployment_id=deployment_id,
        number=1,
        published_at=PUBLISHED,
        files={path: ReleaseFile(blob_of(body), forms.get(path, {})) for path, body in bodies.items()},
        **settings,
    )


class MemoryReader:
    def __init__(self, store: MemoryObjects, key: str, body: bytes, info: ObjectInfo) -> None:
        self._store = store
        self._key = key
        self._body = body
        self.info = info

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), CHUNK_BYTES):
            if self._store.breaks_after is not None and start >= self._store.breaks_after:
                raise Unavailable("The store went away.")
            self._store.chunks_read += 1
            yield self._body[start : start + CHUNK_BYTES]


class MemoryObjects:
    """An ObjectStore. `is_away`: every call raises Unavailable. `gate`: reads wait until it is set."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.opened: list[str] = []
        self.listed: list[str] = []
        self.chunks_read = 0
        self.open_now = 0
        self.is_away = False
        self.breaks_after: int | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def keep(self, release: Release, files: Mapping[str, bytes], *forms: bytes) -> Release:
        """Store a release and the bytes of its files."""
        self.bodies[release_key(release.project_id, release.deployment_id)] = encode_release(release)
        for body in (*files.values(), *forms):
            self.bodies[blob_key(release.project_id, sha256_of(body))] = body
        return release

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, size: int, sha256: str | None = None) -> None:
        self.bodies[key] = b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def open(self, key: str, start: int = 0, length: int | None = None) -> AsyncIterator[MemoryReader]:
        self.opened.append(key)
        await self.gate.wait()
        self._check()
        if key not in self.bodies:
            raise NotFound("There is no such object.")
        body = self.bodies[key]
        info = ObjectInfo(key, len(body), PUBLISHED, sha256_of(body)[:32])
        end = len(body) if length is None else start + length
        self.open_now += 1
        try:
            yield MemoryReader(self, key, body[start:end], info)
        finally:
            self.open_now -= 1

    async def exists(self, key: str) -> bool:
        self._check()
        return key in self.bodies

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        self.listed.append(prefix)
        self._check()
        for key, body in self.bodies.items():
            if key.startswith(prefix):
                yield ObjectInfo(key, len(body), PUBLISHED)

    async def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.bodies.pop(key, None)

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("The store is away.")


class MemoryHosts:
    """What the store of hosts finds, by label or by whole domain."""

    def __init__(self) -> None:
        self.sites: dict[str, SitePointer] = {}
        self.asked: list[str] = []
        self.is_away = False
        self.gate = asyncio.Event()
        self.gate.set()

    def publish(self, slug: str, release: Release) -> SitePointer:
        """Point the slug and the deployment's own host to the release."""
        pointer = SitePointer(release.project_id, slug, release.deployment_id, Status.READY)
        self.sites[slug] = pointer
        self.sites[deployment_label(slug, release.deployment_id)] = dataclasses.replace(pointer, is_preview=True)
        return pointer

    def await_release(self, slug: str, status: Status | None) -> SitePointer:
        """A project without a release whose newest deployment stands like this."""
        self.sites[slug] = SitePointer(PROJECT, slug, None, status)
        return self.sites[slug]

    async def find(self, name: str) -> SitePointer:
        self.asked.append(name)
        await self.gate.wait()
        if self.is_away:
            raise Unavailable("The database is away.")
        if name not in self.sites:
            raise NotFound("There is no such site.")
        return self.sites[name]


class Clock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
