"""Whatever does not end by itself is ended."""

import asyncio
import contextlib
import datetime

import pytest

from gateway.background import Health, kept_running
from gateway.control import leases
from gateway.errors import Conflict, Unavailable
from gateway.models.actor import OWNER
from gateway.models.attempt import StepTiming
from gateway.models.deployment import Status
from tests.unit.control.fakes import until


@pytest.fixture
def ago(clock):
    """A moment of the database's clock."""
    return lambda seconds: clock.now() - datetime.timedelta(seconds=seconds)


async def test_a_healthy_build_is_left_alone(work, running, row, launcher, clock):
    await work.look()
    clock.pass_by(5)
    await work.look()
    assert row() == running
    assert launcher.stopped == []


async def test_a_builder_that_is_gone_twice_is_lost_and_tried_again(work, launcher, clock, row):
    launcher.kill("fake:1")
    await work.look()
    assert row().status is Status.BUILDING
    clock.pass_by(3)
    await work.look()
    assert (row().status, row().attempt, row().queue_reason) == (Status.QUEUE, 2, leases.NO_WORDS)


async def test_two_looks_in_quick_succession_are_one(work, launcher, clock, row):
    launcher.kill("fake:1")
    await work.look()
    clock.pass_by(2)
    await work.look()
    assert row().status is Status.BUILDING


async def test_a_builder_that_is_found_again_is_not_lost(work, launcher, clock, row):
    launcher.kill("fake:1")
    await work.look()
    launcher.running.add("fake:1")
    clock.pass_by(2)
    await work.look()
    launcher.kill("fake:1")
    clock.pass_by(2)
    await work.look()
    assert row().status is Status.BUILDING


async def test_a_finish_between_the_looks_counts(work, launcher, clock, row, deployments, running):
    launcher.kill("fake:1")
    await work.look()
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 0)
    clock.pass_by(3)
    await work.look()
    assert (row().status, row().reason) == (Status.FAILED, "npm ended with 1.")


async def test_the_last_words_of_a_builder_are_kept(work, launcher, clock, row):
    async def last_words(handle):
        return "MemoryError"

    launcher.last_words = last_words
    launcher.kill("fake:1")
    await work.look()
    clock.pass_by(3)
    await work.look()
    assert "MemoryError" in row().queue_reason


async def test_after_the_last_attempt_it_fails(work, deployments, clock):
    last = deployments.add_building(handle="fake:gone", attempt=3)
    await work.look()
    clock.pass_by(3)
    await work.look()
    assert deployments.rows[last.id].status is Status.FAILED


async def test_an_expired_lease_ends_the_attempt_and_its_builder(work, clock, row, launcher):
    await work.look()
    clock.pass_by(10)
    await beat(work, clock, 60)
    assert (row().status, row().attempt) == (Status.QUEUE, 2)
    assert "sent no heartbeat" in row().queue_reason
    assert launcher.running == set()


