"""What becomes of mirrors from before a mirror was whole or nothing."""

import pytest

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.stores.mirrors import MirrorStore
from tests.engines.postgres import MIGRATIONS, older_than

ROUNDS_GO = "0017_forget_rounds_of_mirrors.sql"


@pytest.fixture
async def carried(postgres, tmp_path):
    """Two live sites, one with a whole mirror and one with half of it, brought to this version."""
    async with open_pool(await postgres.create_empty_database(), 4) as database:
        await migrate(database, older_than(ROUNDS_GO, tmp_path))
        await database.pool.execute(
            """
            INSERT INTO projects (id, name, git_url, subdomain)
            VALUES
                ('00000000-0000-0000-0000-000000000001', 'Whole', '', 'whole'),
                ('00000000-0000-0000-0000-000000000002', 'Half', '', 'half');
            INSERT INTO deployments (id, project_id, status, number, git_url, released_at)
            SELECT id, id, 'READY', 1, '', now() FROM projects;
            UPDATE projects SET live_deployment_id = id;
            INSERT INTO mirrors (slug, project_id, deployment_id, place, copied, is_whole)
            SELECT subdomain, id, id, 'here', 3, subdomain = 'whole' FROM projects;
            """
        )
        await migrate(database, MIGRATIONS)
        yield MirrorStore(database, "here")


async def test_a_whole_mirror_stays_whole_and_a_half_one_is_written_again(carried):
    assert await carried.outdated("", 10) == ["half"]
