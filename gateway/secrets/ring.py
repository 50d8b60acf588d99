"""The key ring: encrypts data keys under one of its keys, decrypts under any, and is read again while in use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from gateway.config import Secret
from gateway.errors import ConfigError, Unavailable
from gateway.secrets.key_file import KeyFile, key_id, parse_keys, without
from gateway.secrets.sealing import make_key, seal, unseal

SETTING = "secrets.key"
NO_KEY = (
    "This gateway lacks the key {key_id} that encrypts secrets of this installation. Copy the file secrets.key from the"
    " data directory of a gateway that has it, or from its backup, or set BUILDSPACE_SECRETS_KEY as it is set there."
)


class RemoteKey(Protocol):
    """A key that another service keeps and uses (AWS KMS). Calls raise Unavailable."""

    id: str

    async def wrap(self, data_key: bytes, owner: str) -> bytes: ...

    async def unwrap(self, wrapped: bytes, owner: str) -> bytes: ...


class Ring:
    """Its keys come from the file in the data directory and from the setting; a remote key may come on top.

    The newest is the remote key, else the last one of the setting, else the last one of the file. A setting that is not
    right raises ConfigError.
    """

    def __init__(self, data_directory: Path, setting: Secret, remote: RemoteKey | None = None) -> None:
        self._file = KeyFile(data_directory)
        self._given = parse_keys(setting.reveal(), SETTING)
        self._remote = remote
        self._keys: dict[str, bytes] = {}

    @property
    def is_ours_to_extend(self) -> bool:
        """Whether the newest key is in the file, where this program adds keys itself."""
        return self._remote is None and not self._given

    @property
    def is_remote(self) -> bool:
        return self._remote is not None

    @property
    def newest(self) -> str | None:
        if self._remote is not None:
            return self._remote.id
        return next(reversed(self._keys), None)

    def knows(self, name: str) -> bool:
        return name in self._keys or (self._remote is not None and name == self._remote.id)

    async def reload(self) -> None:
        """Raises Unavailable for a file that is not right."""
        try:
            found = await asyncio.to_thread(self._file.read)
        except ConfigError as error:
            raise Unavailable(error.sentence) from error
        self._keys = {name: key for name, key in found.items() if name not in self._given} | self._given

    async def add_key(self) -> str:
        """A new key in the file. It is on the disk when this returns."""
        key = make_key()
        await asyncio.to_thread(lambda: self._file.write(self._file.read() | {key_id(key): key}))
        await self.reload()
        return key_id(key)

    async def remove_keys(self, unused: set[str]) -> list[str]:
        """Removes those that the file has. Returns their ids."""
        found = await asyncio.to_thread(self._file.read)
        gone = [name for name in found if name in unused]
        if gone:
            await asyncio.to_thread(self._file.write, without(found, gone))
            await self.reload()
        return gone

    @property
    def names(self) -> set[str]:
        return set(self._keys)

    async def wrap(self, name: str, data_key: bytes, owner: str) -> bytes:
        """Raises Unavailable."""
        if self._remote is not None and name == self._remote.id:
            return await self._remote.wrap(data_key, owner)
        return seal(await self._key(name), data_key, name, owner)

    async def unwrap(self, name: str, wrapped: bytes, owner: str) -> bytes:
        """Raises Unavailable, and WrongSeal for bytes of another owner."""
        if self._remote is not None and name == self._remote.id:
            return await self._remote.unwrap(wrapped, owner)
        return unseal(await self._key(name), wrapped, name, owner)

    async def _key(self, name: str) -> bytes:
        if name not in self._keys:
            await self.reload()  # a rotation may have added it
        try:
            return self._keys[name]
        except KeyError as error:
            raise Unavailable(NO_KEY.format(key_id=name)) from error