async def beat(work, clock, seconds):
    """Look every ten seconds for so long."""
    for _ in range(seconds // 10):
        await work.look()
        clock.pass_by(10)
    await work.look()


async def test_after_a_start_one_whole_lease_passes_before_anything_is_reaped(work, clock, row):
    clock.pass_by(600)
    await beat(work, clock, 50)
    assert row().status is Status.BUILDING
    clock.pass_by(10)
    await work.look()
    assert row().status is Status.QUEUE


async def test_after_an_outage_of_the_database_one_whole_lease_passes(work, clock, row, deployments):
    await work.look()
    deployments.is_away = True
    clock.pass_by(300)
    with pytest.raises(Unavailable):
        await work.look()
    deployments.is_away = False
    await beat(work, clock, 50)
    assert row().status is Status.BUILDING


async def test_a_heartbeat_after_the_outage_keeps_the_build(work, clock, row, deployments, running):
    await work.look()
    clock.pass_by(300)
    await work.look()
    await deployments.heartbeat(running.id, 1, 120)
    await beat(work, clock, 70)
    assert row().status is Status.BUILDING


async def test_an_engine_that_is_away_does_not_put_off_the_reaping(work, clock, row, launcher):
    launcher.error = Unavailable("The launcher is away.")
    for _ in range(8):
        with pytest.raises(Unavailable, match="launcher"):
            await work.look()
        clock.pass_by(10)
    assert row().status is Status.QUEUE


async def test_a_launcher_that_cannot_say_is_no_verdict(work, clock, row, launcher):
    launcher.error = Unavailable("The launcher is away.")
    for _ in range(3):
        with pytest.raises(Unavailable):
            await work.look()
        clock.pass_by(5)
    assert row().status is Status.BUILDING


async def test_a_launcher_that_fails_does_not_stop_what_needs_none(work, row, running, launcher, deployments, ago):
    launcher.error = ValueError("a bug")
    canceled = deployments.add(status=Status.CANCELED, launcher="fake", handle="?", log_complete=False)
    overdue = deployments.add_building(handle="??", started_at=ago(1300))
    with pytest.raises(Unavailable, match="The launcher failed"):
        await work.look()
    assert deployments.rows[overdue.id].status is Status.FAILED
    assert (row(), deployments.rows[canceled.id]) == (running, canceled)


async def test_a_builder_of_which_the_launcher_says_nothing_holds_up_no_other(work, row, launcher, deployments, clock):
    unsaid = deployments.add_building(handle="fake:2")
    launcher.unsaid.add("fake:2")
    launcher.kill("fake:1")
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not know the state of the builder fake:2"):
            await work.look()
        clock.pass_by(3)
    assert row().status is Status.QUEUE
    assert deployments.rows[unsaid.id] == unsaid


async def test_last_words_that_cannot_be_read_change_no_verdict(work, launcher, clock, row):
    async def last_words(handle):
        raise ZeroDivisionError

    launcher.last_words = last_words
    launcher.kill("fake:1")
    await work.look()
    clock.pass_by(3)
    await work.look()
    assert (row().status, row().queue_reason) == (Status.QUEUE, leases.NO_WORDS)


async def test_a_launcher_that_hangs_does_not_stop_the_rest(
    work, running, row, launcher, deployments, monkeypatch, ago
):
    monkeypatch.setattr(leases, "CALL_SECONDS", 0.01)
    launcher.find = lambda handle: asyncio.Event().wait()
    overdue = deployments.add_building(handle=None, started_at=ago(1300))
    with pytest.raises(Unavailable):
        await work.look()
    assert deployments.rows[overdue.id].status is Status.FAILED


async def test_a_builder_whose_stop_failed_is_stopped_though_its_deployment_is_built_again(
    work, running, launcher, deployments, clock
):
    await deployments.lost(running.id, 1, "It gave no sign of life.", 3)
    await deployments.claim("fake", 60)
    await work.look()
    clock.pass_by(5)
    launcher.error = Unavailable("Rate exceeded.")
    with pytest.raises(Unavailable):
        await work.look()
    assert [builder.handle for builder in await deployments.builders_to_stop("fake")] == ["fake:1"]
    launcher.error = None
    await work.look()
    assert (launcher.running, await deployments.builders_to_stop("fake")) == (set(), [])


async def test_a_launcher_that_is_silent_is_waited_for_once_and_after_all_that_needs_none(
    work, launcher, deployments, monkeypatch, ago
):
    monkeypatch.setattr(leases, "CALL_SECONDS", 0.01)
    asked = []

    async def stay_silent(handle, *reason):
        asked.append(handle)
        await asyncio.Event().wait()

    monkeypatch.setattr(launcher, "find", stay_silent)
    monkeypatch.setattr(launcher, "stop", stay_silent)
    for number in range(3):
        deployments.add_building(handle=f"fake:{number}")
        deployments.add(status=Status.READY, launcher="fake", handle=f"fake:old-{number}", last_seq=0)
    overdue = deployments.add_building(started_at=ago(1300))
    with pytest.raises(Unavailable, match=r"The launcher does not answer\."):
        await work.look()
    assert len(asked) == 1
    assert deployments.rows[overdue.id].status is Status.FAILED


async def test_all_builders_are_asked_for_in_one_call(work, launcher, deployments):
    for number in range(100):
        deployments.add_building(handle=f"fake:{number}")
    ended = deployments.add(status=Status.READY, launcher="fake", handle="fake:ended")
    await work.look()
    assert launcher.looks == [[*(f"fake:{number}" for number in range(100)), ended.handle]]


async def test_a_build_past_its_time_limit_is_stopped_and_fails_with_a_sentence(work, deployments, launcher, ago):
    launcher.running.add("fake:2")
    steps = (StepTiming("build", 1, None),)
    overdue = deployments.add_building(handle="fake:2", started_at=ago(1300), steps=steps)
    await work.look()
    found = deployments.rows[overdue.id]
    assert (found.status, found.reason) == (
        Status.FAILED,
        "The build was stopped: it did not end within its time limit of 15 minutes.",
    )
    assert "fake:2" not in launcher.running


async def test_a_gateway_whose_clock_is_far_ahead_fails_no_build(work, deployments, launcher, clock):
    """The database's clock decides, and only it: it is one for all gateways."""
    clock.pass_by(-30 * 365 * 86400)
    launcher.running.add("fake:2")
    started = deployments.add_building(handle="fake:2", started_at=clock.now())
    await work.look()
    assert deployments.rows[started.id].status is Status.BUILDING


async def test_the_goodbye_of_a_builder_that_is_stopped_changes_no_verdict(work, deployments, launcher, ago):
    overdue = deployments.add_building(handle="fake:2", started_at=ago(1300))

    async def say_goodbye():
        with contextlib.suppress(Conflict):
            await deployments.lost(overdue.id, 1, "The builder was stopped by a signal.", 3)

    launcher.on_stop = say_goodbye
    await work.look()
    assert deployments.rows[overdue.id].status is Status.FAILED


async def test_the_builder_of_a_canceled_deployment_is_stopped_at_once(work, running, row, deployments, launcher):
    await deployments.cancel(OWNER, running.id)
    await work.look()
    assert launcher.stopped == [("fake:1", "It was canceled.")]
    assert row().handle is None


async def test_a_builder_that_finished_may_leave_by_itself(work, running, row, deployments, launcher, clock):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 0)
    await work.look()
    assert launcher.stopped == []
    launcher.kill("fake:1")
    await work.look()
    # It is told to the launcher all the same, which frees what the builder has left behind.
    assert (launcher.stopped, row().handle) == ([("fake:1", "npm ended with 1.")], None)


