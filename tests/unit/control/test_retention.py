"""What may go, and what must stay."""

import asyncio
import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.background import Health, kept_running
from gateway.config import Builder, Retention
from gateway.control import deletion, retention
from gateway.control.publishing import Publisher
from gateway.control.retention import Sweeper
from gateway.errors import Conflict, Unavailable
from gateway.models.deployment import Status
from gateway.models.object_keys import blob_key, release_key
from gateway.sites.release_format import decode_release
from tests.unit.control.fake_engines import BreakingObjects, MemoryLogs
from tests.unit.control.fakes import Clock, MemoryDeployments, MemorySweeps, no_caches, until
from tests.unit.control.outputs import OK, make_manifest, sha256_of, upload

DAY = 86400
KEEP_TWO = Retention(releases=2, replaced_days=7, log_days=30)


class World:
    """A gateway's stores, one project, and its sweeper."""

    def __init__(self, settings: Retention = KEEP_TWO) -> None:
        self.clock = Clock()
        self.deployments = MemoryDeployments(self.clock)
        self.objects = BreakingObjects(self.clock)
        self.logs = MemoryLogs()
        self.publisher = Publisher(self.deployments, self.deployments, self.deployments, self.objects, Builder())
        self.settings = settings
        self.sweeps = MemorySweeps(self.deployments, self.clock)
        self.sweeper = self.make_sweeper()
        self.project_id = uuid.uuid4()
        self.files: dict[uuid.UUID, dict[str, bytes]] = {}
        self.number = 0

    def make_sweeper(self):
        return Sweeper(
            self.deployments, self.deployments, self.objects, self.logs, self.sweeps, self.settings, no_caches
        )

    async def sweep_anew(self):
        """A day later: such a sweep looks at all projects."""
        self.sweeps.ended_at = float("-inf")
        await self.make_sweeper().sweep()

    def build(self):
        self.number += 1
        return self.deployments.add_building(project_id=self.project_id, number=self.number)

    async def announce(self, files):
        building = self.build()
        self.files[building.id] = files
        await upload(self.publisher, building, files)
        return building

    async def publish(self, files):
        building = await self.announce(files)
        await self.publisher.finish(building, 1, OK)
        return building.id

    async def publish_three_and_wait(self):
        """The first is out of retention then."""
        old = [await self.publish({"index.html": text, "same.js": b"same"}) for text in (b"1", b"2", b"3")]
        self.clock.pass_by(8 * DAY)
        return old

    def is_served(self, deployment_id) -> bool:
        """Whether the release and all the blobs that it needs are stored."""
        body = self.objects.bodies.get(release_key(self.project_id, deployment_id))
        return body is not None and all(self.has(file.blob.sha256) for file in decode_release(body).files.values())

    def has(self, sha256) -> bool:
        return blob_key(self.project_id, sha256) in self.objects.bodies

    def has_body(self, body) -> bool:
        return self.has(sha256_of(body))


@pytest.fixture
def world():
    return World()


async def test_an_old_release_and_its_blobs_go_and_the_rest_stays(world):
    first, second, third = await world.publish_three_and_wait()
    await world.sweeper.sweep()
    assert release_key(world.project_id, first) not in world.objects.bodies
    assert not world.has_body(b"1")
    assert world.has_body(b"same")
    assert world.is_served(second)
    assert world.is_served(third)


async def test_what_went_cannot_go_live(world):
    first, _, _ = await world.publish_three_and_wait()
    await world.sweeper.sweep()
    with pytest.raises(Conflict):
        world.deployments.go_live(first)


async def test_what_was_replaced_recently_stays(world):
    first, _, _ = [await world.publish({"index.html": text}) for text in (b"1", b"2", b"3")]
    world.clock.pass_by(6 * DAY)
    await world.sweeper.sweep()
    assert world.is_served(first)


async def test_an_old_release_that_is_live_stays(world):
    first, _, _ = await world.publish_three_and_wait()
    world.deployments.go_live(first)
    world.clock.pass_by(8 * DAY)
    await world.sweeper.sweep()
    assert world.is_served(first)


