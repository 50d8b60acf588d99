"""The doctor's examination of the object store: an object is written, read and deleted; the live sites are looked
up."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from gateway.config import Config
from gateway.config.resources import migrations_folder
from gateway.engines import opening
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import missing_migrations
from gateway.engines.s3.s3_objects import open_s3
from gateway.engines.s3.s3_words import name_of
from gateway.errors import NotFound, Unavailable
from gateway.models.object_keys import doctor_key, release_key
from gateway.roles import ObjectStore
from gateway.stores.releases import ReleaseStore

SITES = 20


async def examine_objects(config: Config) -> str:
    """Uses a key prefix of its own, because a gateway may be using the store."""
    if config.s3.bucket:
        async with open_s3(config.s3) as bucket:
            await bucket.check()
            return f"bucket '{config.s3.bucket}' of {name_of(config.s3)}; {await check_objects(bucket)}"
    root = config.data_directory / "objects"
    was_there = await asyncio.to_thread(root.exists)
    try:
        return f"a directory; {await check_objects(DirectoryObjectStore(root / '__doctor'))}"
    finally:
        await asyncio.to_thread(_clear, root, was_there)


async def examine_sites(config: Config, database: Database) -> str:
    """Looks for live releases: a store that works may still be the wrong one, or not filled yet."""
    if await missing_migrations(database, migrations_folder()):
        return "not checked, because the tables do not have this version's schema yet."
    live = await ReleaseStore(database).newest_live(SITES)
    async with opening.open_objects(config) as objects:
        lacking = [site for site in live if not await objects.exists(release_key(site.project_id, site.id))]
    if lacking:
        raise Unavailable(
            f"Of the {len(live)} deployments that went live last, {len(lacking)} have no release in"
            f" {opening.place_of_objects(config)}, such as {lacking[0].project_slug}: `buildspace copy objects` copies"
            " them there."
        )
    return (
        f"the releases of the {len(live)} deployments that went live last are there." if live else "none is live yet."
    )


async def check_objects(objects: ObjectStore) -> str:
    key, body = doctor_key(), secrets.token_bytes(64)
    await objects.put(key, _once(body), size=len(body))
    try:
        async with objects.open(key) as reader:
            read = b"".join([chunk async for chunk in reader.chunks()])
    finally:
        await objects.delete([key])
    if read != body:
        raise Unavailable("It did not return the bytes that were written: the store is damaged.")
    with contextlib.suppress(NotFound):
        async with objects.open(key):
            raise Unavailable("It still has an object that was deleted.")
    return "an object written, read, deleted."


def _clear(root: Path, was_there: bool) -> None:
    shutil.rmtree(root / "__doctor", ignore_errors=True)
    if not was_there:
        with contextlib.suppress(OSError):  # it is in use by now
            root.rmdir()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
