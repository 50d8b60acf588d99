"""A private repository, from the refusal over its token to the page."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.engines.gateway import Gateway
from tests.engines.git_server import git, git_server

TOKEN = "hunter2-hunter2-hunter2"
PACKAGE = {"scripts": {"build": "mkdir -p dist && git describe --tags > dist/index.html && env >> dist/index.html"}}


async def test_a_private_repository_is_deployed_by_a_token_that_its_build_never_sees(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with git_server(tmp_path / "git") as server:
        url = server.create("site", {"package.json": json.dumps(PACKAGE)})
        git(server.root / "site", "tag", "v2.3.0")
        server.login = f"Basic {base64.b64encode(f'git:{TOKEN}'.encode()).decode()}"
        first = await gateway.deploy(url)
        assert "private or does not exist" in (await gateway.ended(first["deploymentId"]))["reason"]
        slug = first["projectSlug"]
        await gateway.call("PUT", f"/project/{slug}/git-token", {"token": TOKEN})
        _, again = await gateway.call("POST", f"/project/{slug}/deployments", {"ref": "v2.3.0"})
        ended = await gateway.ended(again["deploymentId"])
    assert (ended["status"], ended["reason"]) == ("READY", None)
    _, page = await gateway.fetch(again["url"], "/")
    assert page.startswith(b"v2.3.0\n")
    seen = page.decode() + json.dumps(await gateway.log(again["deploymentId"]))
    assert TOKEN not in seen
    assert server.login not in seen