async def test_a_release_that_goes_live_during_the_sweep_stays(world):
    first, _, _ = await world.publish_three_and_wait()
    chosen = world.deployments.releases_to_sweep

    async def choose_and_promote(keep, replaced_days):
        found = await chosen(keep, replaced_days)
        world.deployments.go_live(first)
        return found

    world.deployments.releases_to_sweep = choose_and_promote
    await world.sweeper.sweep()
    assert world.is_served(first)


async def test_what_a_running_build_announced_stays(world):
    world.objects.keep(blob_key(world.project_id, sha256_of(b"reused")), b"reused")
    await world.publish_three_and_wait()
    pending = await world.announce({"index.html": b"reused"})
    await world.sweeper.sweep()
    await world.publisher.finish(pending, 1, OK)
    assert world.is_served(pending.id)


async def test_an_announcement_waits_for_a_sweep_under_way(world):
    world.objects.keep(blob_key(world.project_id, sha256_of(b"reused")), b"reused")
    await world.publish_three_and_wait()
    building = world.build()
    looked, go_on = asyncio.Event(), asyncio.Event()
    pending = world.deployments.pending_manifests

    async def slow_pending(project_id):
        found = await pending(project_id)
        looked.set()
        await go_on.wait()
        return found

    world.deployments.pending_manifests = slow_pending
    sweep = asyncio.ensure_future(world.sweeper.sweep())
    await looked.wait()
    announcing = asyncio.ensure_future(
        world.publisher.accept_manifest(building, make_manifest({"index.html": b"reused"}))
    )
    await until(lambda: world.deployments.lock_waiters or announcing.done())
    go_on.set()
    await sweep
    assert await announcing == [sha256_of(b"reused")]


async def test_blobs_of_failed_builds_go_after_an_hour(world):
    failed = await world.announce({"index.html": b"never"})
    await world.deployments.fail(failed.id, 1, "It failed.")
    world.clock.pass_by(1800)
    await world.sweep_anew()
    assert world.has_body(b"never")
    world.clock.pass_by(1801)
    await world.sweep_anew()
    assert not world.has_body(b"never")


async def test_a_release_without_a_ready_deployment_goes(world):
    crashed = await world.announce({"index.html": b"1"})
    key = release_key(world.project_id, crashed.id)
    world.objects.keep(key, b"{}")
    await world.deployments.fail(crashed.id, 1, "It failed.")
    world.clock.pass_by(2 * 3600)
    await world.sweeper.sweep()
    assert world.objects.bodies == {}


async def test_projects_that_our_database_does_not_know_are_left_alone(world):
    key = blob_key(uuid.uuid4(), sha256_of(b"theirs"))
    world.objects.keep(key, b"theirs")
    world.objects.keep("__blobs/not-a-project/x", b"?")
    world.objects.keep("__outputs/crimson-elephant/index.html", b"!")
    world.clock.pass_by(DAY)
    await world.sweeper.sweep()
    assert len(world.objects.bodies) == 3


async def test_all_projects_are_looked_at_only_once_a_day(world):
    await world.sweeper.sweep()
    failed = await world.announce({"index.html": b"never"})
    await world.deployments.fail(failed.id, 1, "It failed.")
    world.clock.pass_by(2 * 3600)
    await world.sweeper.sweep()
    assert world.has_body(b"never")


async def test_a_sweep_of_all_projects_that_broke_off_goes_on_where_it_was(world, monkeypatch):
    monkeypatch.setattr(retention, "PROJECTS_AT_ONCE", 1)
    for number in (2, 1):
        world.project_id, world.number = uuid.UUID(int=number), 0
        failed = await world.announce({"index.html": str(number).encode()})
        await world.deployments.fail(failed.id, 1, "It failed.")
    world.clock.pass_by(2 * 3600)
    world.objects.calls_left = 3
    with pytest.raises(Unavailable):
        await world.sweeper.sweep()
    assert world.sweeps.after == uuid.UUID(int=1)
    world.objects.calls_left = float("inf")
    await world.sweeper.sweep()
    assert world.objects.bodies == {}


async def test_while_the_store_is_away_the_other_projects_are_not_tried(world):
    for number in (1, 2, 3):
        world.project_id = uuid.UUID(int=number)
        await world.announce({"index.html": b"1"})
    world.objects.calls_left = 0
    with pytest.raises(Unavailable):
        await world.sweeper.sweep()
    assert world.objects.calls_left == -2


