"""The doctor's examination of the live sites: their releases are looked up in the object store."""

from __future__ import annotations

from gateway.config import Config
from gateway.config.resources import migrations_folder
from gateway.engines import opening
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import missing_migrations
from gateway.errors import Unavailable
from gateway.models.object_keys import release_key
from gateway.stores.releases import ReleaseStore

SITES = 20


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
