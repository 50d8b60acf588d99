"""What the tests on a real Docker engine share: the engine, the builder's image, repositories that containers reach."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from gateway import config
from gateway.engines.docker.docker_launcher import DockerLauncher, open_docker
from scripts.git_server import serve_git
from tests.acceptance.conftest import Repositories
from tests.engines.dockerd import KEPT, DockerEngine, running_dockerd
from tests.engines.gateway import Gateway, running_gateway
from tests.engines.ports import free_ports

NETWORK = "buildspace-test"
LAUNCHER_NETWORK = "buildspace-launcher-test"
PROGRAMS = {
    "sleeps": "import signal; signal.pause()",
    "stubborn": "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()",
    "leaves": "print('The disk is on fire.'); raise SystemExit(3)",
    "talks": "print('x' * 1_000_000); print('The end.'); raise SystemExit(1)",
    "eats": "import mmap; m = mmap.mmap(-1, 900 * 2**20); [m.__setitem__(n, 1) for n in range(0, len(m), 4096)]",
}
OpenLauncher = Callable[..., AbstractAsyncContextManager[DockerLauncher]]
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
def image_without_landlock(engine: DockerEngine, image: str) -> str:
    """The builder as it is on a kernel without Landlock, such as Fargate's."""
    path = "/opt/buildspace/lib/python3.11/site-packages/builder/sandbox/inside/landlock.py"
    container = engine.docker(
        "create", "--user", "0", image, "sed", "-i", "s/^TCP_VERSION = .*/TCP_VERSION = 99/", path
    )
    engine.docker("start", "--attach", container)
    command = 'CMD ["python", "-P", "-m", "builder"]'
    return committed(engine, container, "buildspace-without-landlock:test", "USER 10001:10001", command)


def committed(engine: DockerEngine, container: str, name: str, *changes: str) -> str:
    """The name of the image that this container has become, with these changes. The container is removed."""
    options = [option for change in changes for option in ("--change", change)]
    engine.docker("commit", *options, container, name)
    engine.docker("rm", "--volumes", container)
    return name


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


@pytest.fixture(scope="session")
def images(engine: DockerEngine, image: str) -> Callable[[str], str]:
    """The builder's image with another command."""

    def make(program: str) -> str:
        command = json.dumps(["python", "-c", PROGRAMS[program]])
        return committed(engine, engine.docker("create", image), f"buildspace-{program}:test", f"CMD {command}")

    return make


@pytest.fixture(scope="session")
def builders_url(address: str) -> Iterator[str]:
    """Somebody answers there, which is all that is asked."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield f"http://{address}:{server.getsockname()[1]}"


@pytest.fixture
def on(engine: DockerEngine, images: Callable[[str], str], builders_url: str) -> OpenLauncher:
    """Launchers whose builders run a program of PROGRAMS. `url`: that of the builders' API; the rest is of `docker`."""

    @contextlib.asynccontextmanager
    async def open_one(
        program: str, *, url: str = builders_url, isolation: str = "auto", **docker: str
    ) -> AsyncIterator[DockerLauncher]:
        image = images(program) if program in PROGRAMS else program
        settings = config.Docker(image=image, host=engine.host, network=LAUNCHER_NETWORK)
        configuration = config.Config(
            docker=dataclasses.replace(settings, **docker),
            builders=config.Builders(url=url),
            builder=config.Builder(isolation=isolation, memory_bytes=256 * 1024**2),
        )
        async with open_docker(configuration) as launcher:
            yield launcher

    return open_one


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