async def test_who_has_lost_the_lock_of_a_project_deletes_nothing_of_it(world):
    """What it takes for waste, a publication may have taken up again since."""
    await world.publish_three_and_wait()
    before = set(world.objects.bodies)
    world.deployments.lock.is_lost = True
    with pytest.raises(Unavailable, match="was lost"):
        await world.sweeper.sweep()
    assert set(world.objects.bodies) == before


async def test_of_a_project_that_another_database_publishes_nothing_goes(world):
    """As after a move, or with an old backup: what it published since is unknown here."""
    await world.publish_three_and_wait()
    world.objects.keep(release_key(world.project_id, uuid.uuid4()), b"a release of another database")
    world.objects.keep(blob_key(world.project_id, sha256_of(b"theirs")), b"theirs")
    world.clock.pass_by(8 * DAY)
    before = set(world.objects.bodies)
    with pytest.raises(Unavailable, match="another database is in use with the same objects"):
        await world.sweep_anew()
    assert set(world.objects.bodies) == before


async def test_while_a_release_is_gone_all_blobs_of_its_project_stay(world):
    _, second, _ = await world.publish_three_and_wait()
    world.objects.bodies.pop(release_key(world.project_id, second))
    with pytest.raises(Unavailable, match="can't be read"):
        await world.sweeper.sweep()
    assert all(world.has_body(body) for body in (b"1", b"2", b"3", b"same"))


async def test_while_a_release_is_damaged_all_blobs_of_its_project_stay(world):
    _, second, _ = await world.publish_three_and_wait()
    world.objects.keep(release_key(world.project_id, second), b"not a release")
    with pytest.raises(Unavailable, match="can't be read"):
        await world.sweeper.sweep()
    assert all(world.has_body(body) for body in (b"1", b"2", b"3", b"same"))


async def test_a_project_that_cannot_be_swept_does_not_keep_the_others_from_it(world):
    _, second, _ = await world.publish_three_and_wait()
    world.objects.bodies.pop(release_key(world.project_id, second))
    world.project_id, world.number = uuid.uuid4(), 0
    await world.publish_three_and_wait()
    with pytest.raises(Unavailable):
        await world.sweeper.sweep()
    assert not world.has_body(b"1")


async def test_logs_go_after_their_days(world):
    await world.sweeper.sweep()
    (day,) = world.logs.dropped
    assert (world.clock.now().date() - day).days == 30


async def test_a_gateway_whose_clock_is_far_ahead_forgets_nothing_early(world):
    """The database's clock decides, and only it: it is one for all gateways."""
    world.clock.pass_by(-30 * 365 * DAY)
    world.objects.keep(blob_key(world.project_id, sha256_of(b"young")), b"young")
    await world.publish({"index.html": b"1"})
    await world.sweep_anew()
    assert world.has_body(b"young")
    assert (world.clock.now().date() - world.logs.dropped[-1]).days == 30


async def test_a_store_that_does_not_list_unfinished_uploads_is_swept_all_the_same(world, monkeypatch, caplog):
    async def refuse():
        raise Unavailable("These keys may not list uploads.")

    monkeypatch.setattr(world.objects, "tidy", refuse)
    first, *_ = await world.publish_three_and_wait()
    await world.sweeper.sweep()
    assert release_key(world.project_id, first) not in world.objects.bodies
    assert "unfinished uploads were not looked for: These keys may not list uploads." in caplog.text


async def test_a_log_store_that_is_away_does_not_keep_blobs(world):
    await world.publish_three_and_wait()
    world.logs.is_away = True
    with pytest.raises(Unavailable, match="log store"):
        await world.sweeper.sweep()
    assert not world.has_body(b"1")


async def test_a_stop_ends_the_sweep_between_two_projects(world, stopping):
    await world.publish_three_and_wait()
    stopping.set()
    await world.sweeper.sweep(stopping)
    assert world.has_body(b"1")


async def test_it_sweeps_shortly_after_the_start(world):
    sweeper = Sweeper(
        world.deployments,
        world.deployments,
        world.objects,
        world.logs,
        world.sweeps,
        KEEP_TWO,
        no_caches,
        first_seconds=0,
    )
    async with kept_running("retention", sweeper.run, Health()):
        await until(lambda: world.logs.dropped)


