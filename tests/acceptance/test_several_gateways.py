"""Gateways on machines of their own, each with its own builders, on one PostgreSQL and one bucket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway, eventually, running_gateway
from tests.engines.pgbouncer import running_pgbouncer
from tests.engines.postgres import PostgresServer
from tests.engines.s3 import S3Server, environment_of

SLOW = {
    "package.json": '{"scripts": {"build": "node build.js"}}',
    "build.js": """
const fs = require('fs');
for (let i = 0; i < 200; i++) console.log(`line ${i}`);
setTimeout(() => {
    fs.mkdirSync('dist');
    fs.writeFileSync('dist/index.html', '<h1>built</h1>');
    console.log('the last line');
}, 6000);
""",
}


@pytest.fixture
def s3(s3_servers: Callable[[str], S3Server]) -> S3Server:
    return s3_servers("moto")


@pytest.fixture
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_empty_database()


@contextlib.asynccontextmanager
async def two_gateways(folder: Path, s3: S3Server, **settings: str) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Both start at once on an empty database."""
    settings |= environment_of(await asyncio.to_thread(s3.make_bucket))
    folders = [folder / name for name in ("first", "second")]
    for each in folders:
        each.mkdir()
    async with (
        running_gateway(folders[0], start=False, **settings) as first,
        running_gateway(folders[1], start=False, **settings) as second,
    ):
        await asyncio.gather(first.start(), second.start())
        yield first, second


async def rows(database: str, query: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database)
    try:
        return await connection.fetch(query, *values)
    finally:
        await connection.close()


@pytest.mark.parametrize("way", ["direct", "pooler"])
async def test_two_gateways_that_start_at_once_share_one_installation(
    way: str, postgres: PostgresServer, database: str, s3: S3Server, tmp_path: Path, repositories: Repositories
) -> None:
    with contextlib.ExitStack() as stack:
        settings = {"DATABASE_URL": database}
        if way == "pooler":
            pooler = stack.enter_context(running_pgbouncer(postgres.url))
            name = database.split("?")[0].rpartition("/")[2]
            settings = {"DATABASE_URL": pooler.url_of(name), "BUILDSPACE_POSTGRES_IS_POOLED": "true"}
        async with two_gateways(tmp_path, s3, **settings) as (first, second):
            printed = first.output.read_text() + second.output.read_text()
            (token,) = re.findall(r"Access token: (\S+)", printed)
            for gateway in (first, second):
                await accepts(gateway, token)
            await is_served_by_both(first, second, repositories)


async def accepts(gateway: Gateway, token: str) -> None:
    """The token, and a session that the other one's key has signed."""
    elsewhere = {"X-Forwarded-For": "203.0.113.7"}
    assert (await gateway.call("GET", "/project", headers=elsewhere))[0] == 401
    authorized = {**elsewhere, "Authorization": f"Bearer {token}"}
    assert (await gateway.call("GET", "/project", headers=authorized))[0] == 200


async def is_served_by_both(first: Gateway, second: Gateway, repositories: Repositories) -> None:
    answer = await first.deploy(repositories.from_files("both", {"index.html": "one"}))
    assert (await second.ended(answer["deploymentId"]))["status"] == "READY"
    assert [await each.fetch(answer["url"]) for each in (first, second)] == [(200, b"one")] * 2
    repositories.from_files("both", {"index.html": "two"})
    _, again = await second.call("POST", f"/project/{answer['projectSlug']}/deployments", {})
    assert (await second.ended(again["deploymentId"]))["number"] == 2

    async def both_serve_two() -> bool:
        return [await each.fetch(answer["url"]) for each in (first, second)] == [(200, b"two")] * 2

    await eventually(both_serve_two, "both serve what went live on one", 15)


@pytest.mark.soak  # it waits for a whole lease of a frozen builder
async def test_a_machine_that_dies_costs_only_time(
    database: str, s3: S3Server, tmp_path: Path, repositories: Repositories
) -> None:
    async with two_gateways(tmp_path, s3, DATABASE_URL=database) as (first, second):
        git_url = repositories.from_files("several", SLOW)
        answers = [await gateway.deploy(git_url) for gateway in (first, second) * 2]
        shares = await eventually(lambda: shared_work(database), "each builds two")
        dying, staying = (name_of(gateway) for gateway in (first, second))
        assert sorted(shares) == sorted([dying, staying])
        await first.kill()
        killed, frozen = [int(handle.split(":")[1]) for handle in shares[dying]]
        os.kill(killed, signal.SIGKILL)
        os.kill(frozen, signal.SIGSTOP)
        for answer in answers:
            await assert_whole(second, answer)
        assert await attempts(database) == [(1, staying)] * 2 + [(2, staying)] * 2

        # The machine comes back, and with it a builder that does not know that it is believed dead.
        before = await outcomes(database)
        await first.start()
        os.kill(frozen, signal.SIGCONT)
        await eventually(lambda: has_ended(frozen), "the late builder ends")
        assert await outcomes(database) == before
        again = await first.deploy(git_url)
        assert (await first.ended(again["deploymentId"]))["status"] == "READY"
        assert name_of(first) == dying


def name_of(gateway: Gateway) -> str:
    return f"process:{(gateway.directory / 'data' / 'instance').read_text().strip()}"


async def shared_work(database: str) -> dict[str, list[str]] | None:
    """The handles of the builders of each launcher, once each has two that are at work."""
    found = await rows(
        database,
        """
        SELECT launcher, array_agg(handle) AS handles
        FROM deployment_rows
        WHERE status = 'BUILDING' AND handle IS NOT NULL AND steps::text LIKE '%"build"%'
        GROUP BY launcher
        """,
    )
    shares = {row["launcher"]: row["handles"] for row in found}
    return shares if [len(handles) for handles in shares.values()] == [2, 2] else None


async def assert_whole(gateway: Gateway, answer: dict[str, Any]) -> None:
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    log = await gateway.log(answer["deploymentId"])
    assert (log["complete"], log["missing"]) == (True, [])
    lines = [line for line in log["rawLogs"] if line["attempt"] == deployment["attempt"]]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert sum(line["log"] == "the last line" for line in lines) == 1
    assert await gateway.fetch(answer["url"]) == (200, b"<h1>built</h1>")


async def attempts(database: str) -> list[tuple[int, str]]:
    found = await rows(database, "SELECT attempt, launcher FROM deployment_rows ORDER BY attempt, launcher")
    return [(row["attempt"], row["launcher"]) for row in found]


async def outcomes(database: str) -> list[asyncpg.Record]:
    return await rows(
        database,
        """
        SELECT
            id,
            status,
            attempt,
            completed_at,
            files,
            last_seq,
            log_complete
        FROM deployments
        ORDER BY id
        """,
    )


async def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
