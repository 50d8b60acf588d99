"""`buildspace secrets rotate`, killed in the middle and started again."""

import os
import signal
import subprocess
import sys

import pytest

from gateway.config import Secret
from gateway.engines.postgres.database import open_pool
from gateway.secrets.key_file import KeyFile
from gateway.secrets.ring import Ring
from gateway.secrets.vault import Vault
from gateway.stores.data_keys import DataKeyStore
from tests.engines.gateway import ROOT

PROJECTS = 150
COMMAND = (sys.executable, "-m", "gateway", "secrets", "rotate")


@pytest.fixture
async def url(postgres):
    return await postgres.create_database()


@pytest.fixture
def environment(url, tmp_path):
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": url,
        "BUILDSPACE_DATA_DIRECTORY": str(tmp_path / "data"),
    }


async def sealed_for_all(url, folder):
    """A secret of each of many projects."""
    async with open_pool(url, 4) as database:
        rows = await database.pool.fetch(
            """
            INSERT INTO projects (name, git_url, subdomain)
            SELECT 'p', '', 'p' || number
            FROM generate_series(1, $1) AS number
            RETURNING id
            """,
            PROJECTS,
        )
        vault = Vault(DataKeyStore(database), Ring(folder, Secret("")))
        return {row["id"]: await vault.seal(row["id"], "x", f"secret of {row['id']}") for row in rows}


async def test_a_killed_rotation_loses_nothing_and_is_finished_by_the_next(url, environment, tmp_path):
    folder = tmp_path / "data"
    sealed = await sealed_for_all(url, folder)
    (before,) = KeyFile(folder).read()
    async with open_pool(url, 4) as database, database.transaction() as held:
        # The last one can't be rewrapped: the rotation is killed while it waits for it.
        await held.execute("SELECT FROM data_keys WHERE project_id = $1 FOR UPDATE", max(sealed))
        with subprocess.Popen(COMMAND, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as rotating:
            next(line for line in rotating.stdout if "projects have their key under the new one" in line)
            rotating.send_signal(signal.SIGKILL)
    async with open_pool(url, 4) as database:
        keys = DataKeyStore(database)
        between = await keys.ring_keys_in_use()
        assert before in between
        assert len(between) == 2
        assert set(KeyFile(folder).read()) == between
        subprocess.run(COMMAND, env=environment, cwd=tmp_path, check=True, capture_output=True)
        assert await keys.ring_keys_in_use() == between - {before} == set(KeyFile(folder).read())
        vault = Vault(keys, Ring(folder, Secret("")))
        assert {await vault.open(project, "x", content) for project, content in sealed.items()} == {
            f"secret of {project}" for project in sealed
        }
