"""A gateway whose builders are tasks on ECS: what RunTask says is all that the real builder gets."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.acceptance.conftest import Repositories
from tests.engines.ecs import EcsServer, running_ecs
from tests.engines.gateway import Gateway, eventually, running_gateway
from tests.engines.ports import free_ports

SITE = {
    "package.json": '{"scripts": {"build": "mkdir dist && cp page.html dist/index.html"}}',
    "page.html": "<h1>From Fargate</h1>",
}
SLOW = {**SITE, "package.json": '{"scripts": {"build": "sleep 3 && mkdir dist && cp page.html dist/index.html"}}'}
SLOWER = {**SITE, "package.json": SLOW["package.json"].replace("sleep 3", "sleep 12")}
ENDLESS = {"package.json": '{"scripts": {"build": "sleep 600"}}'}


@pytest_asyncio.fixture(loop_scope="session")
async def server(aws: str, tmp_path: Path) -> AsyncIterator[EcsServer]:
    async with running_ecs(aws, tmp_path / "tasks", starts_builders=True) as server:
        yield server


@contextlib.asynccontextmanager
async def gateway_on(server: EcsServer, folder: Path, *, start: bool = True) -> AsyncIterator[Gateway]:
    (builders_port,) = free_ports(1)
    folder.mkdir(exist_ok=True)
    async with running_gateway(
        folder,
        start=start,
        BUILDSPACE_BUILDERS_PORT=str(builders_port),
        BUILDSPACE_BUILDERS_URL=f"http://127.0.0.1:{builders_port}",
        **server.variables(),
    ) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(server: EcsServer, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway_on(server, tmp_path / "gateway") as gateway:
        yield gateway


async def test_a_git_url_becomes_a_site_through_a_task(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("ecs", SITE))
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    assert await gateway.fetch(answer["url"]) == (200, b"<h1>From Fargate</h1>")
    log = await gateway.log(answer["deploymentId"])
    assert (log["complete"], log["missing"]) == (True, [])
    (task,) = server.tasks.values()
    assert task.request["startedBy"] == answer["deploymentId"]
    assert task.environment["PROJECT_ID"] == answer["projectSlug"]


async def test_a_gateway_killed_before_it_noted_the_task_finds_it_again(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    answered = server.hold_answer("RunTask")
    answer = await gateway.deploy(repositories.from_files("ecs-killed", SLOWER))
    await eventually(lambda: has_tasks(server, 1), "the task runs")
    await gateway.kill()
    answered.set()
    await gateway.start()
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 1)
    assert len(server.tasks) == 1
    assert len({call.body for call in server.called("RunTask")}) == 1
    assert len(server.called("RunTask")) == 2


async def test_a_task_whose_start_was_not_answered_is_found_again(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    for _ in range(3):
        server.lose_answer("RunTask")
    answer = await gateway.deploy(repositories.from_files("ecs-unanswered", SLOWER))
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 1)
    assert len(server.tasks) == 1
    assert len(server.called("RunTask")) == 4


async def has_tasks(server: EcsServer, count: int) -> bool:
    return len(server.tasks) == count


async def test_a_gateway_that_stops_leaves_its_tasks_to_the_next(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("ecs-stopped", SLOW))
    await gateway.in_step(answer["deploymentId"], "build")
    assert await gateway.terminate() == 0
    assert server.called("StopTask") == []
    await gateway.start()
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 1)


async def test_a_builder_that_is_killed_is_followed_by_the_next_attempt(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("ecs-lost", SLOW))
    await gateway.in_step(answer["deploymentId"], "build")
    (first,) = server.tasks.values()
    first.container_reason = "OutOfMemoryError: Container killed due to memory usage"
    assert first.process is not None
    first.process.kill()
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 2)
    assert [task.environment["BUILDSPACE_ATTEMPT"] for task in server.tasks.values()] == ["1", "2"]
    assert "OutOfMemoryError: Container killed due to memory usage" in gateway.output.read_text()


async def test_a_canceled_build_stops_its_task(gateway: Gateway, server: EcsServer, repositories: Repositories) -> None:
    answer = await gateway.deploy(repositories.from_files("ecs-canceled", ENDLESS))
    await gateway.in_step(answer["deploymentId"], "build")
    await gateway.call("POST", f"/deployment/{answer['deploymentId']}/cancel")
    (task,) = server.tasks.values()
    await eventually(lambda: has_stopped(server), "the task is stopped")
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "CANCELED"
    assert task.request["clientToken"] == f"{answer['deploymentId']}-1"


async def has_stopped(server: EcsServer) -> bool:
    stops = [call.request for call in server.called("StopTask")]
    return bool(stops) and all(task.status == "STOPPED" for task in server.tasks.values())


async def test_no_room_is_told_while_the_deployment_waits_and_then_it_is_built(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    server.have_no_room("RESOURCE:ENI")
    answer = await gateway.deploy(repositories.from_files("ecs-full", SITE))
    waiting = await eventually(lambda: waits(gateway, answer["deploymentId"]), "the reason is shown")
    assert "network interface" in waiting["queueReason"]
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["attempt"]) == ("READY", 1)


async def waits(gateway: Gateway, deployment_id: str) -> dict[str, object] | None:
    deployment = await gateway.get(f"/deployment/{deployment_id}")
    return deployment if deployment["queueReason"] else None


async def test_a_wrong_setting_ends_the_deployment_with_what_would_be_right(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    server.refuse("RunTask", "InvalidParameterException", "The subnet ID 'subnet-1' does not exist")
    answer = await gateway.deploy(repositories.from_files("ecs-wrong", SITE))
    deployment = await gateway.ended(answer["deploymentId"])
    assert deployment["status"] == "FAILED"
    assert "ecs.subnets" in deployment["reason"]


async def test_ecs_away_during_a_build_is_named_and_harms_nothing(
    gateway: Gateway, server: EcsServer, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_files("ecs-away", SLOW))
    await gateway.in_step(answer["deploymentId"], "build")
    await server.stop()
    trouble = await eventually(lambda: readiness(gateway, 503), "/ready tells")
    assert "ECS" in trouble
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
    await server.start()
    await eventually(lambda: readiness(gateway, 200), "/ready recovers", 15)


async def test_ecs_away_at_the_start_is_waited_for(
    server: EcsServer, tmp_path: Path, repositories: Repositories
) -> None:
    await server.stop()
    async with gateway_on(server, tmp_path / "gateway", start=False) as gateway:
        await gateway.start(until_ready=False)
        trouble = await eventually(lambda: readiness(gateway, 503), "/ready tells")
        assert "ECS" in trouble
        answer = await gateway.deploy(repositories.from_files("ecs-late", SITE))
        await eventually(lambda: waits(gateway, answer["deploymentId"]), "the reason is shown")
        await server.start()
        await eventually(lambda: readiness(gateway, 200), "/ready recovers", 15)
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["attempt"]) == ("READY", 1)


async def readiness(gateway: Gateway, status: int) -> str | None:
    """What `/ready` says, once it answers with this status."""
    with contextlib.suppress(OSError):
        async with gateway.session.get(f"{gateway.api}/ready") as response:
            return await response.text() if response.status == status else None
    return None


async def test_the_doctor_finds_the_builders_well(gateway: Gateway) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "doctor"),
        cwd=gateway.directory,
        env=gateway.environment,
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    (line,) = [line for line in output.decode().splitlines() if " builders: " in line]
    assert line.startswith("ok    builders: tasks of buildspace-builder:")


async def test_strong_isolation_is_refused_at_the_start(server: EcsServer, tmp_path: Path) -> None:
    async with gateway_on(server, tmp_path / "gateway", start=False) as gateway:
        gateway.environment["BUILDSPACE_BUILDER_ISOLATION"] = "strong"
        await gateway.start(until_ready=False)
        assert gateway.process is not None
        assert await gateway.process.wait() != 0
        assert "Fargate" in gateway.output.read_text()
        gateway.process = None
