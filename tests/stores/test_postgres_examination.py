"""What the doctor says of PostgreSQL, and that it leaves a database as it was."""

import dataclasses
import shutil
import uuid

import pytest

from gateway.commands.examine_sites import examine_sites
from gateway.config import Config, Data, Postgres, Secret
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.postgres import postgres_examination as examination
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.embedded_postgres import USER
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.engines.postgres.postgres_migrations import migrate, missing_migrations
from gateway.errors import ConfigError, Unavailable
from gateway.models.object_keys import release_key
from tests.engines.postgres import MIGRATIONS

RELATIONS = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"


@pytest.fixture
async def empty(postgres):
    async with open_pool(await postgres.create_empty_database(), 4) as database:
        yield database


def config_of(database):
    return Config(postgres=Postgres(url=Secret(database.url)))


async def test_a_database_without_tables_stays_so_and_the_doctor_says_who_makes_them(empty):
    count = len(list(MIGRATIONS.glob("*.sql")))
    said = await empty.examine()
    assert f"{count} migrations are not applied yet; `buildspace serve` applies them at start" in said
    assert "nothing was written" in await PostgresLogStore(empty).examine()
    assert await empty.pool.fetchval(RELATIONS) == 0


async def test_a_database_of_this_version_is_well_and_gets_no_install_key(database):
    assert "its tables are those of this version" in await database.examine()
    assert "a line written, read, deleted" in await PostgresLogStore(database).examine()
    assert await database.pool.fetchval("SELECT count(*) FROM installation") == 0
    assert await database.pool.fetchval("SELECT count(*) FROM log_batches") == 0


async def test_only_what_is_missing_is_counted(empty, tmp_path):
    older = shutil.copytree(MIGRATIONS, tmp_path / "older")
    newest = max(older.iterdir())
    newest.unlink()
    await migrate(empty, older)
    assert await missing_migrations(empty, MIGRATIONS) == [newest.name]
    assert "; 1 migration is not applied yet" in await empty.examine()


async def test_an_edited_migration_is_told(empty, tmp_path, monkeypatch):
    edited = shutil.copytree(MIGRATIONS, tmp_path / "edited")
    await migrate(empty, edited)
    min(edited.iterdir()).write_text("SELECT 1")
    monkeypatch.setattr(examination, "migrations_folder", lambda: edited)
    with pytest.raises(ConfigError, match="was edited after this database applied it"):
        await empty.examine()


async def test_a_user_who_could_not_make_the_tables_is_told_what_is_needed(empty):
    role = f"reader_{uuid.uuid4().hex}"
    await empty.pool.execute(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    async with open_pool(empty.url.replace(f"//{USER}@", f"//{role}@"), 2) as database:
        with pytest.raises(ConfigError, match="this user may not: GRANT CREATE ON SCHEMA public"):
            await database.examine()


async def test_sites_that_are_not_in_the_object_store_are_told(database, deployments, building, tmp_path):
    """A bucket that works and into which nothing was copied."""
    config = dataclasses.replace(config_of(database), data=Data(str(tmp_path)))
    assert await examine_sites(config, database) == "none is live yet."
    await deployments.publish(building.id, 1, 1, 1, 1)
    with pytest.raises(
        Unavailable, match=rf"1 have no release in {tmp_path}/objects, such as {building.project_slug}: `b"
    ):
        await examine_sites(config, database)
    objects = DirectoryObjectStore(tmp_path / "objects")
    await objects.put(release_key(building.project_id, building.id), chunks_of(b"release"), size=7)
    assert await examine_sites(config, database) == "the releases of the 1 deployments that went live last are there."


async def test_sites_of_a_database_without_tables_are_not_looked_for(empty):
    assert "not checked" in await examine_sites(config_of(empty), empty)


async def chunks_of(body):
    yield body
