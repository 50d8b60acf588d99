"""The API over stores in memory."""

import pytest_asyncio

from tests.engines.api_server import api_over_memory


@pytest_asyncio.fixture
async def api():
    async with api_over_memory() as running:
        yield running
