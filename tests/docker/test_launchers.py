"""What every launcher promises (gateway/roles.py), over all of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from builder.protocol.calls import Isolation
from gateway.config import Config
from gateway.engines.ecs.ecs_launcher import open_ecs
from gateway.engines.process.grades import Grade
from gateway.engines.process.process_launcher import ProcessLauncher
from gateway.errors import Unavailable
from gateway.roles import BuilderState, Launcher, LaunchOrder
from tests.docker.conftest import OpenLauncher
from tests.engines.builder_state import state_of
from tests.engines.ecs import EcsServer, running_ecs

SLEEPS = (sys.executable, "-c", "import signal; signal.pause()")
Open = Callable[[], AbstractAsyncContextManager[Launcher]]


@dataclasses.dataclass(frozen=True)
class Engine:
    """One kind of launcher: each `open` is another gateway's, and `open_away` has no engine behind it."""

    open: Open
    unknown: str
    """A handle of its own kind whose builder nobody has started."""
    foreign: str
    outlives: bool
    """Whether its builders go on when the gateway stops."""
    open_away: Open | None = None


@pytest.fixture(params=["process", "docker", "ecs"])
def kind(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(f"{request.param}_kind")
    return found


@pytest.fixture(params=["docker", "ecs"])
def distant(request: pytest.FixtureRequest) -> Engine:
    """A kind whose engine may be away."""
    found: Engine = request.getfixturevalue(f"{request.param}_kind")
    return found


@pytest.fixture
def process_kind(tmp_path: Path) -> Engine:
    @contextlib.asynccontextmanager
    async def open_one() -> AsyncIterator[Launcher]:
        yield ProcessLauncher(tmp_path, lambda: Grade(Isolation.STRONG, ""), builder=SLEEPS)

    return Engine(open_one, unknown="process:4194304:1", foreign=f"docker:{'0' * 64}", outlives=False)


@pytest.fixture
def docker_kind(on: OpenLauncher) -> Engine:
    return Engine(
        lambda: on("sleeps"),
        unknown=f"docker:{'0' * 64}",
        foreign="process:4194304:1",
        outlives=True,
        open_away=lambda: on("sleeps", host="unix:///nowhere/docker.sock"),
    )


@pytest_asyncio.fixture(loop_scope="session")
async def ecs_server(aws: str, tmp_path: Path) -> AsyncIterator[EcsServer]:
    async with running_ecs(aws, tmp_path) as server:
        yield server


@pytest.fixture
def ecs_kind(ecs_server: EcsServer) -> Engine:
    def settings(**changes: Any) -> Config:
        return Config(ecs=dataclasses.replace(ecs_server.settings(), **changes))

    return Engine(
        lambda: open_ecs(settings()),
        unknown=f"{ecs_server.cluster.replace(':cluster/', ':task/')}/{'0' * 32}",
        foreign=f"docker:{'0' * 64}",
        outlives=True,
        open_away=lambda: open_ecs(settings(endpoint="http://127.0.0.1:9")),
    )


@pytest_asyncio.fixture(loop_scope="session")
async def launcher(kind: Engine) -> AsyncIterator[Launcher]:
    async with kind.open() as opened:
        yield opened


def an_order(attempt: int = 1) -> LaunchOrder:
    return LaunchOrder(uuid.uuid4(), attempt, "blue-whale", "https://example.com/a.git", "token", "http://192.0.2.1:1")


@contextlib.asynccontextmanager
async def launched(launcher: Launcher, order: LaunchOrder) -> AsyncIterator[str]:
    """The handle of a builder that runs, and is stopped afterwards."""
    handle = await launcher.launch(order)
    try:
        yield handle
    finally:
        await launcher.stop(handle, "The test is over.")


async def test_the_same_order_is_one_builder_at_once_later_and_to_another_gateway(
    kind: Engine, launcher: Launcher
) -> None:
    order = an_order()
    async with launched(launcher, order) as handle, kind.open() as another:
        same = await asyncio.gather(*(each.launch(order) for each in (launcher, another, launcher)))
        assert {handle, *same} == {handle}
        assert await state_of(another, handle) is BuilderState.RUNNING
        assert another.name == launcher.name


async def test_another_attempt_is_another_builder(launcher: Launcher) -> None:
    order = an_order()
    async with (
        launched(launcher, order) as first,
        launched(launcher, dataclasses.replace(order, attempt=2)) as second,
    ):
        assert first != second


async def test_a_builder_runs_until_it_is_stopped_and_may_be_stopped_again(launcher: Launcher) -> None:
    async with launched(launcher, an_order()) as handle:
        assert await state_of(launcher, handle) is BuilderState.RUNNING
        await launcher.stop(handle, "The user canceled it.")
        assert await state_of(launcher, handle) is BuilderState.GONE
        await launcher.stop(handle, "Once more.")
        assert await state_of(launcher, handle) is BuilderState.GONE


async def test_one_that_nobody_started_may_be_stopped_and_has_no_last_words(kind: Engine, launcher: Launcher) -> None:
    await launcher.stop(kind.unknown, "Nobody knows why.")
    assert await launcher.last_words(kind.unknown) == ""


@pytest.mark.parametrize(
    "text", ["{foreign}", "", "garbage", "\x00", "../../etc", "docker:", "process:1", "arn:aws:ecs"]
)
async def test_nothing_is_said_of_what_is_no_handle_of_its_own(kind: Engine, launcher: Launcher, text: str) -> None:
    handle = text.format(foreign=kind.foreign)
    assert await launcher.find([handle]) == {}
    for call in (launcher.stop(handle, "No more."), launcher.last_words(handle)):
        with pytest.raises(Unavailable, match="is not a"):
            await call


async def test_a_launcher_that_can_start_builders_passes_its_check(launcher: Launcher) -> None:
    await launcher.check()


async def test_while_its_engine_is_away_nothing_is_called_gone(distant: Engine) -> None:
    assert distant.open_away is not None
    async with distant.open() as there, distant.open_away() as away, launched(there, an_order()) as handle:
        with pytest.raises(Unavailable):
            await away.check()
        with pytest.raises(Unavailable):
            await away.find([handle])
        with pytest.raises(Unavailable):
            await away.stop(handle, "No more.")
        assert await state_of(there, handle) is BuilderState.RUNNING


async def test_a_gateway_that_stops_ends_what_no_other_could_find(kind: Engine, launcher: Launcher) -> None:
    async with launched(launcher, an_order()) as handle:
        await launcher.close()
        async with kind.open() as next_one:
            assert (await state_of(next_one, handle) is BuilderState.RUNNING) is kind.outlives
