"""A gateway that is not root, and a build of its own account that closes all that it can: other builds go on."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.git_server import commit_files, serve_git
from tests.engines.gateway import ROOT, Gateway, eventually, running_gateway

CLOSED = (
    *("objects/__blobs", "objects/__releases", "objects/.incoming", "objects"),
    *("postgres/data/global/pg_control", "postgres/data/pg_wal", "postgres/data/base", "postgres/data"),
    *("postgres/socket", "postgres", "gateway.lock", "instance", "work", ""),
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a gateway under another account")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that the account reaches."""
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    account = pwd.getpwnam("daemon").pw_uid
    os.chown(folder, account, account)
    needed = [sys.base_prefix, sys.prefix, str(ROOT), str(folder)]
    become = f"from builder.sandbox.inside.account import become; become({account}, {needed!r})"
    serve = [sys.executable, "-m", "gateway", "serve"]
    async with running_gateway(folder, start=False, BUILDSPACE_BUILDER_ISOLATION="basic", HOME=str(folder)) as gateway:
        gateway.command = (sys.executable, "-c", f"import os; {become}; os.execv({serve[0]!r}, {serve!r})")
        await gateway.start()
        yield gateway


async def accepted(gateway: Gateway, git_url: str) -> dict[str, Any] | None:
    """The answer to a new project; None while the database's files are still closed."""
    status, answer = await gateway.call("POST", "/project", {"name": "test", "gitUrl": git_url})
    return answer if status == 201 else None


async def test_a_build_that_closes_every_folder_stops_no_other(gateway: Gateway, folder: Path, tmp_path: Path) -> None:
    closing = "; ".join([*(f"chmod 0 {folder}/data/{path}" for path in CLOSED), f"chmod 0 {folder}"])
    commit_files({"index.html": "<p>good"}, tmp_path / "good.git")
    commit_files({"package.json": f'{{"scripts": {{"build": "{closing}"}}}}'}, tmp_path / "bad.git")
    async with serve_git(tmp_path) as url:
        first = await gateway.deploy(f"{url}/good.git")
        assert (await gateway.ended(first["deploymentId"]))["status"] == "READY"
        bad = await gateway.deploy(f"{url}/bad.git")
        assert (await gateway.ended(bad["deploymentId"]))["status"] == "FAILED"
        second = await eventually(lambda: accepted(gateway, f"{url}/good.git"), "the database can be used again", 30)
        assert (await gateway.ended(second["deploymentId"]))["status"] == "READY"
    assert await gateway.fetch(first["url"]) == (200, b"<p>good")
    assert await gateway.fetch(second["url"]) == (200, b"<p>good")
    assert f"mode set back {folder}/data/objects: it was 0000, it is 0700" in gateway.output.read_text()
