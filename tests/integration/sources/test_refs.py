"""What of a repository is built, and which sentence says why nothing can be."""

import sys

import pytest
from aiohttp import web

from builder.errors import BuildFailed, Lost
from builder.sources.git import Commit
from tests.engines.git_server import git


@pytest.fixture
def site(server):
    """Two commits on main."""
    server.create("site", {"page": "1"})
    (server.root / "site.work/page").write_text("2")
    return server.commit("site", server.root / "site.work", message="Second")


async def test_a_branch_can_be_named(server, bring, source, site):
    name = "feature/a-b"
    git(server.root / "site", "branch", name, "HEAD~1")
    assert await bring(site, name) == Commit(git(source, "rev-parse", "HEAD").strip(), "First", name)
    assert git(source, "branch", "--show-current").strip() == name


@pytest.mark.parametrize("options", [(), ("--annotate", "--message=One")])
async def test_a_tag_can_be_named(server, bring, source, site, options):
    git(server.root / "site", "tag", *options, "v1.0", "HEAD~1")
    commit = await bring(site, "v1.0")
    assert (commit.message, commit.branch) == ("First", None)
    assert git(source, "describe", "--tags", "--exact-match").strip() == "v1.0"


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_commit_can_be_named_also_where_the_server_sends_only_branches(server, bring, source, site, is_old):
    server.is_old = is_old
    older = git(server.root / "site", "rev-parse", "HEAD~1").strip()
    commit = await bring(site, older)
    assert (commit.sha, commit.message, commit.branch) == (older, "First", None)
    assert (source / "page").read_text() == "1"


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_commit_that_is_not_there_is_named(server, bring, site, is_old):
    server.is_old = is_old
    with pytest.raises(BuildFailed, match=f"There is no commit {'1' * 40} in .* A forced push may have removed it"):
        await bring(site, "1" * 40)


async def test_a_short_commit_is_refused_with_what_would_be_right(bring, site):
    with pytest.raises(BuildFailed, match="A commit is named by all its 40 digits"):
        await bring(site, "abc1234")


async def test_a_branch_comes_before_a_commit_of_that_name(server, bring, site):
    git(server.root / "site", "branch", "a" * 40)
    assert (await bring(site, "a" * 40)).branch == "a" * 40


async def test_a_repository_with_longer_ids_is_cloned(server, bring, source):
    server.create("site", {"page": "1"}, object_format="sha256")
    assert len((await bring(server.url("site"))).sha) == 64


async def test_a_branch_that_is_gone_is_told_with_the_nearest_that_exist(server, bring, site):
    for name in ("deploy", "develop", *(f"other-{number:02}" for number in range(12))):
        git(server.root / "site", "branch", name)
    with pytest.raises(BuildFailed) as told:
        await bring(site, "devlop")
    assert told.value.reason == (
        f"There is no branch or tag called 'devlop' in {site}. Set branch to one that exists: develop, deploy, main,"
        " other-00, other-01, other-02, other-03, other-04, other-05, other-06 and 5 more."
    )


async def test_a_default_branch_that_does_not_exist_is_told_with_those_that_do(server, bring):
    url = server.create("site", {"page": "1"}, branch="develop")
    git(server.root / "site", "symbolic-ref", "HEAD", "refs/heads/master")
    with pytest.raises(BuildFailed, match=r"HEAD names one that does not exist\. Set branch to one that does: develop"):
        await bring(url)


async def test_a_default_branch_that_is_no_branch_is_built(server, bring, site):
    git(server.root / "site", "update-ref", "--no-deref", "HEAD", "HEAD~1")
    commit = await bring(site)
    assert (commit.message, commit.branch) == ("First", None)


async def test_a_repository_with_tags_alone_is_told(server, bring, site):
    git(server.root / "site", "tag", "v1.0")
    git(server.root / "site", "update-ref", "-d", "refs/heads/main")
    with pytest.raises(BuildFailed, match=r"has no branch, only tags\. Set branch to one of them: v1\.0\."):
        await bring(site)


@pytest.mark.parametrize("ref", [None, "main"])
async def test_an_empty_repository_is_told(server, bring, ref):
    (server.root / "empty").mkdir()
    git(server.root / "empty", "init", "--quiet", "--bare")
    with pytest.raises(BuildFailed, match=r"is empty\. Push .* to it, and deploy again"):
        await bring(server.url("empty"), ref)


async def test_a_web_page_is_told_from_a_repository(server, bring):
    server.answers["/login/info/refs"] = web.Response(body=b"<html>Sign in", content_type="text/html")
    with pytest.raises(BuildFailed, match=r"answers with a web page, not with a git repository\. Use the URL that"):
        await bring(server.url("login"))


async def test_another_answer_is_told_from_a_repository(server, bring):
    server.answers["/old/info/refs"] = web.Response(text="1234\trefs/heads/main\n")
    with pytest.raises(BuildFailed, match="answers with 'text/plain', not with a git repository"):
        await bring(server.url("old"))


async def test_a_git_that_was_killed_says_nothing_about_the_repository(bring, site, tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/git"
    program.write_text(f"#!{sys.executable}\nimport os\nos.kill(os.getpid(), 9)\n")
    program.chmod(0o755)
    with pytest.raises(Lost, match="git ended with exit code 137 before it had answered"):
        await bring(site, environ={"PATH": str(program.parent)})
