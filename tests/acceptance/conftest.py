"""What the acceptance tests share: one gateway, one git server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.git_server import commit_files, commit_folder, serve_git
from tests.engines.gateway import Gateway, running_gateway
from tests.engines.production import Production, Servers, running_production, running_servers

SITES = Path(__file__).resolve().parents[1] / "fixtures" / "sites"


class Repositories:
    """Repositories behind git's smart HTTP on loopback."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url

    def from_fixture(self, name: str) -> str:
        return self.from_folder(SITES / name)

    def from_folder(self, folder: Path) -> str:
        commit_folder(folder, self._folder / f"{folder.name}.git")
        return f"{self.url}/{folder.name}.git"

    def from_files(self, name: str, files: dict[str, str]) -> str:
        """Commit these files, on top of what the repository has."""
        commit_files(files, self._folder / f"{name}.git")
        return f"{self.url}/{name}.git"


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def repositories(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Repositories]:
    folder = tmp_path_factory.mktemp("repositories")
    async with serve_git(folder) as url:
        yield Repositories(folder, url)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway that all tests of this folder share and none may harm."""
    async with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def production(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    async with running_production(servers, tmp_path_factory.mktemp("production")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def production_gateway(
    production: Production, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway on production engines alone, that all tests of this folder share and none may harm."""
    async with running_gateway(tmp_path_factory.mktemp("gateway"), **production.settings) as running:
        yield running


@pytest.fixture
def start_gateway(tmp_path: Path) -> Callable[..., object]:
    """Gateways of a test's own, to be killed."""
    return lambda **settings: running_gateway(tmp_path, **settings)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here speak with servers that live on the session's loop."""
    here = Path(__file__).parent
    marker = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(marker, append=False)