async def test_a_sweep_that_failed_is_done_as_soon_as_the_disk_has_room(world):
    health = Health()
    sweeper = Sweeper(
        world.deployments,
        world.deployments,
        world.objects,
        world.logs,
        world.sweeps,
        KEEP_TWO,
        no_caches,
        first_seconds=0,
    )
    world.logs.is_away = True
    health.trouble("object store", "The disk is full.")
    async with kept_running("retention", sweeper.run, health, first_delay_seconds=3600):
        await until(lambda: "retention" in health.troubles)
        world.logs.is_away = False
        health.recovered("object store")
        await until(lambda: not health.troubles)


async def test_many_objects_go_in_several_calls(world, monkeypatch):
    monkeypatch.setattr(deletion, "AT_ONCE", 2)
    failed = await world.announce({f"{number}": str(number).encode() for number in range(7)})
    await world.deployments.fail(failed.id, 1, "It failed.")
    world.clock.pass_by(2 * 3600)
    await world.sweeper.sweep()
    assert world.objects.bodies == {}


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sets(st.integers(0, 7), min_size=1)),
    st.tuples(st.just("announce"), st.sets(st.integers(0, 7), min_size=1)),
    st.tuples(st.sampled_from(["fail", "finish", "promote"]), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.sampled_from([60.0, 2 * 3600.0, 4 * DAY, 8.0 * DAY])),
    st.tuples(st.just("sweep"), st.integers(0, 40)),
)


@given(st.lists(STEPS, max_size=25), st.integers(0, 2))
def test_whatever_happens_what_must_stay_stays(steps, keep):
    asyncio.run(live_through(World(Retention(releases=keep, replaced_days=7)), steps))


async def live_through(world, steps):
    """Each step, then: whatever must stay is there. At the end: an undisturbed sweep leaves nothing else."""
    for name, value in steps:
        await ACTS[name](world, value)
        check(world)
    world.clock.pass_by(2 * 3600)
    await world.sweep_anew()
    check(world)
    assert set(world.objects.bodies) == wanted_keys(world)


def wanted_keys(world):
    rows = world.deployments.rows.values()
    kept = [row.id for row in rows if row.id in world.deployments.released]
    pending = [row.id for row in rows if row.status is Status.BUILDING]
    bodies = {body for deployment_id in kept + pending for body in world.files[deployment_id].values()}
    blobs = {blob_key(world.project_id, sha256_of(body)) for body in bodies}
    return blobs | {release_key(world.project_id, deployment_id) for deployment_id in kept}


def check(world):
    for row in world.deployments.rows.values():
        if row.id in world.deployments.released:
            assert world.is_served(row.id)
        if row.is_live:
            assert world.is_served(row.id)
        if row.status is Status.BUILDING:
            assert all(world.has_body(body) for body in world.files[row.id].values())


def files_of(numbers):
    return {f"{number}.html": str(number).encode() for number in numbers}


async def act_publish(world, numbers):
    await world.publish(files_of(numbers))


async def act_announce(world, numbers):
    await world.announce(files_of(numbers))


async def act_fail(world, index):
    for row in (await world.deployments.building())[index : index + 1]:
        await world.deployments.fail(row.id, 1, "It failed.")


async def act_finish(world, index):
    for row in (await world.deployments.building())[index : index + 1]:
        await world.publisher.finish(row, 1, OK)


async def act_promote(world, index):
    ready = [row for row in world.deployments.rows.values() if row.status is Status.READY]
    with contextlib.suppress(Conflict):
        for row in ready[index : index + 1]:
            world.deployments.go_live(row.id)


async def act_wait(world, seconds):
    world.clock.pass_by(seconds)


async def act_sweep(world, calls_left):
    """A sweep that is cut off after so many calls of the object store."""
    world.objects.calls_left = calls_left
    with contextlib.suppress(Unavailable):
        await world.sweep_anew()
    world.objects.calls_left = float("inf")


ACTS = {
    "publish": act_publish,
    "announce": act_announce,
    "fail": act_fail,
    "finish": act_finish,
    "promote": act_promote,
    "wait": act_wait,
    "sweep": act_sweep,
}
