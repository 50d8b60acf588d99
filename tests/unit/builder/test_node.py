"""Which Node a project is built with."""

from pathlib import PurePosixPath

import pytest

from builder.detect import Package
from builder.node import Place, Wish, choose_node, find_places, read_wish
from builder.semver import parse_node_range
from tests.unit.builder.projects import write_project

ON_PATH = Place("/usr/bin", (), "on PATH")
BUNDLED = Place("/srv/node", (), "bundled")
VERSIONS = {"on PATH": "v20.20.2\n", "bundled": "v24.19.0\n"}


async def ask(place):
    return VERSIONS[place.origin]


async def ask_in_vain(place):
    return ""


@pytest.mark.parametrize(
    ("wish", "version", "note"),
    [
        (">=18", "20.20.2", ""),
        ("24.x", "24.19.0", ""),
        ("18.x", "24.19.0", "asks for Node 18.x, but this builder has 20.20.2 and 24.19.0"),
    ],
)
async def test_the_first_that_fits_is_used(wish, version, note):
    node = await choose_node(Wish(parse_node_range(wish), ".nvmrc"), [ON_PATH, BUNDLED], ask)
    assert node.version == version
    assert note in " ".join(node.notes)


async def test_without_a_wish_the_newest_is_used():
    node = await choose_node(None, [ON_PATH, BUNDLED], ask)
    assert (node.version, node.place.origin, node.notes) == ("24.19.0", "bundled", ())


async def test_a_node_that_does_not_run_in_the_sandbox_is_none():
    assert await choose_node(None, [ON_PATH, BUNDLED], ask_in_vain) is None


@pytest.mark.parametrize(
    ("setting", "files", "source"),
    [
        ("22", {".nvmrc": "20"}, "The setting nodeVersion"),
        (None, {"site/.nvmrc": "# ours\nv20\n", ".nvmrc": "18"}, ".nvmrc"),
        (None, {"site/.node-version": "20.1.0"}, ".node-version"),
        (None, {"site/package.json": {"engines": {"node": ">=20"}}}, "engines.node"),
        (None, {"package.json": {"engines": {"node": ">=20"}}}, "engines.node"),
        ("nonsense", {".nvmrc": "20"}, ".nvmrc"),
    ],
)
def test_a_wish_is_read_from_the_nearest_place(tmp_path, setting, files, source):
    package = Package(write_project(tmp_path, files | {"site/x": ""}), PurePosixPath("site"))
    wish, _ = read_wish(setting, package, PurePosixPath("."))
    assert wish.source == source


def test_a_wish_that_nobody_understands_is_told(tmp_path):
    package = Package(write_project(tmp_path, {"package.json": {"engines": {"node": ["20"]}}}), PurePosixPath("."))
    wish, notes = read_wish("nonsense", package, PurePosixPath("."))
    assert wish is None
    assert notes == ["The setting nodeVersion is ignored: 'nonsense' is not a version range."]


def test_the_bundled_node_gets_the_links_that_it_lacks(tmp_path):
    place = find_places(tmp_path, "/home/build/tools", {"PATH": "/nowhere"})[-1]
    assert place.path.startswith("/home/build/tools/node:")
    assert (tmp_path / "node/npm").resolve().name == "npm-cli.js"
    assert (tmp_path / "node/node").resolve().is_relative_to(place.read_only[0])
