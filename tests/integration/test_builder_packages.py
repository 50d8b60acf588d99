"""Packages that the builder itself fetches: once, whole, as the registry's hashes say, within a bounded folder."""

import asyncio
import io
import tarfile

import pytest

from builder.node import find_nodes
from builder.packages import Packages
from builder.registry import Missing, Registry, Unfetched
from tests.engines.npm_registry import npm_registry, pack

FILES = {"bin/tool.js": "#!/usr/bin/env node\n", "lib/big.js": "x" * 10_000}
LIMIT = 10**9


@pytest.fixture
async def registry():
    async with npm_registry() as registry:
        registry.add("tool", "1.0.0", FILES, bin={"tool": "bin/tool.js"})
        yield registry


@pytest.fixture
def opened(tmp_path, registry):
    """Makes what one builder has. All share the folder `packages`."""
    npm = find_nodes()[-1]
    made = []

    async def say(text):
        said.append(text)

    said = []

    def opened(limit_bytes=LIMIT, url=None):
        client = Registry(npm.npm, npm.folders, tmp_path / "home", {"npm_config_registry": url or registry.url})
        packages = Packages(tmp_path / "packages", limit_bytes, say, client)
        made.append(packages)
        return packages

    opened.said, opened.made = said, made
    yield opened
    for packages in made:
        packages.close()


async def test_a_package_is_fetched_once_for_all_builders(opened, registry):
    entries = await asyncio.gather(*(opened().take("tool", "1.0.0") for _ in range(3)))
    assert {entry.folder for entry in entries} == {entries[0].folder}
    assert (entries[0].folder / "lib/big.js").read_text() == FILES["lib/big.js"]
    assert entries[0].programs() == {"tool": entries[0].folder / "bin/tool.js"}
    assert registry.asked.count("/tool/-/1.0.0") == 1
    assert opened.said == ["Fetching tool@1.0.0 from the npm registry"]


async def test_only_the_files_that_are_needed_are_kept(opened):
    entry = await opened().take("tool", "1.0.0", ("package.json", "bin/tool.js").__contains__)
    assert sorted(path.name for path in entry.folder.rglob("*.js")) == ["tool.js"]


async def test_a_package_with_another_hash_than_the_metadata_names_is_refused(opened, registry, tmp_path):
    registry.falsify(registry.add("tool", "1.0.0", FILES))
    with pytest.raises(Unfetched, match=r"tool@1\.0\.0 could not be fetched from the npm registry: .*integrity"):
        await opened().take("tool", "1.0.0")
    assert not [path for path in (tmp_path / "packages").iterdir() if path.is_dir()]


@pytest.mark.parametrize(("name", "version"), [("tool", "9.0.0"), ("no-such-tool", "1.0.0")])
async def test_what_the_registry_lacks_is_missing(opened, name, version):
    with pytest.raises(Missing, match=f"The npm registry has no {name}@{version}"):
        await opened().take(name, version)


@pytest.mark.parametrize("version", ["1.0.0 --userconfig=x", "latest", "^1", "../1.0.0", "file:/etc"])
async def test_only_a_version_is_asked_for(opened, registry, version):
    with pytest.raises(Unfetched):
        await opened().take("tool", version)
    assert registry.asked == []


@pytest.mark.parametrize("damage", ["cut", "removed"])
async def test_a_torn_package_is_fetched_again(opened, registry, damage):
    folder = (await opened().take("tool", "1.0.0")).folder
    (folder / "lib/big.js").write_text("cut") if damage == "cut" else (folder / "lib/big.js").unlink()
    for packages in opened.made:
        packages.close()
    entry = await opened().take("tool", "1.0.0")
    assert (entry.folder / "lib/big.js").read_text() == FILES["lib/big.js"]
    assert registry.asked.count("/tool/-/1.0.0") == 2


async def test_what_was_used_least_recently_is_removed_beyond_the_limit(opened, registry, tmp_path):
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        registry.add("tool", version, FILES)
        packages = opened(limit_bytes=25_000)
        await packages.take("tool", version)
        packages.close()
    assert names(tmp_path) == ["tool@2.0.0", "tool@3.0.0"]


async def test_what_a_running_builder_uses_stays(opened, registry, tmp_path):
    registry.add("tool", "2.0.0", FILES)
    user = opened(limit_bytes=1)
    await user.take("tool", "1.0.0")
    await opened(limit_bytes=1).take("tool", "2.0.0")
    assert names(tmp_path) == ["tool@1.0.0", "tool@2.0.0"]


async def test_what_a_killed_builder_left_unfinished_is_removed(opened, tmp_path):
    left = tmp_path / "packages/old@1.0.0.partial"
    left.mkdir(parents=True)
    await opened().take("tool", "1.0.0")
    assert not left.exists()


async def test_links_are_left_out(opened, registry):
    registry.add_packed("tool", "1.1.0", pack({"package.json": "{}"}, links={"bin": "/etc", "x": "../../y"}))
    entry = await opened().take("tool", "1.1.0")
    assert [path.name for path in entry.folder.iterdir()] == ["package.json"]


@pytest.mark.parametrize("path", ["package/../../../escaped", "package/a/../../../../escaped"])
async def test_a_path_that_leads_out_is_refused(opened, registry, tmp_path, path):
    registry.add_packed("tool", "1.1.0", tar_of(path))
    with pytest.raises(Unfetched):
        await opened().take("tool", "1.1.0")
    assert not list(tmp_path.rglob("escaped"))


async def test_what_is_no_archive_is_refused(opened, registry):
    registry.add_packed("tool", "1.1.0", b"<html>not found</html>")
    with pytest.raises(Unfetched, match=r"tool@1\.1\.0"):
        await opened().take("tool", "1.1.0")


async def test_a_registry_that_is_away_is_named_and_what_is_kept_is_used(opened):
    entry = await opened().take("tool", "1.0.0")
    away = opened(url="http://127.0.0.1:9")
    assert await away.take("tool", "1.0.0") == entry
    with pytest.raises(Unfetched, match="could not be fetched from the npm registry"):
        await away.take("tool", "2.0.0")


async def test_a_list_of_versions_is_asked_for_once_and_serves_while_the_registry_is_away(opened, registry):
    registry.add("tool", "2.0.0", FILES)
    assert await opened().list_versions("tool") == ["1.0.0", "2.0.0"]
    assert await opened(url="http://127.0.0.1:9").list_versions("tool") == ["1.0.0", "2.0.0"]
    assert registry.asked == ["/tool"]


def names(tmp_path):
    return sorted(path.name for path in (tmp_path / "packages").iterdir() if path.is_dir())


def tar_of(path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(path), io.BytesIO())
    return packed.getvalue()
