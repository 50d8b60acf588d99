"""Clones over smart HTTP: what is brought, what is refused, and in which words."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import web

from builder import disk
from builder.errors import BuildFailed
from builder.protocol.giturls import parse_git_url
from builder.sources.remote import resolve
from tests.engines.git_server import git
from tests.engines.waiting import until


async def test_the_newest_commit_is_checked_out(server, bring, tmp_path):
    url = server.create("site", {"a/index.html": "<p>"}, message="Begin\n\nLonger")
    commit = await bring(url)
    assert (tmp_path / "build/src/a/index.html").read_text() == "<p>"
    assert commit.message == "Begin"
    assert commit.sha == git(tmp_path / "git/site", "rev-parse", "HEAD").strip()


async def test_of_a_message_without_end_only_the_beginning_is_read(server, bring):
    commit = await bring(server.create("site", {"a": "1"}, message="x" * 100_000))
    assert commit.message == "x" * 500


@pytest.mark.parametrize("branch", ["--upload-pack=touch x", "-c", "@", "feature/.hidden", "a\nb", ""])
async def test_an_evil_branch_never_reaches_git(bring, branch):
    with pytest.raises(BuildFailed, match="not a name that git accepts"):
        await bring("https://example.org/a", branch)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "private or does not exist"),
        (404, "no git repository"),
        (503, "has a problem"),
        (204, "where a repository was"),
    ],
)
async def test_what_the_server_answers_is_told_in_words(server, bring, status, words):
    server.answers["/site/info/refs"] = web.Response(status=status)
    with pytest.raises(BuildFailed, match=words):
        await bring(server.url("site"))


async def test_a_repository_that_is_not_there_is_told(server, bring):
    with pytest.raises(BuildFailed, match="There is no git repository at"):
        await bring(server.url("nothing"))


async def test_a_server_that_is_not_there_is_told(bring):
    with pytest.raises(BuildFailed, match=r"127\.0\.0\.1 could not be reached on port 1\."):
        await bring("http://127.0.0.1:1/a")


async def test_a_redirect_to_another_repository_is_followed(server, bring):
    server.create("site", {"a": "1"})
    server.redirect("old", "/site/info/refs?service=git-upload-pack")
    assert (await bring(server.url("old"))).message == "First"


@pytest.mark.parametrize(("status", "is_kept"), [(308, True), (307, False)])
async def test_a_repository_that_has_moved_for_good_is_remembered(server, bring, log, status, is_kept):
    server.create("site", {"a": "1"})
    server.redirect("old", "/middle/info/refs?service=git-upload-pack", 301)
    server.redirect("middle", "../../site/info/refs?service=git-upload-pack", status)
    commit = await bring(server.url("old"))
    assert (commit.moved_to == server.url("site")) is is_kept
    words = "The repository has moved for good" if is_kept else "The server redirects"
    assert f"{words} to {server.url('site')}" in log.said


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/x/info/refs?service=git-upload-pack",
        "https://10.0.0.1/x/info/refs?service=git-upload-pack",
        "file:///etc/info/refs?service=git-upload-pack",
        "https://user:pass@github.com/x/info/refs?service=git-upload-pack",
        "http://169.254.169.254/latest/meta-data",
        "/old/info/refs?service=git-upload-pack",
        "",
    ],
)
async def test_a_redirect_that_leads_elsewhere_is_refused(server, bring, location):
    server.redirect("old", location)
    with pytest.raises(BuildFailed, match="redirects"):
        await bring(server.url("old"))


async def test_a_private_address_is_refused_unless_opened(server, bring):
    with pytest.raises(BuildFailed, match="private address"):
        await bring(server.url("site"), allowed=["10.0.0.0/8"])


async def test_a_name_that_leads_to_a_private_address_is_refused(monkeypatch):
    async def rebound(url):
        return (ipaddress.ip_address("10.0.0.7"),)

    monkeypatch.setattr("builder.sources.remote._look_up", rebound)
    with pytest.raises(BuildFailed, match=r"resolves to the private address 10\.0\.0\.7"):
        await resolve(parse_git_url("https://git.example/a"), [])


async def test_a_name_that_needs_no_resolver_is_pinned(server, bring):
    server.create("site", {"a": "1"})
    url = f"http://git.localhost:{server.port}/site"
    assert (await bring(url, allowed=[f"git.localhost:{server.port}"])).message == "First"


async def test_nothing_of_the_machines_configuration_is_used(server, bring, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "template/hooks").mkdir(parents=True)
    hook = home / "template/hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n templateDir = {home}/template\n[core]\n hooksPath = {home}/template/hooks\n"
        f'[url "file:///"]\n insteadOf = http://\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert (await bring(server.create("site", {"a": "1"}))).message == "First"
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "build/src/.git/hooks").exists()


async def test_a_repository_beyond_the_disk_limit_is_stopped(server, bring, monkeypatch):
    monkeypatch.setattr(disk, "FIRST_LOOK_SECONDS", 0.01)
    noise = os.urandom(8_000_000)
    with pytest.raises(BuildFailed, match=r"disk|exit code"):
        await bring(
            server.create("site", {f"f{number}": noise + bytes([number]) for number in range(3)}), disk_bytes=2**20
        )


CLONES = """
import asyncio, sys, uuid
from pathlib import Path
from builder.sources.git import clone
from builder.logs import LineSender

async def send(record):
    pass

async def main(url, work):
    log = LineSender(
        send, project="p", deployment_id=uuid.uuid4(), attempt=1, spool_directory=work, limit_bytes=10**6
    )
    limits = {"disk_bytes": 10**9, "memory_bytes": 2**31}
    await clone(url, None, work / "src", log, private=work / "private", allow_private_hosts=["127.0.0.1"], **limits)

asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


async def answer_for_ever(reader, writer):
    """The branches of a repository, one after the other, without an end."""
    line = b"%s refs/heads/main\n" % (b"1" * 40)
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n")
    writer.write(b"001e# service=git-upload-pack\n0000" + b"%04x%s" % (len(line) + 4, line))
    try:
        while True:
            writer.write(b"%04x%s" % (len(line) + 4, line))
            await writer.drain()
            await asyncio.sleep(0.02)
    except ConnectionError:
        writer.transport.abort()


def processes_with(text):
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text.encode() in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


async def test_git_ends_with_a_builder_that_is_killed(tmp_path):
    server = await asyncio.start_server(answer_for_ever, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/endless.git"
    builder = await asyncio.create_subprocess_exec(sys.executable, "-c", CLONES, url, str(tmp_path))
    try:
        await until(lambda: bool(processes_with(url) - {builder.pid}))
        builder.kill()
        await builder.wait()
        await until(lambda: not processes_with(url))
    finally:
        for pid in processes_with(url):
            os.kill(pid, signal.SIGKILL)
        server.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_git_that_resolves_names_again_is_refused(server, bring, tmp_path):
    old = tmp_path / "old" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)
    with pytest.raises(BuildFailed, match=r"git version 2.34.1 is too old: builds need git 2.37"):
        await bring(server.create("site", {"a": "1"}), environ={"PATH": f"{old.parent}:/usr/bin:/bin"})
