"""What a container's health check asks, and what it makes of the answer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.commands.health_check import reachable_host
from gateway.config import Api
from tests.engines.gateway import ROOT
from tests.engines.ports import free_ports


async def check(port: int, folder: Path, **settings: str) -> tuple[int, str]:
    """Exit code and words of the check, run as a container runs it."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "BUILDSPACE_API_PORT": str(port), **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.commands.health_check"), cwd=folder, env=environment, stderr=subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def serve(status: int) -> TestServer:
    async def health(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/health", health)
    server = TestServer(app)
    await server.start_server()
    return server


async def test_a_gateway_that_answers_is_healthy(tmp_path: Path) -> None:
    server = await serve(200)
    assert await check(server.port or 0, tmp_path) == (0, "")
    await server.close()


async def test_a_gateway_that_answers_with_an_error_is_not(tmp_path: Path) -> None:
    server = await serve(500)
    assert await check(server.port or 0, tmp_path) == (1, f"The gateway answers 500 on 127.0.0.1 port {server.port}.\n")
    await server.close()


async def test_nobody_who_answers_is_told_in_a_sentence(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    code, said = await check(port, tmp_path)
    assert code == 1
    assert said.startswith(f"The gateway does not answer on 127.0.0.1 port {port}: ")


async def test_the_file_that_the_gateway_reads_is_read(tmp_path: Path) -> None:
    server = await serve(200)
    (tmp_path / "config.toml").write_text('[api]\nhost = ["0.0.0.0"]\n')
    assert await check(server.port or 0, tmp_path) == (0, "")
    await server.close()


async def test_a_wrong_configuration_is_told_in_a_sentence(tmp_path: Path) -> None:
    code, said = await check(9000, tmp_path, BUILDSPACE_API_PORT="nine")
    assert (code, said) == (1, "BUILDSPACE_API_PORT: expected a whole number, not 'nine'.\n")


@pytest.mark.parametrize(
    ("host", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.0.0.5", "10.0.0.5")]
)
def test_the_check_asks_where_the_gateway_listens(host: str, asked: str) -> None:
    assert reachable_host(Api(host=[host])) == asked
