"""The builders' API on its Unix socket: for processes of the gateway's account, and for no other."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from pathlib import Path

import aiohttp
import pytest

from builder.api import open_api
from builder.errors import Ended
from builder.protocol.tokens import make_token
from tests.engines.api_server import api_over_database

ASK = """
import os, socket, sys
os.setgroups([]); os.setgid(64777); os.setuid(64777)
with socket.socket(socket.AF_UNIX) as opened:
    opened.connect(sys.argv[1])
    opened.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
    print(opened.recv(99).split(b"\\r\\n")[0])
"""


@pytest.fixture
async def api(postgres, tmp_path):
    deep = tmp_path / ("a-long-name-" * 8)
    deep.mkdir()
    async with api_over_database(await postgres.create_database(), deep) as api:
        yield api


async def test_a_builder_calls_by_a_path_longer_than_an_address(api):
    deployment_id, path = uuid.uuid4(), api.gateway.config.builders_socket
    assert len(str(path)) > 107
    token = make_token(await api.services.access.install_key(), deployment_id, 1)
    async with open_api(f"unix:{path}", token, deployment_id, 1) as calls:
        with pytest.raises(Ended, match="This deployment is gone"):
            await calls.fetch_job()


async def test_a_call_without_a_build_token_is_refused(api):
    folder = os.open(api.gateway.config.builders_socket.parent, os.O_PATH)
    connector = aiohttp.UnixConnector(f"/proc/self/fd/{folder}/socket")
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"http://localhost/builds/{uuid.uuid4()}/1/job") as answer,
    ):
        assert answer.status == 401
    os.close(folder)


async def test_nothing_but_sites_and_api_listens_on_a_port(api):
    own = {os.readlink(path) for path in Path("/proc/self/fd").iterdir() if os.path.lexists(path)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own}
    config = api.gateway.config
    assert {config.sites.port, config.api.port} <= ports
    assert config.builders.port not in ports


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has accounts to give")
async def test_another_account_neither_enters_the_folder_nor_is_answered(postgres, tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.duties.WATCH_SECONDS", 600.0)  # it would set back the modes
    async with api_over_database(await postgres.create_database(), tmp_path) as api:
        path = api.gateway.config.builders_socket
        above = [folder for folder in tmp_path.parents if folder.name.startswith(("pytest-", "popen-"))]
        for folder in (*above, tmp_path, path.parents[1]):
            folder.chmod(0o755)
        assert "PermissionError" in (await asyncio.to_thread(ask, path)).stderr
        path.parent.chmod(0o755)
        path.chmod(0o777)
        assert (await asyncio.to_thread(ask, path)).stdout == "b'HTTP/1.1 401 Unauthorized'\n"


def ask(path):
    return subprocess.run([sys.executable, "-c", ASK, str(path)], capture_output=True, text=True, timeout=20)
