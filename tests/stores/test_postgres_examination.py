"""What the doctor says of PostgreSQL, and that it leaves a database as it was."""

import shutil
import uuid

import pytest

from gateway.config import Config, Postgres, Secret
from gateway.embedded_postgres import USER
from gateway.errors import ConfigError
from gateway.examining import postgres as examination
from gateway.examining.postgres import examine_postgres, examine_postgres_logs
from gateway.migrations import migrate, missing_migrations
from gateway.stores.postgres import open_pool
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
    said = await examine_postgres(empty, config_of(empty))
    assert f"{count} migrations are not applied yet; `buildspace serve` applies them at start" in said
    assert "nothing was written" in await examine_postgres_logs(empty)
    assert await empty.pool.fetchval(RELATIONS) == 0


async def test_a_database_of_this_version_is_well_and_gets_no_install_key(database):
    assert "its tables are those of this version" in await examine_postgres(database, config_of(database))
    assert "a line written, read, deleted" in await examine_postgres_logs(database)
    assert await database.pool.fetchval("SELECT count(*) FROM installation") == 0
    assert await database.pool.fetchval("SELECT count(*) FROM log_batches") == 0


async def test_only_what_is_missing_is_counted(empty, tmp_path):
    older = shutil.copytree(MIGRATIONS, tmp_path / "older")
    newest = max(older.iterdir())
    newest.unlink()
    await migrate(empty, older)
    assert await missing_migrations(empty, MIGRATIONS) == [newest.name]
    assert "; 1 migration is not applied yet" in await examine_postgres(empty, config_of(empty))


async def test_an_edited_migration_is_told(empty, tmp_path, monkeypatch):
    edited = shutil.copytree(MIGRATIONS, tmp_path / "edited")
    await migrate(empty, edited)
    min(edited.iterdir()).write_text("SELECT 1")
    monkeypatch.setattr(examination, "migrations_folder", lambda: edited)
    with pytest.raises(ConfigError, match="was edited after this database applied it"):
        await examine_postgres(empty, config_of(empty))


async def test_a_user_who_could_not_make_the_tables_is_told_what_is_needed(empty):
    role = f"reader_{uuid.uuid4().hex}"
    await empty.pool.execute(f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    async with open_pool(empty.url.replace(f"//{USER}@", f"//{role}@"), 2) as database:
        with pytest.raises(ConfigError, match="this user may not: GRANT CREATE ON SCHEMA public"):
            await examine_postgres(database, config_of(database))
