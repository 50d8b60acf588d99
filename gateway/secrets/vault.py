"""Seals texts for the database and opens them: variables, tokens, deploy keys."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import uuid
from collections.abc import AsyncIterator, Callable

from gateway.background import wait_until
from gateway.errors import Unavailable
from gateway.secrets.ring import NO_KEY, Ring
from gateway.secrets.sealing import WrongSeal, make_key, seal, unseal
from gateway.stores.data_keys import DataKeyStore, WrappedKey

log = logging.getLogger(__name__)

LOCK = "secrets key"
CACHED_KEYS = 1000
CHECK_SECONDS = 5.0
TRIES = 3
SealText = Callable[[str, str], bytes]


class Vault:
    """A sealed text opens only for the project and under the name that it was sealed for.

    Every call may raise Unavailable: the database is away, or this gateway lacks a key.
    """

    def __init__(self, keys: DataKeyStore, ring: Ring) -> None:
        self._keys = keys
        self._ring = ring
        self._opened: dict[uuid.UUID, bytes] = {}

    async def seal(self, project_id: uuid.UUID, name: str, text: str) -> bytes:
        """`name` says what the text is, such as `variable all API_KEY`: no two texts of a project share one."""
        return seal(await self._data_key(project_id), text.encode(), str(project_id), name)

    async def open(self, project_id: uuid.UUID, name: str, sealed: bytes) -> str:
        """The text. Raises Unavailable for bytes that were changed or sealed for something else."""
        try:
            return unseal(await self._data_key(project_id), sealed, str(project_id), name).decode()
        except WrongSeal as error:
            raise Unavailable(
                f"The stored secret '{name}' cannot be decrypted: it was changed, or it belongs to another project."
                " Set it again."
            ) from error

    async def new_project(self) -> tuple[WrappedKey, SealText]:
        """A data key for a project that gets this id, and what seals texts under it. Nothing is stored yet."""
        project_id, key = uuid.uuid4(), make_key()
        wrapped = await self._wrapped(project_id, key)
        return wrapped, lambda name, text: seal(key, text.encode(), str(project_id), name)

    @contextlib.asynccontextmanager
    async def digest(self, request_key: str, request: bytes, new: WrappedKey) -> AsyncIterator[bytes]:
        """What tells the request from others with the same Idempotency-Key. `new`: the data key of its project-to-be.

        A plain digest would let a reader of the database try values until one fits. The lock, held as long as this is
        open, lets a concurrent call with the same key find the project whose data key counts for both.
        """
        async with self._keys.database.lock(f"request {request_key}"):
            made = await self._keys.project_of_request(request_key)
            key = (
                await self._data_key(made)
                if made is not None
                else await self._ring.unwrap(new.ring_key, new.wrapped, str(new.project_id))
            )
            yield hmac.digest(key, request, hashlib.sha256)

    async def watch(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """A job: makes the first key, takes over keys of a rotation, and reports a key that is missing."""
        while not stopping.is_set():
            await self.check()
            progress()
            await wait_until(stopping, CHECK_SECONDS)

    async def check(self) -> None:
        """Raises Unavailable unless the ring has every key that is in use. Makes the installation's first key."""
        missing = await self._missing() and await self._missing()  # a rotation between two looks is no trouble
        if missing:
            raise Unavailable(NO_KEY.format(key_id=missing[0]))
        if await self._keys.ring_key() is None:
            await self._ring_key()

    async def _missing(self) -> list[str]:
        used = await self._keys.ring_keys_in_use()
        await self._ring.reload()
        return sorted(name for name in used if not self._ring.knows(name))

    async def _ring_key(self) -> str:
        """The id of the key that encrypts new data keys.

        As long as there is no secret, a gateway that lacks that key puts its own in its place: so replicas without a
        common ring run until the first secret, and the gateway that seals it decides which key the others have to get.
        """
        present = await self._keys.ring_key()
        if present is not None and self._ring.knows(present):
            return present
        async with self._keys.database.lock(LOCK):
            present = await self._keys.ring_key()
            if present is not None and (self._ring.knows(present) or await self._keys.ring_keys_in_use()):
                return present
            name = self._ring.newest or await self._ring.add_key()
            await self._keys.set_ring_key(name)
            log.info("first key of secrets made id=%s", name)
            return name

    async def _data_key(self, project_id: uuid.UUID) -> bytes:
        if (known := self._opened.get(project_id)) is not None:
            return known
        try:
            key = await self._unwrapped(project_id)
        except Unavailable:
            key = await self._unwrapped(project_id)  # a rotation has replaced what was read
        except WrongSeal as error:
            raise Unavailable(f"The data key of project {project_id} cannot be decrypted: it was changed.") from error
        if len(self._opened) >= CACHED_KEYS:
            del self._opened[next(iter(self._opened))]
        self._opened[project_id] = key
        return key

    async def _unwrapped(self, project_id: uuid.UUID) -> bytes:
        found = await self._keys.find(project_id) or await self._make_data_key(project_id)
        return await self._ring.unwrap(found.ring_key, found.wrapped, str(project_id))

    async def _make_data_key(self, project_id: uuid.UUID) -> WrappedKey:
        for _ in range(TRIES):
            await self._keys.add(await self._wrapped(project_id, make_key()))
            # What is stored counts: another gateway may have been first, or a rotation may have replaced the ring key.
            if (found := await self._keys.find(project_id)) is not None:
                return found
        raise Unavailable("The key of secrets is being rotated. Try again.")

    async def _wrapped(self, project_id: uuid.UUID, key: bytes) -> WrappedKey:
        await self.check()
        name = await self._ring_key()
        return WrappedKey(project_id, name, await self._ring.wrap(name, key, str(project_id)))
