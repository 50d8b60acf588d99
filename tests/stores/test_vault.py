"""Secrets in PostgreSQL: who can open them, which key is missing, and what a rotation leaves."""

import base64
import uuid

import pytest

from gateway.config import Secret
from gateway.errors import ConfigError, Conflict, Unavailable
from gateway.secrets.key_file import KeyFile, key_id
from gateway.secrets.ring import Ring
from gateway.secrets.rotation import rotate
from gateway.secrets.vault import Vault
from gateway.stores.data_keys import DataKeyStore, WrappedKey
from tests.engines.stores import new_project

NAME = "variable all API_KEY"


@pytest.fixture
def keys(database):
    return DataKeyStore(database)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def open_vault(keys, folder):
    """A gateway's vault: on this data directory, or on another one."""
    return lambda place=folder, key="": Vault(keys, Ring(place, Secret(key)))


@pytest.fixture
async def project(projects):
    return (await new_project(projects)).project_id


@pytest.fixture
async def other(projects):
    return (await new_project(projects, "Shop")).project_id


async def test_a_text_opens_in_another_process(open_vault, project):
    sealed = await open_vault().seal(project, NAME, "hunter2hunter2")
    assert await open_vault().open(project, NAME, sealed) == "hunter2hunter2"


async def test_no_project_opens_the_text_of_another(open_vault, project, other):
    sealed = await open_vault().seal(project, NAME, "hunter2hunter2")
    with pytest.raises(Unavailable, match="cannot be decrypted"):
        await open_vault().open(other, NAME, sealed)


async def test_a_text_under_another_name_does_not_open(open_vault, project):
    sealed = await open_vault().seal(project, NAME, "hunter2hunter2")
    with pytest.raises(Unavailable, match="cannot be decrypted"):
        await open_vault().open(project, "variable production API_KEY", sealed)


async def test_a_data_key_copied_to_another_project_does_not_open(open_vault, keys, database, project, other):
    sealed = await open_vault().seal(project, NAME, "hunter2hunter2")
    await open_vault().seal(other, NAME, "something else")
    await database.pool.execute(
        "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE project_id = $1) WHERE project_id = $2",
        project,
        other,
    )
    with pytest.raises(Unavailable, match="data key"):
        await open_vault().open(other, NAME, sealed)


