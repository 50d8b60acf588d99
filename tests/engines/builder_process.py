"""Starts `python -m builder` as a launcher would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.engines.builders_api import TOKEN, BuildersServer

ROOT = Path(__file__).resolve().parents[2]
NODE_CACHE = Path(sys.prefix, "node-cache")
"""Kept from one run of the tests to the next, as on a machine that builds."""
PASSED_ON = (
    "PATH",
    "LANG",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "npm_config_registry",
    "PIP_INDEX_URL",
)


@contextlib.asynccontextmanager
async def started_builder(
    server: BuildersServer, work: Path, *, isolation: str = "none", node_cache: Path = NODE_CACHE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A builder that is killed when the block is left."""
    work.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "builder",
        cwd=ROOT,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
        | {
            "BUILDSPACE_URL": server.url,
            "BUILDSPACE_TOKEN": TOKEN,
            "BUILDSPACE_ATTEMPT": str(server.attempt),
            "BUILDSPACE_ISOLATION": isolation,
            "BUILDSPACE_WORK": str(work),
            "BUILDSPACE_NODE_CACHE": str(node_cache),
            "DEPLOYMENT_ID": str(server.deployment_id),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_builder(
    server: BuildersServer, work: Path, *, isolation: str = "none", node_cache: Path = NODE_CACHE
) -> tuple[int, str]:
    """Its exit code and what it said on stderr."""
    started = started_builder(server, work, isolation=isolation, node_cache=node_cache)
    async with started as process, asyncio.timeout(240):
        _, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, errors.decode()