async def test_a_builder_that_finished_and_stays_is_stopped(work, running, row, deployments, launcher, clock):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 0)
    await work.look()
    clock.pass_by(6)
    await work.look()
    assert launcher.running == set()
    assert row().handle is None


async def test_a_stop_that_did_not_work_is_tried_again(work, running, row, deployments, launcher):
    await deployments.cancel(OWNER, running.id)
    launcher.error = Unavailable("The launcher is away.")
    with pytest.raises(Unavailable):
        await work.look()
    assert row().handle == "fake:1"
    launcher.error = None
    await work.look()
    assert row().handle is None


async def test_builders_of_another_launcher_are_left_to_it(work, deployments, launcher, clock):
    building = deployments.add_building(launcher="ecs", handle="arn:1")
    orphan = deployments.add(status=Status.CANCELED, launcher="ecs", handle="arn:2", log_complete=False)
    await work.look()
    clock.pass_by(5)
    await work.look()
    assert launcher.stopped == []
    assert (deployments.rows[building.id], deployments.rows[orphan.id]) == (building, orphan)


async def test_it_works_until_it_is_stopped(work, deployments, launcher):
    health = Health()
    canceled = deployments.add(status=Status.CANCELED, launcher="fake", handle="fake:3")
    launcher.running.add("fake:3")
    async with kept_running("leases", work.run, health):
        await until(lambda: deployments.rows[canceled.id].handle is None)
    assert health.troubles == {}
