"""Moving from the embedded engines to real ones as users do it: the same sites, token, history and logs."""

import asyncio
import contextlib
import re

import pytest

from scripts.git_server import commit_files, serve_git
from tests.engines.clickhouse import running_clickhouse
from tests.engines.gateway import running_gateway
from tests.engines.s3 import environment_of
from tests.integration.test_api_start import run


@pytest.fixture
def s3(s3_servers):
    return s3_servers("moto")


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server.settings


SITE = {"index.html": "<h1>moved</h1>", "style.css": "body {}"}
ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}


@contextlib.asynccontextmanager
async def repository(folder):
    commit_files(SITE, folder / "site.git")
    async with serve_git(folder) as url:
        yield f"{url}/site.git"


async def etag_of(gateway, slug, path):
    async with gateway.session.get(
        f"http://127.0.0.1:{gateway.sites_port}{path}", headers={"Host": f"{slug}.localhost:{gateway.sites_port}"}
    ) as response:
        return response.status, response.headers["ETag"], await response.read()


async def seen(gateway, answer, token):
    """What a user can see of a gateway with one project."""
    slug, deployment = answer["projectSlug"], answer["deploymentId"]
    authorized = {**ELSEWHERE, "Authorization": f"Bearer {token}"}
    return {
        "files": [await etag_of(gateway, slug, path) for path in ("/", "/style.css")],
        "token": (await gateway.call("GET", "/project", headers=authorized))[0],
        "history": [
            (row["id"], row["number"], row["status"], row["createdAt"])
            for row in (await gateway.get(f"/project/{slug}/deployments"))["deployments"]
        ],
        "log": [(line["seq"], line["log"]) for line in (await gateway.log(deployment))["rawLogs"]],
    }


async def test_after_the_move_the_same_sites_token_history_and_logs_are_there(tmp_path, postgres, s3, clickhouse):
    settings = await asyncio.to_thread(s3.make_bucket)
    url = await postgres.create_empty_database()
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "old.toml").write_text(f'[data]\ndirectory = "{tmp_path}/old/data"\n')
    target = {
        "DATABASE_URL": url,
        **environment_of(settings),
        "CLICKHOUSE_HOST": clickhouse.host,
        "BUILDSPACE_CLICKHOUSE_PORT": str(clickhouse.port),
        "CLICKHOUSE_DATABASE": "moved",
    }
    async with repository(tmp_path / "git") as git_url:
        async with running_gateway(tmp_path / "old") as gateway:
            (token,) = re.findall(r"Access token: (\S+)", gateway.output.read_text())
            answer = await gateway.deploy(git_url)
            assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
            before = await seen(gateway, answer, token)
            code, _, complained = await asyncio.to_thread(copy_by_hand, tmp_path, "projects", target)
            assert (code, "Stop it first" in complained) == (1, True)
            await gateway.terminate()
            gateway.process = None
        for what in ("objects", "projects", "logs"):
            code, printed, complained = await asyncio.to_thread(copy_by_hand, tmp_path, what, target)
            assert (code, printed) == (0, ""), complained
        async with running_gateway(tmp_path / "new", **target) as gateway:
            assert "Access token" not in gateway.output.read_text()
            assert await seen(gateway, answer, token) == before
            _, again = await gateway.call("POST", f"/project/{answer['projectSlug']}/deployments", {})
            assert (await gateway.ended(again["deploymentId"]))["number"] == 2


@pytest.mark.parametrize("what", ["objects", "projects", "logs"])
def test_a_copy_in_the_wrong_folder_is_refused_and_leaves_nothing_behind(tmp_path, what):
    (tmp_path / "old.toml").touch()
    target = {"S3_BUCKET": "b", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "CLICKHOUSE_HOST": "127.0.0.1"}
    code, printed, complained = copy_by_hand(tmp_path, what, target)
    assert (code, printed) == (2, "")
    assert f"in {tmp_path}/buildspace-data." in complained
    assert "data.directory" in complained
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.toml"]


def copy_by_hand(tmp_path, what, target):
    return run(tmp_path, "copy", what, "--from", "old.toml", BUILDSPACE_DATA_DIRECTORY=f"{tmp_path}/new/data", **target)
