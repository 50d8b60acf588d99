"""The install cache through a real gateway and real installs."""

from __future__ import annotations

import json

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway, eventually

BUILD = """
const fs = require('fs');
const text = require('is-number')(1) ? 'a number' : 'none';
fs.mkdirSync('dist');
fs.writeFileSync('dist/index.html', `<h1>${text}</h1>`);
"""
INTEGRITY = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="


def files(name: str = "site") -> dict[str, str]:
    package = {"name": name, "scripts": {"build": "node build.js"}, "dependencies": {"is-number": "7.0.0"}}
    locked = {"version": "7.0.0", "integrity": INTEGRITY}
    locked["resolved"] = "https://registry.npmjs.org/is-number/-/is-number-7.0.0.tgz"
    root = {"name": name, "dependencies": package["dependencies"]}
    lock = {"name": name, "lockfileVersion": 3, "packages": {"": root, "node_modules/is-number": locked}}
    return {"package.json": json.dumps(package), "package-lock.json": json.dumps(lock), "build.js": BUILD}


MISS = "Install cache: no entry for this lockfile"


async def log_of(gateway: Gateway, deployment_id: str) -> str:
    """The log of a deployment that became READY."""
    deployment = await gateway.ended(deployment_id)
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    return "\n".join(line["log"] for line in (await gateway.log(deployment_id))["rawLogs"])


async def again(gateway: Gateway, slug: str) -> str:
    status, answer = await gateway.call("POST", f"/project/{slug}/deployments", {})
    assert status == 201
    return await log_of(gateway, answer["deploymentId"])


async def saved(gateway: Gateway, deployment_id: str) -> None:
    """Returns once the builder has saved what it announced."""

    async def look() -> bool:
        return f"install cache saved deployment {deployment_id}" in gateway.output.read_text()

    await eventually(look, "the builder saves its installation")


async def test_the_packages_of_a_lockfile_are_restored_for_its_own_project(
    gateway: Gateway, repositories: Repositories
) -> None:
    url = repositories.from_files("cached", files())
    deployed = await gateway.deploy(url)
    slug = deployed["projectSlug"]
    first = await log_of(gateway, deployed["deploymentId"])
    assert MISS in first
    assert "$ npm ci" in first
    await saved(gateway, deployed["deploymentId"])
    second = await again(gateway, slug)
    assert "Install cache: restored " in second
    assert "$ npm ci" not in second
    assert b"a number" in (await gateway.fetch(slug))[1]
    other = await gateway.deploy(url)
    assert MISS in await log_of(gateway, other["deploymentId"])
    repositories.from_files("cached", files(name="renamed"))
    assert MISS in await again(gateway, slug)


async def test_a_cleared_cache_is_empty(gateway: Gateway, repositories: Repositories) -> None:
    deployed = await gateway.deploy(repositories.from_files("cleared", files()))
    await log_of(gateway, deployed["deploymentId"])
    await saved(gateway, deployed["deploymentId"])
    path = f"/project/{deployed['projectSlug']}/cache"
    assert (await gateway.call("DELETE", path))[1]["installations"] == 1
    assert (await gateway.call("DELETE", path))[1] == {"installations": 0, "bytes": 0}
    assert MISS in await again(gateway, deployed["projectSlug"])
