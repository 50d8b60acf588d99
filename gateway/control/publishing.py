"""Publishing: manifest -> missing blobs -> release -> live.

If the gateway is killed at any moment, the site is the old one or the new one.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from builder.protocol.calls import Exit, Finish, Manifest, ManifestFile
from gateway import config
from gateway.background import each_of
from gateway.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from gateway.models import lifecycle
from gateway.models.actor import OWNER
from gateway.models.deployment import Deployment, Status
from gateway.models.object_keys import blob_key, release_key
from gateway.roles import ObjectStore
from gateway.sites.compile import compile_release
from gateway.sites.paths import check_file_path
from gateway.sites.release_format import check_blob, encode_release
from gateway.stores.attempts import AttemptStore
from gateway.stores.deployments import DeploymentStore
from gateway.stores.releases import ReleaseStore

log = logging.getLogger(__name__)

LOOKS_AT_ONCE = 16
REMEMBERED_MANIFESTS = 16
STORE_RELEASE_SECONDS = 120.0
MAX_NAME_BYTES = 255
MAX_FRAMEWORK = 100
MAX_HASHED_FOLDERS = 100
NO_REASON = "The build failed, and the builder did not say why."
NO_LOST_REASON = "The builder gave up."
VANISHED = "Files of the output were gone before they could be published."


class Publisher:
    """Receives the output of builds. Every call may be repeated; the repetition changes nothing."""

    def __init__(
        self,
        deployments: DeploymentStore,
        attempts: AttemptStore,
        releases: ReleaseStore,
        objects: ObjectStore,
        limits: config.Builder,
        on_finished: Callable[[], None] = lambda: None,
    ) -> None:
        self._deployments = deployments
        self._attempts = attempts
        self._releases = releases
        self._objects = objects
        self._limits = limits
        self._on_finished = on_finished
        self._sizes: collections.OrderedDict[tuple[uuid.UUID, int], Mapping[str, int]] = collections.OrderedDict()

    async def accept_manifest(self, deployment: Deployment, manifest: Manifest) -> list[str]:
        """Keep the announced output as pending. Returns the sha256 values whose bytes are not stored yet.

        Raises Invalid or TooLarge; nothing is kept then.
        """
        body = await asyncio.to_thread(_checked_body, manifest, self._limits)
        # Under the lock and before reading the store: a sweep either sees this manifest or has ended before it.
        async with self._releases.project_lock(deployment.project_id):
            await self._attempts.set_manifest(deployment.id, deployment.attempt, body)
        sizes = self._remember(deployment, manifest)
        return await self._missing(deployment.project_id, sizes)

    async def store_blob(self, deployment: Deployment, sha256: str, size: int, chunks: AsyncIterator[bytes]) -> None:
        """Store bytes that the manifest announced. Raises Invalid for others, and for a wrong hash or size."""
        announced = await self._announced_size(deployment, sha256)
        if announced is None:
            raise Invalid(f"The manifest announces no file with the sha256 {sha256[:64]}.")
        if size != announced:
            raise Invalid(f"The manifest announces {announced} bytes for {sha256}, not {size}.")
        await self._objects.put(blob_key(deployment.project_id, sha256), chunks, size=size, sha256=sha256)

    async def finish(self, deployment: Deployment, attempt: int, finish: Finish) -> None:
        """End the attempt as its builder reports. The call that ended it may be repeated; any other raises Conflict."""
        if _is_repeated(deployment, attempt, finish):
            return
        if finish.exit == Exit.OK:
            await self._publish(deployment, attempt, finish)
        elif finish.exit == Exit.FAILED:
            reason = finish.reason or NO_REASON
            await self._attempts.fail(
                deployment.id, attempt, reason, finish.step, finish.exit_code, finish.last_seq, finish.failure
            )
            log.info("failed deployment %s attempt %d: %s", deployment.id, attempt, reason)
        else:
            await self._lose(deployment, attempt, finish.reason or NO_LOST_REASON)
        self._sizes.pop((deployment.id, attempt), None)
        self._on_finished()

    async def _publish(self, deployment: Deployment, attempt: int, finish: Finish) -> None:
        async with self._releases.project_lock(deployment.project_id):
            now = await self._deployments.get(OWNER, deployment.id)
            if _is_repeated(now, attempt, finish):
                return  # an earlier call held the lock
            if not lifecycle.is_running(now, attempt):
                raise Conflict(f"Attempt {attempt} of deployment {deployment.id} has ended.")
            manifest = await self._pending(now)
            if await self._missing(now.project_id, _sizes_of(manifest)):
                await self._lose(now, attempt, VANISHED)
                return
            await self._store_release(now, manifest)
            total = sum(file.size for file in manifest.files)
            ready = await self._releases.publish(now.id, attempt, len(manifest.files), total, finish.last_seq)
            log.info("ready deployment %s attempt %d live %s", ready.id, attempt, ready.is_live)

    async def _store_release(self, deployment: Deployment, manifest: Manifest) -> None:
        """The object is written first: a crash after it leaves an unused object, never a pointer to a missing one."""
        published_at = datetime.datetime.now(datetime.UTC)
        body = await asyncio.to_thread(_compile, manifest, deployment, published_at)
        key = release_key(deployment.project_id, deployment.id)
        try:
            async with asyncio.timeout(STORE_RELEASE_SECONDS):
                await self._objects.put(key, _once(body), size=len(body))
        except TimeoutError as error:
            raise Unavailable("The release could not be stored in time.") from error

    async def _pending(self, deployment: Deployment) -> Manifest:
        try:
            body = await self._attempts.get_manifest(deployment.id, deployment.attempt)
        except NotFound as error:
            raise Invalid("No output was announced: send the manifest before the end.") from error
        return await asyncio.to_thread(Manifest.from_json, body)

    async def _lose(self, deployment: Deployment, attempt: int, reason: str) -> None:
        status = await self._attempts.lost(deployment.id, attempt, reason, self._limits.attempts)
        log.warning("builder gave up deployment %s attempt %d, now %s: %s", deployment.id, attempt, status, reason)

    async def _announced_size(self, deployment: Deployment, sha256: str) -> int | None:
        sizes = self._sizes.get((deployment.id, deployment.attempt))
        if sizes is None or sha256 not in sizes:  # another gateway may have received the manifest
            sizes = self._remember(deployment, await self._pending(deployment))
        return sizes.get(sha256)

    def _remember(self, deployment: Deployment, manifest: Manifest) -> Mapping[str, int]:
        sizes = self._sizes[deployment.id, deployment.attempt] = _sizes_of(manifest)
        while len(self._sizes) > REMEMBERED_MANIFESTS:
            self._sizes.popitem(last=False)
        return sizes

    async def _missing(self, project_id: uuid.UUID, hashes: Collection[str]) -> list[str]:
        missing: set[str] = set()

        async def look(sha256: str) -> None:
            if not await self._objects.exists(blob_key(project_id, sha256)):
                missing.add(sha256)

        await each_of(hashes, look, at_once=LOOKS_AT_ONCE)
        return [sha256 for sha256 in hashes if sha256 in missing]


def check_manifest(manifest: Manifest, limits: config.Builder) -> None:
    """Raises Invalid or TooLarge, with a sentence, for a manifest that must not become a site."""
    if not manifest.files:
        raise Invalid("The output holds no files.")
    if len(manifest.files) > limits.output_files:
        raise TooLarge(f"The output has {len(manifest.files)} files; the limit is {limits.output_files}.")
    for file in manifest.files:
        _check_file(file, limits)
    _check_paths([file.path for file in manifest.files])
    total = sum(file.size for file in manifest.files)
    if total > limits.output_bytes:
        raise TooLarge(f"The output has {total} bytes; the limit is {limits.output_bytes}.")
    _check_sizes(manifest.files)
    _check_facts(manifest)


def _check_file(file: ManifestFile, limits: config.Builder) -> None:
    check_file_path(file.path)
    if any(len(segment.encode()) > MAX_NAME_BYTES for segment in file.path.split("/")):
        raise Invalid(f"The path {file.path!a} holds a name of more than {MAX_NAME_BYTES} bytes.")
    check_blob(file.sha256, file.size)
    if file.size > limits.file_bytes:
        raise TooLarge(f"'{file.path}' has {file.size} bytes; the limit for a file is {limits.file_bytes}.")


def _check_paths(paths: list[str]) -> None:
    """A path may occur once, and must not also be the folder of another path."""
    known = set(paths)
    if len(known) < len(paths):
        twice = next(path for path, count in collections.Counter(paths).items() if count > 1)
        raise Invalid(f"The path {twice!a} is there twice.")
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder:
            if folder in known:
                raise Invalid(f"The path {folder!a} is both a file and a folder.")
            folder = folder.rpartition("/")[0]


def _check_sizes(files: tuple[ManifestFile, ...]) -> None:
    sizes: dict[str, int] = {}
    for file in files:
        if sizes.setdefault(file.sha256, file.size) != file.size:
            raise Invalid(f"The sha256 {file.sha256} is there with two sizes.")


def _check_facts(manifest: Manifest) -> None:
    framework = manifest.framework or ""
    if len(framework) > MAX_FRAMEWORK or not framework.isprintable():
        raise Invalid(f"The framework must be one line of at most {MAX_FRAMEWORK} characters.")
    if len(manifest.hashed_folders) > MAX_HASHED_FOLDERS:
        raise Invalid(f"There are more than {MAX_HASHED_FOLDERS} hashed folders.")
    for folder in manifest.hashed_folders:
        check_file_path(folder.strip("/"))


def _checked_body(manifest: Manifest, limits: config.Builder) -> bytes:
    check_manifest(manifest, limits)
    return manifest.to_json()


def _compile(manifest: Manifest, deployment: Deployment, published_at: datetime.datetime) -> bytes:
    return encode_release(compile_release(manifest, deployment, published_at))


def _sizes_of(manifest: Manifest) -> dict[str, int]:
    return {file.sha256: file.size for file in manifest.files}


def _is_repeated(deployment: Deployment, attempt: int, finish: Finish) -> bool:
    """Whether the attempt has ended exactly as this call reports: the answer to an earlier call was lost."""
    ended = {Exit.OK: Status.READY, Exit.FAILED: Status.FAILED}.get(finish.exit)
    same = deployment.attempt == attempt and deployment.status is ended
    return same and deployment.last_seq == finish.last_seq


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
