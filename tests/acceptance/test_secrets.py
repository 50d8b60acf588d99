"""A secret from the API to the build, on a gateway of its own: where it is seen, and what happens to its key."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway, eventually, running_gateway

SECRET = "hunter2-hunter2-hunter2"
FORMS = (SECRET.encode(), base64.b64encode(SECRET.encode()), base64.b64encode(f"x{SECRET}".encode())[2:-4])
COMMAND = (
    'test "$API_KEY" && echo "key $API_KEY" && printf "u:$API_KEY" | base64 && mkdir dist && echo ok > dist/index.html'
)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """For all tests here; the last one stops it and looks at what they have left."""
    async with running_gateway(tmp_path_factory.mktemp("secrets")) as running:
        yield running


async def set_secret(gateway: Gateway, slug: str) -> None:
    body = {"name": "API_KEY", "value": SECRET, "secret": True}
    status, answer = await gateway.call("PUT", f"/project/{slug}/variables", body)
    assert status == 200, answer


async def deploy_again(gateway: Gateway, slug: str) -> str:
    status, answer = await gateway.call("POST", f"/project/{slug}/deployments")
    assert status == 201, answer
    return str(answer["deploymentId"])


def files_with_the_secret(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(form in path.read_bytes() for form in FORMS)]


async def test_a_secret_in_the_output_fails_with_file_and_line(gateway: Gateway, repositories: Repositories) -> None:
    url = repositories.from_files("leak", {"a.txt": "a"})
    command = "mkdir -p dist/js && echo ok > dist/index.html && printf 'a\\n%s\\n' \"$API_KEY\" > dist/js/app.js"
    first = await gateway.deploy(url, installCommand="", buildCommand=command, outputDirectory="dist")
    await gateway.ended(first["deploymentId"])
    await set_secret(gateway, first["projectSlug"])
    deployment = await gateway.ended(await deploy_again(gateway, first["projectSlug"]))
    assert deployment["status"] == "FAILED"
    assert "js/app.js, line 2, has the value of the secret API_KEY" in deployment["reason"]
    assert SECRET not in str(deployment)


async def test_a_lost_key_turns_ready_red_until_it_is_back(gateway: Gateway, repositories: Repositories) -> None:
    url = repositories.from_files("lost", {"index.html": "ok"})
    slug = (await gateway.deploy(url))["projectSlug"]
    await set_secret(gateway, slug)
    key = gateway.directory / "data" / "secrets.key"
    key.rename(gateway.directory / "elsewhere")

    async def troubles() -> dict[str, str]:
        return dict((await gateway.call("GET", "/ready"))[1]["troubles"])

    sentence = (await eventually(troubles, "the missing key is a trouble", 30))["secrets"]
    assert "This gateway lacks the key" in sentence
    assert not key.exists()
    (gateway.directory / "elsewhere").rename(key)
    await eventually(gateway._is_ready, "the gateway works again", 30)


async def test_a_rotation_beside_a_running_gateway_keeps_builds_working(
    gateway: Gateway, repositories: Repositories
) -> None:
    url = repositories.from_files("rotated", {"a.txt": "a"})
    settings = {"installCommand": "", "buildCommand": COMMAND, "outputDirectory": "dist"}
    slug = (await gateway.deploy(url, **settings))["projectSlug"]
    await set_secret(gateway, slug)
    before = (gateway.directory / "data" / "secrets.key").read_text()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "secrets", "rotate"), cwd=gateway.directory, env=gateway.environment
    )
    assert await process.wait() == 0
    assert (gateway.directory / "data" / "secrets.key").read_text() != before
    deployment = await gateway.ended(await deploy_again(gateway, slug))
    assert deployment["status"] == "READY", deployment["reason"]


async def test_a_secret_reaches_the_build_and_no_other_place(gateway: Gateway, repositories: Repositories) -> None:
    url = repositories.from_files("secret", {"a.txt": "a"})
    first = await gateway.deploy(
        url,
        installCommand="",
        buildCommand=COMMAND,
        outputDirectory="dist",
        variables=[{"name": "API_KEY", "value": SECRET, "secret": True}],
    )
    deployment = await gateway.ended(first["deploymentId"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    assert await gateway.fetch(first["projectSlug"]) == (200, b"ok\n")
    text = await gateway.log_text(first["deploymentId"])
    assert "key ***" in text.split("\n")
    assert not [form for form in FORMS if form.decode() in text]
    await gateway.terminate()
    assert files_with_the_secret(gateway.directory) == []
