"""What the tests of the images share: one Docker engine, the images that it builds, one gateway in its container."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from scripts.git_server import commit_folder, serve_git
from tests.engines.dockerd import KEPT, DockerEngine, running_dockerd
from tests.engines.gateway import ROOT
from tests.image.container import HELD, Container, Shipped, running_image

IMAGE = "buildspace:test"


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """Its folder is kept: another run finds the layers of the images there."""
    with running_dockerd(KEPT) as running:
        yield running


@pytest.fixture(scope="session")
def image(engine: DockerEngine) -> str:
    """The gateway's image, built as README says."""
    engine.docker("build", "--tag", IMAGE, ".")
    engine.docker("image", "prune", "--force")
    return IMAGE


@pytest.fixture(scope="session")
def builder_image(engine: DockerEngine) -> str:
    return engine.builder_image()


@pytest.fixture(scope="session")
def bridge(engine: DockerEngine) -> str:
    """The address under which containers reach this machine."""
    return engine.docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def example(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The URL of the bundled example, as containers reach it."""
    folder = tmp_path_factory.mktemp("repositories")
    commit_folder(ROOT / "examples" / "hello", folder / "hello.git")
    async with serve_git(folder, host=bridge) as url:
        yield f"{url}/hello.git"


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shipped(engine: DockerEngine, image: str, example: str) -> AsyncIterator[Shipped]:
    """One gateway for all tests that leave it as it is, or start it again."""
    allowed = {"BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS": example.split("/")[2]}
    async with running_image(engine, image, "buildspace-image-test", *HELD, **allowed) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Every failure shows what the containers said, and a gateway beside them."""
    report = yield
    used = item.funcargs if isinstance(item, pytest.Function) else {}
    if report.failed and isinstance(engine := used.get("engine"), DockerEngine):
        for name in engine.docker("ps", "--all", "--format", "{{.Names}}", check=False).split():
            report.sections.append((f"container {name}", without_polling(Container(engine, name).logs())))
    if report.failed and isinstance(folder := used.get("tmp_path"), Path) and (folder / "gateway.log").exists():
        report.sections.append(("gateway", without_polling((folder / "gateway.log").read_text(errors="replace"))))
    return report


def without_polling(log: str) -> str:
    """Tests look again and again: what they asked would hide the rest."""
    return "\n".join(line for line in log.splitlines() if " request GET " not in line)[-20000:]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here speak with servers that live on the session's loop."""
    here = Path(__file__).parent
    marker = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if here in Path(item.path).parents:
            item.add_marker(marker, append=False)
