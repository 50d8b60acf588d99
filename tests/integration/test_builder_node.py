"""The Node that a project asks for builds it, with the npm of its release line."""

import json

import pytest

from tests.engines.builder_process import run_builder
from tests.engines.builders_api import builders_server, make_job
from tests.engines.git_server import git_server

BUILD = """
const fs = require('fs');
fs.mkdirSync('dist');
fs.writeFileSync('dist/index.html', process.env.npm_config_user_agent);
"""
LOCK = {"name": "site", "version": "1.0.0", "lockfileVersion": 2, "requires": True, "packages": {"": {"name": "site"}}}
YARN_1_LOCK = "# yarn lockfile v1\n\n\n"


def project(node, **files):
    """It refuses every other Node."""
    package = {
        "name": "site",
        "version": "1.0.0",
        "scripts": {"build": "node build.js"},
        "engines": {"node": node},
    }
    return {
        "package.json": json.dumps(package),
        "package-lock.json": json.dumps(LOCK),
        ".npmrc": "engine-strict=true\n",
        "build.js": BUILD,
    } | files


@pytest.fixture
async def build(tmp_path):
    """Builds these files; the server that the builder spoke to."""

    async def build(files, isolation, **more):
        async with git_server(tmp_path / "git") as git, builders_server(make_job(git.create("site", files))) as server:
            await run_builder(server, tmp_path / "work", isolation=isolation, **more)
            return server

    return build


def page(server):
    assert server.finish.exit == "ok", server.text
    return next(iter(server.blobs.values())).decode()


@pytest.mark.parametrize("isolation", ["basic", "strong"])
async def test_a_project_is_built_with_the_node_that_it_asks_for(build, isolation):
    server = await build(project("18.x"), isolation)
    assert page(server).startswith("npm/10.8.2 node/v18.")
    assert server.facts["nodeVersion"].startswith("18.")


@pytest.mark.soak
@pytest.mark.parametrize("isolation", ["basic", "strong"])
@pytest.mark.parametrize(
    ("node", "agent"),
    [
        ("14", "npm/6.14.18 node/v14."),
        ("16", "npm/8.19.4 node/v16."),
        ("19", "npm/9.9.4 node/v19."),
        ("21", "npm/10.8.2 node/v21."),
        ("22.11.0", "npm/10.9.4 node/v22.11.0"),
        ("26", "npm/11.6.2 node/v26."),
    ],
)
async def test_every_line_of_node_builds_with_its_own_npm(build, isolation, node, agent):
    assert page(await build(project(node), isolation)).startswith(agent)


@pytest.mark.soak
async def test_yarn_1_finds_the_node_that_the_root_package_asks_for(build):
    server = await build(project("22.x", **{"yarn.lock": YARN_1_LOCK, "package-lock.json": "{}"}), "strong")
    assert page(server).startswith("yarn/1.22.22 npm/? node/v22.")


async def test_without_a_registry_the_log_says_which_node_is_used_before_the_install(build, monkeypatch, tmp_path):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    files = project("18.x") | {".npmrc": ""}
    server = await build(files, "strong", node_cache=tmp_path / "node-cache")
    assert page(server)
    note = next(line for line in server.lines if line.startswith("engines.node asks for Node 18.x. node-linux-"))
    assert "could not be fetched from the npm registry" in note
    assert note.endswith("is used: the build may fail because of it.")
    assert server.lines.index(note) < server.lines.index("$ npm ci")
