"""Builds read dates and versions from the history: it is there, without old file contents."""

import asyncio

import pytest
from aiohttp import web

from builder.sources import history
from tests.engines.git_server import git


@pytest.fixture
def old_site(server):
    """Two commits: the older one of 2020, with a tag."""
    url = server.create("site", {"old.md": "old", "index.html": "1"})
    folder = server.root / "site.work"
    git(folder, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--amend", "--reset-author", "-qm", "2020")
    git(folder, "commit", "--amend", "--quiet", "--date=2020-01-02T03:04:05Z", "--message=First")
    git(folder, "tag", "v2.3.0")
    (folder / "index.html").write_text("2")
    server.commit("site", folder, message="Second")
    return url


async def test_dates_and_tags_of_older_commits_are_there(bring, source, old_site):
    await bring(old_site)
    assert git(source, "log", "-1", "--format=%aI", "--", "old.md").startswith("2020-01-02T03:04:05")
    assert git(source, "describe", "--tags").startswith("v2.3.0-1-g")
    assert git(source, "branch", "--show-current").strip() == "main"
    assert (source / "index.html").read_text() == "2"


async def test_old_file_contents_are_not_there(bring, source, old_site):
    await bring(old_site)
    assert git(source, "rev-list", "--objects", "--missing=print", "HEAD").count("\n?") == 1


async def test_the_checkout_is_clean_and_its_configuration_has_no_more_than_the_url(bring, source, old_site):
    await bring(old_site)
    assert git(source, "status", "--porcelain") == ""
    assert git(source, "config", "--local", "--list").splitlines() == [
        "core.repositoryformatversion=1",
        "core.filemode=true",
        "core.bare=false",
        "core.logallrefupdates=true",
        f"remote.origin.url={old_site}",
        "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*",
        "remote.origin.promisor=true",
        "remote.origin.partialclonefilter=blob:none",
        "http.lowspeedlimit=512",
        "http.lowspeedtime=15",
        "branch.main.remote=origin",
        "branch.main.merge=refs/heads/main",
    ]


async def test_an_old_file_content_that_cannot_be_fetched_ends_git_with_a_sentence(bring, source, old_site, server):
    await bring(old_site)
    server.answers["/site/info/refs"] = web.Response(status=503)
    with pytest.raises(RuntimeError, match=r"(?s)returned error: 503.*could not fetch .* from promisor remote"):
        await asyncio.to_thread(git, source, "log", "-p")


async def test_without_the_filter_only_the_newest_commit_comes_and_the_log_says_so(
    bring, source, old_site, server, log
):
    git(server.root / "site", "config", "uploadpack.allowFilter", "false")
    await bring(old_site)
    assert git(source, "rev-list", "--count", "HEAD").strip() == "1"
    assert log.said[-1] == (
        "The server can't send history without file contents: only the newest commit is there, so dates and tags of"
        " older ones are missing."
    )


async def test_a_server_of_gits_first_protocol_sends_the_newest_commit(bring, source, old_site, server):
    server.is_old = True
    await bring(old_site)
    assert git(source, "rev-list", "--count", "HEAD").strip() == "1"


async def test_a_long_history_ends_where_the_log_says(bring, source, old_site, log, monkeypatch):
    monkeypatch.setattr(history, "HISTORY_COMMITS", 1)
    monkeypatch.setattr(history, "HISTORY", ("--depth=1", "--filter=blob:none"))
    await bring(old_site)
    assert log.said[-1] == ("Of the history, the newest 1 commits are there: dates and tags of older ones are missing.")


@pytest.mark.parametrize(("bound", "words"), [("HISTORY_SECONDS", "longer than 0 s"), ("HISTORY_DISK", "not sent")])
async def test_a_history_that_takes_too_much_is_left_out(bring, source, old_site, log, monkeypatch, bound, words):
    monkeypatch.setattr(history, bound, 0)
    await bring(old_site)
    assert git(source, "rev-list", "--count", "HEAD").strip() == "1"
    assert words in log.said[-1]
    assert log.said[-1].endswith("only the newest commit is there, so dates and tags of older ones are missing.")
