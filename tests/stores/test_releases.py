"""Going live, promoting, and what may be swept."""

import asyncio
import uuid

import pytest

from gateway.errors import Conflict, NotFound
from gateway.models.actor import OWNER
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from tests.engines.stores import deploy_again


@pytest.fixture
def build(deployments, queued):
    """Deploys the project again up to BUILDING; the first call takes the deployment that waits already."""
    waiting = [queued]

    async def start():
        wanted = waiting.pop() if waiting else await deploy_again(deployments, queued.project_slug)
        (claimed,) = await deployments.claim("process", 60)
        assert claimed.id == wanted.id
        return claimed

    return start


@pytest.fixture
def release(build, deployments):
    async def publish():
        return await deployments.publish((await build()).id, 1, 3, 100, 7)

    return publish


async def test_publishing_makes_ready_and_live_at_once(projects, deployments, building):
    await deployments.start_step(building.id, 1, "upload", 1_000)
    ready = await deployments.publish(building.id, 1, 3, 100, 7)
    assert (ready.status, ready.is_live, ready.files, ready.bytes, ready.last_seq) == (Status.READY, True, 3, 100, 7)
    assert ready.steps[-1].seconds > 0
    assert (await projects.get(OWNER, ready.project_slug)).live_deployment_id == ready.id


@pytest.mark.direct
async def test_going_live_is_notified(database, deployments, building):
    heard, ended, connected = [], asyncio.Event(), asyncio.Event()

    def on_payload(payload):
        heard.append(payload)
        (ended if payload else connected).set()

    listening = asyncio.create_task(database.listen("site_changed", on_payload, stopping=ended, progress=lambda: None))
    await asyncio.wait_for(connected.wait(), 5)
    await deployments.publish(building.id, 1, 3, 100, 7)
    await asyncio.wait_for(listening, 5)
    assert heard == ["", building.project_slug]


async def test_a_newer_release_replaces_the_older(release, deployments):
    first, second = await release(), await release()
    assert not (await deployments.get(OWNER, first.id)).is_live
    assert (await deployments.get(OWNER, second.id)).is_live


async def test_an_older_build_that_ends_late_does_not_go_live(build, deployments):
    older, newer = await build(), await build()
    await deployments.publish(newer.id, 1, 3, 100, 7)
    late = await deployments.publish(older.id, 1, 3, 100, 7)
    assert (late.status, late.is_live) == (Status.READY, False)
    assert (await deployments.get(OWNER, newer.id)).is_live


async def test_a_promotion_goes_back_and_what_was_queued_before_it_stays_behind(release, build, deployments):
    first, _ = await release(), await release()
    queued_before = await build()
    assert (await deployments.promote(OWNER, first.id)).is_live
    assert not (await deployments.publish(queued_before.id, 1, 3, 100, 7)).is_live
    assert (await deployments.get(OWNER, first.id)).is_live


async def test_what_is_asked_for_after_a_promotion_goes_live(release, deployments):
    first, _ = await release(), await release()
    await deployments.promote(OWNER, first.id)
    assert (await release()).is_live


async def test_promoting_twice_is_the_same_as_once(release, deployments):
    first = await release()
    assert await deployments.promote(OWNER, first.id) == await deployments.promote(OWNER, first.id)


async def test_only_what_is_ready_can_be_promoted(building, deployments):
    with pytest.raises(Conflict, match="READY"):
        await deployments.promote(OWNER, building.id)
    with pytest.raises(NotFound):
        await deployments.promote(OWNER, uuid.UUID(int=1))


async def test_promotions_and_publications_at_once_never_deadlock(release, build, deployments):
    first, second = await release(), await release()
    builds = [await build() for _ in range(4)]
    await asyncio.gather(
        *(deployments.publish(built.id, 1, 3, 100, 7) for built in builds),
        *(deployments.promote(OWNER, deployment.id) for deployment in (first, second, first, second)),
    )
    found, _ = await deployments.list(OWNER, first.project_slug, 10)
    assert sum(deployment.is_live for deployment in found) == 1


async def test_the_sweep_spares_the_live_the_newest_and_the_recently_replaced(release, database, deployments):
    releases = [await release() for _ in range(5)]
    await deployments.promote(OWNER, releases[0].id)
    assert await deployments.releases_to_sweep(1, 7) == []
    await database.pool.execute("UPDATE deployments SET replaced_at = now() - interval '8 days' WHERE number < 4")
    swept = await deployments.releases_to_sweep(1, 7)
    assert [deployment.id for deployment in swept] == [releases[1].id, releases[2].id]


async def test_what_was_swept_has_no_release_any_more(release, hosts, deployments):
    first, second = await release(), await release()
    await deployments.mark_swept(first.id)
    assert await deployments.kept_releases(first.project_id) == [second.id]
    assert await deployments.releases_to_sweep(0, -1) == []
    with pytest.raises(Conflict, match="cleaned up"):
        await deployments.promote(OWNER, first.id)
    with pytest.raises(NotFound):
        await hosts.find(deployment_label(first.project_slug, first.id))


async def test_the_live_release_cannot_be_swept(release, deployments):
    live = await release()
    with pytest.raises(Conflict, match="live"):
        await deployments.mark_swept(live.id)


async def test_the_lock_of_a_project_lets_one_in_at_a_time(deployments, queued):
    inside = 0
    most = 0

    async def enter():
        nonlocal inside, most
        async with deployments.project_lock(queued.project_id):
            inside += 1
            most = max(most, inside)
            await deployments.get(OWNER, queued.id)  # another connection: the pool is never used up by locks
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(30)))
    assert most == 1


async def test_what_fails_under_the_lock_fails_as_itself(deployments, queued):
    with pytest.raises(FileNotFoundError):
        async with deployments.project_lock(queued.project_id):
            raise FileNotFoundError("of the caller")
