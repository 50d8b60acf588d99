"""The doctor: an engine that loses, keeps or swallows what it is given is found out, and the advice is a sentence."""

import contextlib
import uuid

import pytest

from gateway.commands import doctor
from gateway.commands.doctor import check_access, check_builders_url, check_links, examine
from gateway.commands.examine_machine import examine_disk
from gateway.config import load_config
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.object_examination import try_objects
from gateway.engines.postgres.postgres_examination import check_logs
from gateway.errors import Unavailable


def config_of(tmp_path, **environment):
    return load_config(None, {"BUILDSPACE_DATA_DIRECTORY": str(tmp_path / "data"), **environment})


async def test_a_good_object_store_is_well_and_left_empty(tmp_path):
    store = DirectoryObjectStore(tmp_path / "objects")
    assert await store.examine() == "a directory; an object written, read, deleted."
    assert [found async for found in store.list("")] == []


class Forgetful(DirectoryObjectStore):
    async def delete(self, keys):
        """Keeps everything."""


async def test_a_store_that_does_not_delete_is_found_out(tmp_path):
    with pytest.raises(Unavailable, match="still has an object"):
        await try_objects(Forgetful(tmp_path / "objects"))


class Lossy:
    async def append(self, batches):
        """Loses everything."""

    async def read(self, deployment_id, after, limit):
        return []


class NoDatabase:
    @contextlib.asynccontextmanager
    async def acquire(self):
        yield self

    async def execute(self, statement, deployment_id):
        assert isinstance(deployment_id, uuid.UUID)


async def test_a_log_store_that_loses_lines_is_found_out():
    with pytest.raises(Unavailable, match="did not return"):
        await check_logs(Lossy(), NoDatabase())


async def test_everything_wrong_is_a_line_with_advice_and_exit_code_1(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "data").write_text("a file where the folder should be")
    said = []
    config = config_of(tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", BUILDSPACE_BUILDER_ISOLATION="none")
    assert await examine(config, say=said.append) == 1
    lines = {line.split(":")[0]: line for line in said}
    assert "data.directory" in lines["WRONG data directory"]
    assert "Does the server run" in lines["WRONG postgres"] or "cannot be reached" in lines["WRONG postgres"]
    assert "apt-get install git" in lines["WRONG git"]
    assert said[-1].endswith("checks failed.")


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"BUILDSPACE_DOCKER_IMAGE": "builder", "BUILDSPACE_DOCKER_HOST": "unix:///nowhere.sock"},
        {
            "CLUSTER_ARN": "builds",
            "TASK_ARN": "builder",
            "BUILDSPACE_ECS_SUBNETS": "subnet-1",
            "BUILDSPACE_ECS_SECURITY_GROUPS": "sg-1",
            "BUILDSPACE_ECS_ENDPOINT": "http://127.0.0.1:1",
            "BUILDSPACE_ECS_REGION": "us-east-1",
            "BUILDSPACE_ECS_ACCESS_KEY_ID": "id",
            "BUILDSPACE_ECS_SECRET_ACCESS_KEY": "secret",
        },
    ],
    ids=["docker", "ecs"],
)
async def test_where_builders_run_elsewhere_nobody_is_asked_for_git_and_node(tmp_path, elsewhere):
    said = []
    postgres = "postgresql://nobody@127.0.0.1:1/x"
    url = "http://10.0.0.5:9001"
    await examine(config_of(tmp_path, DATABASE_URL=postgres, BUILDSPACE_BUILDERS_URL=url, **elsewhere), say=said.append)
    names = {line[6:].split(":")[0] for line in said[:-1]}
    assert "builders" in names
    assert not names & {"git", "node"}


async def test_a_check_that_fails_unforeseen_does_not_end_the_others(tmp_path, monkeypatch):
    async def fail():
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor, "examine_git", fail)
    said = []
    config = config_of(tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/x", BUILDSPACE_BUILDER_ISOLATION="none")
    await examine(config, say=said.append)
    assert any(line == "WRONG git: The check failed: ZeroDivisionError: oh." for line in said)
    assert any(line.startswith("ok    node") for line in said)


def test_pages_beside_sites_are_a_warning(tmp_path):
    environment = {
        "BUILDSPACE_API_HOST": "0.0.0.0",
        "BUILDSPACE_API_NAMES": "deploy.example.com",
        "BUILDSPACE_SITES_URL": "https://{slug}.example.com",
    }
    found = check_access(config_of(tmp_path, **environment))
    assert (found.is_well, found.is_warning) == (True, True)
    assert str(found).startswith("warn  access: the pages (deploy.example.com) and the sites")


def test_pages_of_another_domain_are_fine(tmp_path):
    environment = {
        "BUILDSPACE_API_HOST": "0.0.0.0",
        "BUILDSPACE_API_NAMES": "deploy.example.com",
        "BUILDSPACE_SITES_URL": "https://{slug}.example-sites.net",
    }
    assert not check_access(config_of(tmp_path, **environment)).is_warning


def test_without_api_url_the_doctor_says_that_no_link_can_be_made(tmp_path):
    found = check_links(config_of(tmp_path, BUILDSPACE_API_HOST="0.0.0.0"))
    assert (found.is_well, found.is_warning) == (True, True)
    assert "api.url is not set" in found.sentence


def test_with_api_url_the_doctor_says_where_links_lead(tmp_path):
    found = check_links(config_of(tmp_path, BUILDSPACE_API_URL="https://deploy.example.com"))
    assert str(found) == "ok    links: links that are sent out begin with https://deploy.example.com/."


def test_tasks_elsewhere_that_would_call_themselves_are_a_warning(tmp_path):
    ecs = {
        "CLUSTER_ARN": "builds",
        "TASK_ARN": "builder",
        "BUILDSPACE_ECS_SUBNETS": "subnet-1",
        "BUILDSPACE_ECS_SECURITY_GROUPS": "sg-1",
    }
    found = check_builders_url(config_of(tmp_path, **ecs, BUILDSPACE_BUILDERS_URL="http://localhost:9001"))
    assert (found.is_well, found.is_warning) == (True, True)
    assert "builders.url" in found.sentence
    assert not check_builders_url(config_of(tmp_path, **ecs, BUILDSPACE_BUILDERS_URL="http://10.0.0.5:9001")).is_warning
    assert not check_builders_url(config_of(tmp_path)).is_warning


async def test_the_disk_of_a_folder_that_is_not_there_is_that_of_the_one_above(tmp_path):
    assert "GiB are free" in await examine_disk(tmp_path / "not" / "there")
