"""A deploy key opens a repository over ssh, on a server whose key is known, and is seen nowhere."""

import pytest

from builder.errors import BuildFailed
from builder.protocol.calls import DeployKey
from tests.engines.git_server import git
from tests.engines.sshd import make_key, sshd


@pytest.fixture(scope="module")
def ssh(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd") / "sshd") as server:
        yield server


@pytest.fixture
def known(ssh):
    return DeployKey(ssh.private_key, (f"[127.0.0.1]:{ssh.port} {ssh.host_key}",))


@pytest.fixture
def url(server, ssh):
    server.create("site", {"page": "1"})
    (server.root / "site.work/page").write_text("2")
    server.commit("site", server.root / "site.work", message="Second")
    return ssh.url(server.root / "site")


async def test_a_deploy_key_opens_a_repository_with_its_history(bring, source, url, known):
    assert (await bring(url, key=known)).message == "Second"
    assert (source / "page").read_text() == "2"
    assert git(source, "rev-list", "--count", "HEAD").strip() == "2"


async def test_a_deploy_key_is_gone_after_the_clone(bring, source, url, known, tmp_path, log):
    await bring(url, key=known)
    files = [path for folder in (source, tmp_path / "private") for path in folder.rglob("*") if path.is_file()]
    secret = known.private_key.splitlines()[2]
    seen = [repr(known), *log.said, *(path.read_bytes().decode("latin-1") for path in files)]
    assert not [text for text in seen if secret in text]


async def test_a_server_that_is_not_known_is_not_asked(bring, url, ssh, tmp_path):
    unknown = DeployKey(ssh.private_key)
    with pytest.raises(
        BuildFailed, match=r"The host key of 127\.0\.0\.1 is not the one that was confirmed, or none was"
    ):
        await bring(url, key=unknown)
    other = DeployKey(ssh.private_key, (f"[127.0.0.1]:{ssh.port} {make_key(tmp_path / 'other')}",))
    with pytest.raises(
        BuildFailed, match=r"The host key of 127\.0\.0\.1 is not the one that was confirmed, or none was"
    ):
        await bring(url, key=other)


async def test_a_key_that_the_server_does_not_accept_is_told(bring, url, known, tmp_path):
    make_key(tmp_path / "wrong")
    with pytest.raises(BuildFailed, match=r"does not accept the deploy key\. Add its public half to the repository"):
        await bring(url, key=DeployKey((tmp_path / "wrong").read_text(), known.known_hosts))


async def test_a_private_address_is_refused_over_ssh_too(bring, url, known):
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1 is a private address"):
        await bring(url, key=known, allowed=())
