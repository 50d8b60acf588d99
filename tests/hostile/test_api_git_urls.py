"""git URLs that would read the host, run a command, reach the inside, or hide what they are: each is refused."""

import pytest
import pytest_asyncio

from tests.engines.api_server import api_over_memory

HOSTILE = [
    # options and helpers that git would run
    "--upload-pack=touch /tmp/x",
    "-c core.sshCommand=x",
    "-u/tmp/x",
    "ext::sh -c 'touch /tmp/x'",
    "ext::sh -c touch% /tmp/x",
    "fd::17",
    "transport::address",
    "https::https://github.com/user/repo",
    # the host's own files
    "/etc/passwd",
    "./repo",
    "../repo",
    "~/repo",
    "repo",
    "file:///etc",
    "file://localhost/etc",
    "FILE:///etc",
    "C:\\repo",
    "\\\\server\\share",
    "//server/share/repo.git",
    # other transports
    "git://github.com/user/repo.git",
    "ssh://git@github.com/user/repo.git",
    "git@github.com:user/repo.git",
    "git+ssh://github.com/user/repo",
    "ftp://github.com/user/repo",
    "rsync://github.com/user/repo",
    "gopher://github.com/1",
    "javascript:alert(1)",
    "data:text/plain,x",
    # not encrypted
    "http://github.com/user/repo.git",
    # this machine, in every spelling
    "https://localhost/repo.git",
    "https://LOCALHOST/repo.git",
    "https://localhost./repo.git",
    "https://foo.localhost/repo.git",
    "https://127.0.0.1/repo.git",
    "https://127.1/repo.git",
    "https://2130706433/repo.git",
    "https://0x7f000001/repo.git",
    "https://0177.0.0.1/repo.git",
    "https://017700000001/repo.git",
    "https://0/repo.git",
    "https://0.0.0.0/repo.git",
    "https://[::1]/repo.git",
    "https://[::]/repo.git",
    "https://[::ffff:127.0.0.1]/repo.git",
    "https://[::ffff:7f00:1]/repo.git",
    "https://[64:ff9b::7f00:1]/repo.git",
    "https://[2002:7f00:1::]/repo.git",
    "https://①②⑦.⓪.⓪.①/repo.git",
    # the inside
    "https://10.0.0.1/repo.git",
    "https://172.16.0.1/repo.git",
    "https://192.168.1.1/repo.git",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/repo.git",
    "https://[fd00::1]/repo.git",
    "https://[fe80::1]/repo.git",
    "https://[fe80::1%25eth0]/repo.git",
    "https://[fec0::1]/repo.git",
    "https://224.0.0.1/repo.git",
    "https://255.255.255.255/repo.git",
    # secrets and confusion in the authority
    "https://user:password@github.com/user/repo.git",
    "https://token@github.com/user/repo.git",
    "https://github.com@127.0.0.1/repo.git",
    "https://github.com\\@evil.example/repo.git",
    "https://github.com:80:80/repo.git",
    "https://github.com:99999/repo.git",
    "https://github.com:-1/repo.git",
    "https://github.com:0/repo.git",
    "https://git hub.com/user/repo.git",
    "https://github%2ecom/user/repo.git",
    "https://-github.com/user/repo.git",
    "https://github..com/user/repo.git",
    "https://[github.com]/user/repo.git",
    "https://[::1/repo.git",
    "https:///user/repo.git",
    "https://",
    "https:/github.com/user/repo.git",
    "https:github.com/user/repo.git",
    # the path
    "https://github.com",
    "https://github.com/",
    "https://github.com/user/repo.git?x=1",
    "https://github.com/user/repo.git#main",
    "https://github.com/../../etc/passwd",
    "https://github.com/user/%2e%2e/repo",
    "https://github.com/user/%2E./repo",
    "https://github.com/user/repo%00.git",
    "https://github.com/user/repo%0a.git",
    "https://github.com/user/repo%5c..git",
    "https://github.com/user/%zz",
    "https://github.com/user/repo.git --upload-pack=x",
    "https://github.com/user/repo.git;touch /tmp/x",
    "https://github.com/user/`id`",
    "https://github.com/user/re|po",
    'https://github.com/user/"repo"',
    "https://github.com/user/<repo>",
    # characters that hide
    "https://github.com/user/repo.git\n",
    "https://github.com/user/repo.git\0",
    "\thttps://github.com/user/repo.git",
    " https://github.com/user/repo.git",
    "https://github.com/user/repo.git\r\nHost: evil",
    "https://github.com/user/re\u202epo\u2028",
    "\ufeffhttps://github.com/user/repo.git",
    "https://github.com/user/repo\u00a0",
    "https://github.com/\ud800",
    "https://" + "a" * 3000 + ".example/repo",
    "https://github.com/" + "a" * 3000,
    "https://" + "a." * 130 + "example/repo",
    "",
    " ",
    "\0",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api():
    async with api_over_memory() as running:
        yield running


def test_the_corpus_is_large():
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("git_url", HOSTILE, ids=ascii)
async def test_a_hostile_git_url_is_a_400_with_a_sentence(api, git_url):
    status, answer = await api.post("/project", {"name": "site", "gitUrl": git_url})
    assert (status, answer["error"]) == (400, "Validation failed")
    assert answer["fields"].keys() == {"gitUrl"}
    assert answer["details"].startswith("gitUrl ")
    assert len(answer["details"]) < 500


@pytest.mark.asyncio(loop_scope="module")
async def test_none_of_them_made_a_project(api):
    _, answer = await api.get("/project")
    assert answer["projects"] == []
