"""A git server, and a clone with the limits of a build."""

import os
import uuid

import pytest

from builder.logs import LineSender
from builder.sources.git import clone
from tests.engines.git_server import git_server


@pytest.fixture
async def server(tmp_path):
    async with git_server(tmp_path / "git") as server:
        yield server


class Log(LineSender):
    """Keeps what the platform says."""

    said: list[str]

    async def say(self, text):
        self.said.append(text)
        await super().say(text)


@pytest.fixture
def log(tmp_path):
    async def send(record):
        pass

    log = Log(send, project="p", deployment_id=uuid.uuid4(), attempt=1, spool_directory=tmp_path, limit_bytes=10**6)
    log.said = []
    return log


@pytest.fixture
def source(tmp_path):
    """Where the clone is made."""
    (tmp_path / "build").mkdir()
    return tmp_path / "build" / "src"


@pytest.fixture
def bring(tmp_path, log, source):
    async def bring(url, ref=None, allowed=("127.0.0.0/8",), disk_bytes=10**9, environ=os.environ, **login):
        return await clone(
            url,
            ref,
            source,
            log,
            private=tmp_path / "private",
            allow_private_hosts=allowed,
            disk_bytes=disk_bytes,
            memory_bytes=2**31,
            environ=environ,
            **login,
        )

    return bring
