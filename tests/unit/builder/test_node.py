"""Which Node a project is built with."""

import dataclasses
from pathlib import Path

import pytest

from builder.node import Node, choose_node, find_nodes
from builder.packages import Entry
from builder.registry import Unfetched
from builder.semver import parse_node_range
from builder.wishes import Wish

ON_PATH = Node((20, 20, 2), "on PATH", {})
BUNDLED = Node((24, 19, 0), "bundled", {})
LOCAL = [ON_PATH, BUNDLED]
VERSIONS = ["12.22.12", "18.20.8", "18.20.7", "21.7.3", "22.11.0", "22.9.0", "23.1.0", "26.1.0", "27.0.0-rc.1"]


@dataclasses.dataclass
class Packages:
    """Those of a registry with VERSIONS of Node, or of one that is away."""

    is_away: bool = False
    taken: list[str] = dataclasses.field(default_factory=list)

    async def list_versions(self, name):
        if self.is_away:
            raise Unfetched("The registry is away.")
        return VERSIONS

    async def take(self, name, version, keep):
        self.taken.append(version)
        return Entry(Path("/cache", version), {})


def wish(text):
    return Wish(parse_node_range(text), ".nvmrc")


@pytest.mark.parametrize(("text", "version"), [(">=18", (20, 20, 2)), ("24.x", (24, 19, 0)), ("lts/*", (20, 20, 2))])
async def test_a_node_of_the_machine_that_fits_is_used(text, version):
    packages = Packages()
    node, notes = await choose_node(wish(text), LOCAL, packages)
    assert (node.version, notes, packages.taken) == (version, [], [])


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("18", "18.20.8"),
        ("18.20.7", "18.20.7"),
        ("lts/hydrogen", "18.20.8"),
        ("21", "21.7.3"),
        ("<20", "18.20.8"),
        (">=21 <24", "22.11.0"),
        ("22 || 23", "22.11.0"),
        ("node", "26.1.0"),
        ("latest", "26.1.0"),
    ],
)
async def test_another_node_comes_from_the_registry(text, version):
    packages = Packages()
    node, notes = await choose_node(wish(text), LOCAL, packages)
    assert (packages.taken, notes) == ([version], [])
    assert node.programs == {"node": Path("/cache", version, "bin/node")}
    assert node.read_only == (Path("/cache", version),)
    assert node.npm_version is None


async def test_a_version_that_does_not_exist_is_replaced_within_its_major_and_the_log_says_so():
    node, notes = await choose_node(wish("22.99.0"), LOCAL, Packages())
    assert node.version == (22, 11, 0)
    assert notes == [".nvmrc asks for Node 22.99.0, which is nowhere: 22.11.0 is used."]


@pytest.mark.parametrize(
    ("text", "is_away", "why"),
    [("18", True, "The registry is away."), ("99", False, "The npm registry has none that fits.")],
)
async def test_the_newest_node_of_the_machine_is_used_where_none_can_be_had(text, is_away, why):
    node, notes = await choose_node(wish(text), LOCAL, Packages(is_away))
    assert node == BUNDLED
    assert notes == [
        f".nvmrc asks for Node {text}. {why} Node 24.19.0 is used: the build may fail because of it.",
    ]


async def test_without_a_wish_the_newest_of_the_machine_is_used():
    assert await choose_node(None, LOCAL, Packages()) == (BUNDLED, [])


async def test_a_machine_without_node_has_none_without_a_wish():
    assert await choose_node(None, [], Packages()) == (None, [])


def test_the_bundled_node_is_known_without_starting_it():
    (node,) = find_nodes({"PATH": "/nowhere"})
    assert node.origin == "bundled"
    assert node.version >= (24, 0, 0)
    assert node.npm_version.startswith("11.")
    assert node.programs["npm"].name == "npm-cli.js"
    assert all(program.is_relative_to(node.read_only[0]) for program in node.programs.values())


def test_a_node_on_path_is_asked_for_its_version(tmp_path):
    install_node(tmp_path, "echo v20.1.2")
    node = find_nodes({"PATH": str(tmp_path / "bin")})[0]
    assert (node.version, node.origin, node.npm_version) == ((20, 1, 2), "on PATH", "10.9.0")
    assert node.read_only == (tmp_path,)
    assert node.path.startswith(f"{tmp_path}/bin:")


def test_a_node_on_path_that_does_not_run_is_left_out(tmp_path):
    install_node(tmp_path, "exit 1")
    assert [node.origin for node in find_nodes({"PATH": str(tmp_path / "bin")})] == ["bundled"]


def install_node(prefix, program):
    npm = prefix / "lib/node_modules/npm"
    for folder in (prefix / "bin", npm / "bin"):
        folder.mkdir(parents=True)
    (npm / "package.json").write_text('{"version": "10.9.0"}')
    (npm / "bin/npm-cli.js").touch()
    (npm / "bin/npm-cli.js").chmod(0o755)
    (prefix / "bin/npm").symlink_to(npm / "bin/npm-cli.js")
    (prefix / "bin/node").write_text(f"#!/bin/sh\n{program}\n")
    (prefix / "bin/node").chmod(0o755)
