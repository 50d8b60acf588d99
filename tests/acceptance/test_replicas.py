"""Two gateways on the same production engines: they share the work, and one may die."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Repositories
from tests.acceptance.test_engines_away import TALKATIVE, assert_whole
from tests.engines.balancer import balanced
from tests.engines.gateway import Gateway, eventually, running_gateway
from tests.engines.production import Production

MANY = 6


@contextlib.asynccontextmanager
async def two_gateways(production: Production, folder: Path) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Builders reach either by one address, as behind a load balancer."""
    settings = {**production.settings, "BUILDSPACE_BUILDER_CONCURRENCY": str(MANY)}
    folders = [folder / name for name in ("first", "second")]
    for each in folders:
        each.mkdir()
    async with (
        running_gateway(folders[0], start=False, **settings) as first,
        running_gateway(folders[1], start=False, **settings) as second,
        balanced([first.builders_port, second.builders_port]) as url,
    ):
        for gateway in (first, second):
            gateway.environment["BUILDSPACE_BUILDERS_URL"] = url
        await asyncio.gather(first.start(), second.start())
        yield first, second


def launches(production: Production, deployment_ids: set[str]) -> list[str]:
    """The deployments of the tasks that ran, each as often as a task ran for it."""
    found = [task.environment["DEPLOYMENT_ID"] for task in production.ecs.tasks.values()]
    return sorted(each for each in found if each in deployment_ids)


async def test_one_of_two_gateways_dies_in_the_middle_of_six_builds_and_nothing_is_lost_or_done_twice(
    production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with two_gateways(production, tmp_path) as (first, second):
        url = repositories.from_files("talkative", TALKATIVE)
        answers: list[dict[str, Any]] = [await gateway.deploy(url) for gateway in (first, second) * (MANY // 2)]
        ids = {answer["deploymentId"] for answer in answers}
        await asyncio.gather(*(second.reached(each, "build") for each in ids))
        await first.kill()
        for answer in answers:
            await assert_whole(second, answer)
        assert launches(production, ids) == sorted(ids)
        await first.start()
        assert await first.fetch(answers[0]["url"]) == (200, b"<h1>built</h1>")


async def test_what_goes_live_on_one_gateway_is_served_by_the_other(
    production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with two_gateways(production, tmp_path) as (first, second):
        url = repositories.from_files("shared", {"index.html": "one"})
        answer = await first.deploy(url)
        await first.ended(answer["deploymentId"])
        assert (await second.fetch(answer["url"]))[1] == b"one"
        repositories.from_files("shared", {"index.html": "two"})
        _, later = await second.call("POST", f"/project/{answer['projectSlug']}/deployments", {})
        await second.ended(later["deploymentId"])

        async def serves_two(gateway: Gateway) -> bool:
            return (await gateway.fetch(answer["url"]))[1] == b"two"

        await eventually(lambda: serves_two(first), "the first gateway serves what the second made live")
        assert await serves_two(second)


async def test_one_idempotency_key_at_both_gateways_makes_one_project(
    production: Production, repositories: Repositories, tmp_path: Path
) -> None:
    async with two_gateways(production, tmp_path) as (first, second):
        body = {"name": "once", "gitUrl": repositories.from_files("once", {"index.html": "once"})}
        key = {"Idempotency-Key": "the-same-for-both"}
        calls = [gateway.call("POST", "/project", body, headers=key) for gateway in (first, second) * 5]
        answers = await asyncio.gather(*calls)
        assert len({answer["deploymentId"] for _, answer in answers}) == 1
        assert (await first.ended(answers[0][1]["deploymentId"]))["status"] == "READY"
