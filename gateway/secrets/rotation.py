"""Replaces the key of the ring while gateways run: a new key, then every data key under it, then the old one goes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.errors import ConfigError, Conflict, Unavailable
from gateway.secrets.ring import Ring
from gateway.secrets.vault import LOCK
from gateway.stores.data_keys import DataKeyStore, WrappedKey

log = logging.getLogger(__name__)

BATCH = 100
ADD_ONE = (
    "The key is set by secrets.key (BUILDSPACE_SECRETS_KEY): put a new one, as `openssl rand -base64 32` prints it,"
    " after the old one, separated by a comma, restart every gateway, and then rotate."
)
KMS_ROTATES = "The key is in AWS KMS, which rotates it by itself: there is nothing to do here."


async def rotate(keys: DataKeyStore, ring: Ring, say: Callable[[str], None], *, batch: int = BATCH) -> None:
    """Raises ConfigError, Conflict and Unavailable. Interrupted anywhere, the next call goes on where it ended."""
    async with keys.database.try_lock(LOCK) as held:
        if held is None:
            raise Conflict("Another rotation is running. Wait for its end.")
        await ring.reload()
        new = await _choose_key(keys, ring, say)
        rewrapped = 0
        while outdated := await keys.outdated(new, batch):
            for old in outdated:
                await _rewrap(keys, ring, old, new)
            rewrapped += len(outdated)
            say(f"{rewrapped} projects have their key under the new one.")
        await held.check()
        await _forget_old_keys(keys, ring, say)


async def _choose_key(keys: DataKeyStore, ring: Ring, say: Callable[[str], None]) -> str:
    """The key to rotate to: one that an interrupted rotation has added already, else a new one."""
    present = await keys.ring_key()
    if present is None:
        raise Conflict("No key was made yet: the first start of a gateway makes one.")
    used = await keys.ring_keys_in_use()
    for name in sorted({present, *used}):
        if not ring.knows(name):
            raise Unavailable(f"This machine lacks the key {name}. Rotate where secrets.key has it.")
    new = ring.newest
    if new == present and not used - {present}:
        new = await _extend(ring)
        say(f"Added the key {new}.")
    if new is None:
        raise Conflict("The ring has no key.")
    if new != present:
        await keys.set_ring_key(new)
        log.info("key of secrets rotated from=%s to=%s", present, new)
    return new


async def _extend(ring: Ring) -> str:
    if ring.is_ours_to_extend:
        return await ring.add_key()
    raise ConfigError(KMS_ROTATES if ring.is_remote else ADD_ONE)


async def _rewrap(keys: DataKeyStore, ring: Ring, old: WrappedKey, new: str) -> None:
    owner = str(old.project_id)
    data_key = await ring.unwrap(old.ring_key, old.wrapped, owner)
    wrapped = await ring.wrap(new, data_key, owner)
    await keys.replace(old, WrappedKey(old.project_id, new, wrapped))


async def _forget_old_keys(keys: DataKeyStore, ring: Ring, say: Callable[[str], None]) -> None:
    present = await keys.ring_key()
    unused = ring.names - await keys.ring_keys_in_use() - {present or ""}
    gone = await ring.remove_keys(unused)
    for name in gone:
        say(f"Removed the key {name}: nothing uses it any more. Copies of the database from before still need it.")
    say("Every secret is under the newest key. Make a new copy of secrets.key." if gone else "Nothing is left to do.")
