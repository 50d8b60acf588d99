"""Submodules come with a clone, at the recorded commit; hostile ones are refused, and nothing of them runs."""

import pytest
from aiohttp import web

from builder.errors import BuildFailed
from builder.sources import submodules
from tests.engines.git_server import git


def head(server, name):
    return git(server.root / name, "rev-parse", "HEAD").strip()


@pytest.fixture
def with_submodule(server):
    """Makes a repository that has another as a submodule; its URL."""

    def make(name, inner, *, path="theme", url=None, sha=None, more="", files=None):
        section = f'[submodule "theme"]\n\tpath = {path}\n\turl = {url or f"../{inner}"}\n{more}'
        server.create(name, {"index.html": "1", ".gitmodules": section} if files is None else files)
        folder = server.root / f"{name}.work"
        link = f"160000,{sha or head(server, inner)},{path}"
        git(folder, "update-index", "--add", "--cacheinfo", link)
        (folder / path).mkdir(parents=True, exist_ok=True)
        return server.commit(name, folder, message="Add a theme")

    return make


async def test_a_submodule_is_checked_out_at_the_recorded_commit(server, bring, source, with_submodule, log):
    server.create("theme", {"main.css": "old"})
    recorded = head(server, "theme")
    (server.root / "theme.work/main.css").write_text("new")
    server.commit("theme", server.root / "theme.work", message="Newer")
    await bring(with_submodule("site", "theme", sha=recorded))
    assert (source / "theme/main.css").read_text() == "old"
    assert git(source / "theme", "rev-parse", "HEAD").strip() == recorded
    assert f"Fetching the submodule theme from {server.url('theme')}" in log.said
    assert git(source, "status", "--porcelain") == ""


async def test_submodules_of_submodules_come_too(server, bring, source, with_submodule):
    server.create("icons", {"logo.svg": "<svg>"})
    with_submodule("theme", "icons", path="icons")
    url = with_submodule("site", "theme")
    await bring(url)
    assert (source / "theme/icons/logo.svg").read_text() == "<svg>"


async def test_more_submodules_than_allowed_are_refused(server, bring, with_submodule, monkeypatch):
    monkeypatch.setattr(submodules, "MAX_SUBMODULES", 0)
    server.create("theme", {"main.css": "1"})
    with pytest.raises(BuildFailed, match="There are more than 0 submodules; the next one is theme"):
        await bring(with_submodule("site", "theme"))


async def test_submodules_that_are_nested_too_deep_are_refused(server, bring, with_submodule, monkeypatch):
    monkeypatch.setattr(submodules, "MAX_DEPTH", 1)
    server.create("icons", {"logo.svg": "<svg>"})
    with_submodule("theme", "icons", path="icons")
    with pytest.raises(BuildFailed, match="nested more than 1 deep; the next one is icons"):
        await bring(with_submodule("site", "theme"))


async def test_a_private_submodule_is_named(server, bring, with_submodule):
    server.create("theme", {"main.css": "1"})
    url = with_submodule("site", "theme")
    server.answers["/theme/info/refs"] = web.Response(status=401)
    with pytest.raises(BuildFailed, match=r"(?s)The submodule theme \(../theme\) can't be fetched: .* is private or.*"):
        await bring(url)


async def test_a_submodule_that_the_build_does_not_need_stays_empty(server, bring, source, with_submodule, log):
    server.create("theme", {"main.css": "1"})
    await bring(with_submodule("site", "theme", more="\tupdate = none\n"))
    assert list((source / "theme").iterdir()) == []
    assert log.said[-1] == "The submodule theme stays empty: .gitmodules says `update = none`."


async def test_a_submodule_without_a_url_gets_a_warning(server, bring, with_submodule, log):
    server.create("theme", {"main.css": "1"})
    await bring(with_submodule("site", "theme", files={"index.html": "1"}))
    assert log.said[-1].startswith("Warning: theme is a submodule without a URL in .gitmodules")


async def test_a_command_of_a_submodule_does_not_run(server, bring, source, with_submodule, tmp_path):
    server.create("theme", {"main.css": "1"})
    await bring(with_submodule("site", "theme", more=f"\tupdate = !touch {tmp_path}/ran\n"))
    assert (source / "theme/main.css").exists()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "-uext::sh"])
