"""What the tests on a real Docker engine share: the engine, the builder's image, repositories that containers reach."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.git_server import serve_git
from tests.acceptance.conftest import Repositories
from tests.engines.dockerd import KEPT, DockerEngine, running_dockerd
from tests.engines.gateway import Gateway, free_ports, running_gateway

NETWORK = "buildspace-test"
StartGateway = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    with running_dockerd(KEPT) as running:
        running.builder_image()
        yield running


@pytest.fixture(scope="session")
def image(engine: DockerEngine) -> str:
    return engine.builder_image()


@pytest.fixture(scope="session")
def address() -> str:
    """This machine's, as the network knows it: containers reach it, and it is not loopback."""
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.connect(("203.0.113.1", 9))  # sends nothing
        return str(opened.getsockname()[0])


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def repositories(address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Repositories]:
    folder = tmp_path_factory.mktemp("repositories")
    async with serve_git(folder, host=address) as url:
        yield Repositories(folder, url)


@pytest.fixture(scope="session")
def start_on_docker(engine: DockerEngine, image: str, address: str, repositories: Repositories) -> StartGateway:
    """Gateways whose builders are containers of the engine."""

    @contextlib.asynccontextmanager
    async def start(folder: Path, *, start: bool = True, **settings: str) -> AsyncIterator[Gateway]:
        (builders_port,) = free_ports(1)
        docker = {
            "BUILDSPACE_DOCKER_IMAGE": image,
            "BUILDSPACE_DOCKER_HOST": engine.host,
            "BUILDSPACE_DOCKER_NETWORK": NETWORK,
            "BUILDSPACE_BUILDERS_HOST": "0.0.0.0",
            "BUILDSPACE_BUILDERS_PORT": str(builders_port),
            "BUILDSPACE_BUILDERS_URL": f"http://{address}:{builders_port}",
            "BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS": repositories.url.removeprefix("http://"),
            "BUILDSPACE_BUILDER_MEMORY_BYTES": str(1024**3),
            "BUILDSPACE_BUILDER_PROCESSES": "100",
            "BUILDSPACE_BUILDER_DISK_BYTES": str(1024**3),
        }
        async with running_gateway(folder, start=start, **{**docker, **settings}) as gateway:
            yield gateway

    return start


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def gateway(start_on_docker: StartGateway, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway that all tests of this folder share and none may harm."""
    async with start_on_docker(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here speak with servers that live on the session's loop."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
