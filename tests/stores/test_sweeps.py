"""The sweep of all projects, which gateways share."""

import asyncio

import pytest

from gateway.stores.sweeps import SweepStore
from tests.engines.stores import new_project

DAY, SILENT = 86400.0, 600.0


@pytest.fixture
def sweeps(database):
    return SweepStore(database)


@pytest.fixture
def move_back(database):
    """As if what the row says had been so long ago."""

    async def move(column, seconds):
        async with database.acquire() as connection:
            await connection.execute(
                f"UPDATE sweeps SET {column} = {column} - make_interval(secs => $1)", float(seconds)
            )

    return move


async def make_projects(projects, count):
    made = [await new_project(projects, f"P{number}") for number in range(count)]
    return sorted(deployment.project_id for deployment in made)


async def test_the_first_one_is_due(sweeps):
    assert await sweeps.begin(DAY, SILENT)


async def test_of_many_who_begin_at_once_it_is_one_gateways(sweeps):
    assert sum(await asyncio.gather(*(sweeps.begin(DAY, SILENT) for _ in range(6)))) == 1


async def test_the_next_one_is_due_a_day_after_the_end(sweeps, move_back):
    await sweeps.begin(DAY, SILENT)
    await sweeps.end()
    assert not await sweeps.begin(DAY, SILENT)
    await move_back("ended_at", DAY)
    assert await sweeps.begin(DAY, SILENT)


async def test_it_hands_out_all_projects_once(sweeps, projects):
    known = await make_projects(projects, 3)
    await sweeps.begin(DAY, SILENT)
    assert await sweeps.projects(2) == known[:2]
    await sweeps.advance(known[1])
    assert await sweeps.projects(2) == known[2:]
    await sweeps.advance(known[2])
    assert await sweeps.projects(2) == []


async def test_another_goes_on_where_one_that_is_silent_was(sweeps, projects, move_back):
    known = await make_projects(projects, 2)
    await sweeps.begin(DAY, SILENT)
    await sweeps.advance(known[0])
    await move_back("worked_at", SILENT - 60)
    assert not await sweeps.begin(DAY, SILENT)
    await move_back("worked_at", 60)
    assert await sweeps.begin(DAY, SILENT)
    assert await sweeps.projects(2) == known[1:]


async def test_a_new_one_begins_with_the_first_project(sweeps, projects, move_back):
    known = await make_projects(projects, 1)
    await sweeps.begin(DAY, SILENT)
    await sweeps.advance(known[0])
    await sweeps.end()
    await move_back("ended_at", DAY)
    await sweeps.begin(DAY, SILENT)
    assert await sweeps.projects(1) == known