async def test_the_first_gateway_makes_the_key_file(open_vault, folder):
    await open_vault().check()
    assert (folder / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert len(KeyFile(folder).read()) == 1


async def test_a_second_gateway_makes_no_key_and_says_which_one_it_lacks(open_vault, keys, tmp_path, project):
    await open_vault().seal(project, NAME, "hunter2hunter2")
    present = await keys.ring_key()
    with pytest.raises(Unavailable, match=f"lacks the key {present} .* Copy the file secrets.key"):
        await open_vault(tmp_path / "second").check()
    assert not (tmp_path / "second" / "secrets.key").exists()


async def test_gateways_without_a_common_key_work_until_the_first_secret_decides(open_vault, tmp_path, project):
    first, second = open_vault(), open_vault(tmp_path / "second")
    await first.check()
    await second.check()
    sealed = await second.seal(project, NAME, "hunter2hunter2")
    assert await second.open(project, NAME, sealed) == "hunter2hunter2"
    with pytest.raises(Unavailable, match="lacks the key"):
        await first.check()


async def test_a_gateway_without_the_key_seals_nothing(open_vault, keys, tmp_path, project, other):
    await open_vault().seal(other, NAME, "hunter2hunter2")
    with pytest.raises(Unavailable, match="lacks the key"):
        await open_vault(tmp_path / "second").seal(project, NAME, "hunter2hunter2")
    assert await keys.find(project) is None


async def test_a_lost_key_is_named_and_works_again_once_it_is_back(open_vault, folder, project):
    sealed = await open_vault().seal(project, NAME, "hunter2hunter2")
    vault, kept = open_vault(), (folder / "secrets.key").read_bytes()
    (folder / "secrets.key").unlink()
    with pytest.raises(Unavailable, match="lacks the key"):
        await vault.open(project, NAME, sealed)
    (folder / "secrets.key").write_bytes(kept)
    assert await vault.open(project, NAME, sealed) == "hunter2hunter2"


async def test_a_deleted_projects_key_is_gone(open_vault, keys, database, project):
    await open_vault().seal(project, NAME, "hunter2hunter2")
    await database.pool.execute("DELETE FROM deployments")
    await database.pool.execute("DELETE FROM projects")
    assert await keys.find(project) is None


async def test_a_rotation_moves_everything_to_a_new_key(open_vault, keys, folder, project, other):
    vault = open_vault()
    sealed = [await vault.seal(each, NAME, "hunter2hunter2") for each in (project, other)]
    before = await keys.ring_key()
    await rotate(keys, Ring(folder, Secret("")), print, batch=1)
    assert await keys.ring_keys_in_use() == {await keys.ring_key()} != {before}
    assert [await open_vault().open(*each) for each in zip((project, other), (NAME, NAME), sealed, strict=True)] == [
        "hunter2hunter2"
    ] * 2
    assert list(KeyFile(folder).read()) == [await keys.ring_key()]


async def test_a_running_gateway_takes_over_the_rotated_key(open_vault, keys, folder, project, other):
    vault = open_vault()
    sealed = await vault.seal(project, NAME, "hunter2hunter2")
    await rotate(keys, Ring(folder, Secret("")), print)
    assert await vault.open(project, NAME, await vault.seal(project, NAME, "after")) == "after"
    assert await vault.open(project, NAME, sealed) == "hunter2hunter2"
    await vault.seal(other, NAME, "hunter2hunter2")
    assert (await keys.find(other)).ring_key == await keys.ring_key()


async def test_no_data_key_is_added_under_a_key_that_was_replaced(open_vault, keys, folder, project):
    await open_vault().check()
    old = await keys.ring_key()
    await rotate(keys, Ring(folder, Secret("")), print)
    await keys.add(WrappedKey(project, old, b"late"))
    assert await keys.find(project) is None


async def test_a_rotation_that_added_its_key_goes_on_with_it(open_vault, keys, folder, project):
    await open_vault().seal(project, NAME, "hunter2hunter2")
    added = await Ring(folder, Secret("")).add_key()
    await rotate(keys, Ring(folder, Secret("")), print)
    assert list(KeyFile(folder).read()) == [added] == [await keys.ring_key()]


async def test_a_rotation_that_announced_its_key_goes_on_with_it(open_vault, keys, folder, project):
    await open_vault().seal(project, NAME, "hunter2hunter2")
    added = await Ring(folder, Secret("")).add_key()
    await keys.set_ring_key(added)
    await rotate(keys, Ring(folder, Secret("")), print)
    assert await keys.ring_keys_in_use() == {added}
    assert list(KeyFile(folder).read()) == [added]


async def test_keys_of_the_setting_are_rotated_once_a_second_one_is_there(open_vault, keys, folder, project):
    one, two = bytes(32), bytes(range(32))
    text = base64.b64encode(one).decode()
    await open_vault(key=text).seal(project, NAME, "hunter2hunter2")
    with pytest.raises(ConfigError, match="put a new one"):
        await rotate(keys, Ring(folder, Secret(text)), print)
    both = f"{text},{base64.b64encode(two).decode()}"
    await rotate(keys, Ring(folder, Secret(both)), print)
    assert await keys.ring_keys_in_use() == {key_id(two)}
    assert not (folder / "secrets.key").exists()


async def test_two_rotations_do_not_run_at_once(open_vault, keys, folder, database):
    await open_vault().check()
    async with database.lock("secrets key"):
        with pytest.raises(Conflict, match="Another rotation"):
            await rotate(keys, Ring(folder, Secret("")), print)


async def test_nothing_readable_is_in_the_database(open_vault, database, folder, project):
    await open_vault().seal(project, NAME, "hunter2hunter2")
    row = await database.pool.fetchrow("SELECT * FROM data_keys")
    (key,) = KeyFile(folder).read().values()
    assert key not in row["wrapped"]
    assert row["project_id"] == uuid.UUID(str(project))
