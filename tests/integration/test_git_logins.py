"""Tokens and deploy keys over the API: what is stored, shown, refused, handed to builds, and never seen."""

import dataclasses
import uuid

import pytest
from cryptography.hazmat.primitives import serialization

from builder.protocol.calls import DeployKey, GitToken
from gateway.models.actor import OWNER
from tests.engines.api_server import api_over_database

TOKEN = "hunter2-hunter2-hunter2"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PUBLIC = {"kind": None, "username": None, "publicKey": None, "sshUrl": None, "updatedAt": None}


@pytest.fixture
async def api(postgres, tmp_path):
    async with api_over_database(await postgres.create_database(), tmp_path) as running:
        yield running


@pytest.fixture
async def deployed(api):
    return await api.deploy()


@pytest.fixture
async def path(deployed):
    return f"/project/{deployed['projectSlug']}"


@pytest.fixture
def given(api, deployed):
    """What a build of this URL gets: by default that of the project."""

    async def given(url=None):
        deployment = await api.services.deployments.get(OWNER, uuid.UUID(deployed["deploymentId"]))
        source = dataclasses.replace(deployment.source, url=url or deployment.source.url)
        return await api.services.git_logins.of_build(dataclasses.replace(deployment, source=source))

    return given


async def test_a_public_repository_has_no_login(api, path, given):
    assert await api.get(f"{path}/git-login") == (200, PUBLIC)
    assert await given() == ("https://github.com/user/repo.git", None, None)


async def test_a_token_is_handed_to_builds_and_shown_to_nobody(api, path, given):
    status, answer = await api.call("PUT", f"{path}/git-token", json={"token": TOKEN})
    assert (status, answer["kind"], answer["username"]) == (200, "token", "x-access-token")
    assert TOKEN not in str(answer)
    assert TOKEN not in str(await api.get(f"{path}/git-login"))
    assert await given() == ("https://github.com/user/repo.git", GitToken("x-access-token", TOKEN), None)


async def test_a_token_is_stored_encrypted(api, path):
    await api.call("PUT", f"{path}/git-token", json={"token": TOKEN})
    async with api.services.database.acquire() as connection:
        row = await connection.fetchrow("SELECT * FROM git_logins")
    assert TOKEN not in str(dict(row))


@pytest.mark.parametrize(
    ("url", "is_opened"),
    [
        ("https://github.com/user/other", True),
        ("https://github.com:8443/user/repo.git", False),
        ("https://git.example/user/repo.git", False),
    ],
)
async def test_a_token_is_for_the_server_for_which_it_was_set(api, path, given, url, is_opened):
    """A project's URL changes when its repository moves, and may then name another server."""
    await api.call("PUT", f"{path}/git-token", json={"token": TOKEN})
    assert ((await given(url))[1] is not None) is is_opened


async def test_a_deploy_key_is_made_and_only_its_public_half_is_shown(api, path, given):
    status, answer = await api.post(f"{path}/deploy-key", {})
    assert (status, answer["kind"], answer["sshUrl"]) == (201, "deploy-key", "ssh://git@github.com/user/repo.git")
    url, token, key = await given()
    assert (url, token, key.known_hosts) == ("ssh://git@github.com/user/repo.git", None, ())
    assert key.private_key not in str(answer)
    made = serialization.load_ssh_private_key(key.private_key.encode(), None).public_key()
    public = made.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert answer["publicKey"].startswith(f"{public} buildspace-")
    assert public.startswith("ssh-ed25519 ")


async def test_the_host_key_of_an_unknown_server_is_confirmed_by_the_caller(api, path, given):
    url = "ssh://git@git.example:2222/user/repo"
    status, answer = await api.post(f"{path}/deploy-key", {"sshUrl": url})
    assert status == 409
    assert "`ssh-keyscan -t ed25519 -p 2222 git.example` prints it" in answer["details"]
    await api.post(f"{path}/deploy-key", {"sshUrl": url, "hostKey": HOST_KEY})
    opened, _, key = await given()
    assert (opened, key.known_hosts) == (url, (f"[git.example]:2222 {HOST_KEY}",))


async def test_a_deploy_key_is_for_its_repository_alone(api, path, given):
    await api.post(f"{path}/deploy-key", {})
    assert (await given("https://github.com/user/other"))[2] is None
    assert isinstance((await given())[2], DeployKey)


async def test_a_login_replaces_the_one_before_and_can_be_deleted(api, path, given):
    await api.call("PUT", f"{path}/git-token", json={"token": TOKEN})
    await api.post(f"{path}/deploy-key", {})
    assert (await api.get(f"{path}/git-login"))[1]["kind"] == "deploy-key"
    assert await api.call("DELETE", f"{path}/git-login") == (200, PUBLIC)
    assert (await api.call("DELETE", f"{path}/git-login"))[0] == 404
    assert (await given())[2] is None


@pytest.mark.parametrize(
    ("method", "where", "body", "field"),
    [
        ("PUT", "git-token", {}, "token"),
        ("PUT", "git-token", {"token": "short"}, "token"),
        ("PUT", "git-token", {"token": "with a space"}, "token"),
        ("PUT", "git-token", {"token": TOKEN + "\n"}, "token"),
        ("PUT", "git-token", {"token": TOKEN, "username": "a:b"}, "username"),
        ("POST", "deploy-key", {"sshUrl": "https://github.com/a/b"}, "sshUrl"),
        ("POST", "deploy-key", {"sshUrl": "git@10.0.0.1:a/b"}, "sshUrl"),
        ("POST", "deploy-key", {"sshUrl": "git@-oProxyCommand=id:a"}, "sshUrl"),
        ("POST", "deploy-key", {"hostKey": "ssh-ed25519 AAAA\nevil.example ssh-ed25519 AAAA"}, "hostKey"),
    ],
)
async def test_what_is_wrong_is_named(api, path, method, where, body, field):
    status, answer = await api.call(method, f"{path}/{where}", json=body)
    assert (status, answer["fields"].keys()) == (400, {field})


async def test_a_login_of_an_unknown_project_is_a_404(api):
    assert (await api.call("PUT", "/project/no-such/git-token", json={"token": TOKEN}))[0] == 404
    assert (await api.post("/project/no-such/deploy-key", {}))[0] == 404