async def test_a_submodule_at_a_url_that_is_not_accepted_is_named(server, bring, with_submodule, url):
    server.create("theme", {"main.css": "1"})
    with pytest.raises(BuildFailed, match=r"The submodule theme \(.* can't be fetched: .*\n.*update = none"):
        await bring(with_submodule("site", "theme", url=url))


async def test_a_submodule_whose_name_leads_out_of_the_repository_stays_inside(server, bring, source, with_submodule):
    """CVE-2018-11235: git kept the submodule's own .git, with its hooks, below that name."""
    server.create("theme", {"main.css": "1", "hooks/post-checkout": "#!/bin/sh\ntouch ran\n"})
    with_submodule("site", "theme")
    folder = server.root / "site.work"
    text = (folder / ".gitmodules").read_text().replace('"theme"', '"../../hooks"')
    (folder / ".gitmodules").write_text(text)
    await bring(server.commit("site", folder, message="Evil"))
    assert (source / "theme/.git").is_dir()
    assert {path.name for path in source.parent.iterdir()} == {"src"}
    assert not (source / ".git/modules").exists()


def tree_of(server, name, *entries):
    """Publish a commit whose tree has these entries, whatever they are."""
    folder = server.root / f"{name}.work"
    raw = b"".join(f"{mode} {path}".encode() + b"\0" + bytes.fromhex(sha) for mode, path, sha in entries)
    (folder / "raw").write_bytes(raw)
    tree = git(folder, "hash-object", "-t", "tree", "-w", "--literally", "raw").strip()
    commit = git(folder, "commit-tree", tree, "-m", "Evil").strip()
    git(folder, "update-ref", "refs/heads/main", commit)
    git(folder, "push", "--quiet", "--force", str(server.root / name), "main")
    return server.url(name)


@pytest.mark.parametrize("path", ["link/theme", "../theme", "file", "full", "missing"])
def test_a_submodule_goes_only_into_an_empty_folder_of_the_repository(tmp_path, path):
    """CVE-2024-32002: a link of the repository led the checkout of a submodule into .git."""
    (tmp_path / "theme").mkdir()
    root = tmp_path / "src"
    (root / "full/more").mkdir(parents=True)
    (root / "file").write_bytes(b"")
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(BuildFailed, match="not an empty folder in the repository"):
        submodules.check_folder(root, path)


async def test_a_submodule_below_a_link_of_the_same_name_stays_inside(server, bring, source, with_submodule, tmp_path):
    server.create("theme", {"main.css": "1"})
    (tmp_path / "outside").mkdir()
    with_submodule("site", "theme", path="a/theme")
    folder = server.root / "site.work"
    (folder / "target").write_text(str(tmp_path / "outside"))
    link = git(folder, "hash-object", "-w", "target").strip()
    modules = git(folder, "rev-parse", "HEAD:.gitmodules").strip()
    inner = git(folder, "rev-parse", "HEAD:a").strip()
    url = tree_of(server, "site", ("100644", ".gitmodules", modules), ("120000", "a", link), ("40000", "a", inner))
    await bring(url)
    assert not (source / "a").is_symlink()
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("path", ["..", ".git"])
async def test_a_submodule_at_a_path_outside_is_refused(server, bring, source, with_submodule, path):
    server.create("theme", {"main.css": "1"})
    with_submodule("site", "theme")
    sha = head(server, "theme")
    url = tree_of(server, "site", ("160000", path, sha))
    with pytest.raises(BuildFailed, match=r"invalid path|git clone failed|can't be fetched"):
        await bring(url)
    assert not (source.parent / "theme").exists()


async def test_a_link_in_place_of_gitmodules_is_not_followed(server, bring, with_submodule, tmp_path):
    server.create("theme", {"main.css": "1"})
    with_submodule("site", "theme")
    folder = server.root / "site.work"
    (tmp_path / "modules").write_bytes((folder / ".gitmodules").read_bytes())
    (folder / ".gitmodules").unlink()
    (folder / ".gitmodules").symlink_to(tmp_path / "modules")
    with pytest.raises(BuildFailed, match="git clone failed"):
        await bring(server.commit("site", folder, message="Evil"))
