"""A token opens a private repository, and is seen nowhere."""

import base64
import shutil
import sys

import pytest

from builder.errors import BuildFailed
from builder.protocol.calls import GitToken
from tests.engines.git_server import git, git_server

TOKEN = GitToken("x-access-token", "hunter2-hunter2")
BASIC = base64.b64encode(b"x-access-token:hunter2-hunter2").decode()
RECORDS = """\
#!{python}
import os, sys
with open({record!r}, "a") as file:
    file.write(repr((sys.argv, dict(os.environ))))
os.execv({git!r}, ["git", *sys.argv[1:]])
"""


@pytest.fixture
def private_site(server):
    url = server.create("site", {"page": "1"})
    server.login = f"Basic {BASIC}"
    return url


async def test_a_token_opens_a_private_repository(bring, source, private_site):
    assert (await bring(private_site, token=TOKEN)).message == "First"
    assert (source / "page").read_text() == "1"


async def test_a_token_is_in_no_argument_environment_log_or_file(bring, source, private_site, tmp_path, log):
    (tmp_path / "bin").mkdir()
    record = tmp_path / "record"
    program = tmp_path / "bin/git"
    program.write_text(RECORDS.format(python=sys.executable, record=str(record), git=shutil.which("git")))
    program.chmod(0o755)
    await bring(private_site, token=TOKEN, environ={"PATH": f"{program.parent}:/usr/bin:/bin"})
    assert "fetch" in record.read_text()
    files = [path for folder in (source, tmp_path / "private") for path in folder.rglob("*") if path.is_file()]
    seen = [record.read_text(), repr(TOKEN), *log.said, *(path.read_bytes().decode("latin-1") for path in files)]
    assert not [text for text in seen if TOKEN.token in text or BASIC in text]


async def test_without_the_right_token_the_repository_stays_closed(bring, private_site):
    with pytest.raises(BuildFailed, match="is private or does not exist"):
        await bring(private_site)
    with pytest.raises(BuildFailed, match="the project's git token does not open it"):
        await bring(private_site, token=GitToken("git", "wrong"))


async def test_a_token_opens_private_submodules_of_its_server(server, bring, source, private_site):
    sha = git(server.root / "site", "rev-parse", "HEAD").strip()
    outer = server.create("outer", {".gitmodules": '[submodule "s"]\n\tpath = theme\n\turl = ../site\n'})
    git(server.root / "outer.work", "update-index", "--add", "--cacheinfo", f"160000,{sha},theme")
    (server.root / "outer.work/theme").mkdir()
    server.commit("outer", server.root / "outer.work", message="Theme")
    await bring(outer, token=TOKEN)
    assert (source / "theme/page").read_text() == "1"


async def test_a_token_is_not_sent_to_another_server(server, bring, tmp_path):
    async with git_server(tmp_path / "other") as other:
        other.login = f"Basic {BASIC}"
        server.redirect("site", f"{other.create('site', {'page': '1'})}/info/refs?service=git-upload-pack", 301)
        with pytest.raises(BuildFailed, match="is private or does not exist"):
            await bring(server.url("site"), token=TOKEN)
