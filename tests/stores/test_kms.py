"""AWS KMS as the key of the ring, on moto."""

import aiobotocore.session
import pytest

from gateway.config import Secret, Secrets
from gateway.errors import ConfigError, Unavailable
from gateway.secrets.kms import open_kms
from gateway.secrets.ring import Ring
from gateway.secrets.rotation import rotate
from gateway.secrets.sealing import WrongSeal
from gateway.secrets.vault import Vault
from gateway.stores.data_keys import DataKeyStore
from tests.engines.ecs import KEYS, REGION
from tests.engines.stores import new_project


@pytest.fixture
async def settings(aws, monkeypatch):
    """A new key, with credentials from where the default chain finds them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
    session = aiobotocore.session.get_session()
    async with session.create_client("kms", region_name=REGION, endpoint_url=aws) as client:
        key = (await client.create_key())["KeyMetadata"]["Arn"]
    return Secrets(kms_key=key, kms_endpoint=aws)


@pytest.fixture
async def kms(settings):
    async with open_kms(settings) as key:
        yield key


async def test_a_data_key_opens_for_its_project_alone(kms):
    wrapped = await kms.wrap(b"k" * 32, "one")
    assert await kms.unwrap(wrapped, "one") == b"k" * 32
    assert b"k" * 32 not in wrapped
    with pytest.raises(WrongSeal):
        await kms.unwrap(wrapped, "two")


async def test_a_key_that_does_not_exist_is_named(settings):
    wrong = Secrets(kms_key=settings.kms_key[:-4] + "0000", kms_endpoint=settings.kms_endpoint)
    async with open_kms(wrong) as key:
        with pytest.raises(Unavailable, match=r"AWS KMS refused to encrypt with arn:.*NotFoundException"):
            await key.wrap(b"k" * 32, "one")


async def test_an_endpoint_that_is_away_is_a_trouble(settings):
    away = Secrets(kms_key=settings.kms_key, kms_endpoint="http://127.0.0.1:1")
    async with open_kms(away) as key:
        with pytest.raises(Unavailable, match="AWS KMS did not encrypt"):
            await key.wrap(b"k" * 32, "one")


async def test_secrets_move_from_the_file_to_kms(database, projects, tmp_path, kms):
    project = (await new_project(projects)).project_id
    keys = DataKeyStore(database)
    sealed = await Vault(keys, Ring(tmp_path, Secret(""))).seal(project, "x", "hunter2hunter2")
    await rotate(keys, Ring(tmp_path, Secret(""), kms), print)
    assert await keys.ring_keys_in_use() == {kms.id}
    vault = Vault(keys, Ring(tmp_path / "elsewhere", Secret(""), kms))
    await vault.check()
    assert await vault.open(project, "x", sealed) == "hunter2hunter2"
    with pytest.raises(ConfigError, match="KMS, which rotates it by itself"):
        await rotate(keys, Ring(tmp_path, Secret(""), kms), print)
