"""Of each log it is decided whether it is whole, once, and not before its lines had their time."""

import dataclasses
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.control import log_ends
from gateway.control.leases import Leases
from gateway.control.log_ends import LogEnds
from gateway.errors import Unavailable
from gateway.models.actor import OWNER
from gateway.models.deployment import Status


@pytest.fixture
def is_behind():
    """Whether lines wait in the log transport; a test may empty it."""
    return [True]


@pytest.fixture
def work(deployments, logs, clock):
    """The job that decides logs."""
    return LogEnds(deployments, logs, is_transport_behind=lambda: False, late_lines_seconds=0, clock=clock)


@pytest.fixture
def late(deployments, logs, clock, is_behind):
    """The same, for builders whose lines go another way than their calls."""
    return LogEnds(deployments, logs, is_transport_behind=lambda: bool(is_behind), late_lines_seconds=900, clock=clock)


@pytest.fixture
def stops(deployments, launcher, clock):
    """A leases for such builders."""
    return Leases(deployments, launcher, 3, time_limit_seconds=900, late_lines_seconds=900, clock=clock)


async def store(logs, deployment, first_seq, count):
    lines = tuple(Line(1, "stdout", "build", "x") for _ in range(count))
    await logs.append([LineBatch("crimson-elephant", deployment.id, deployment.attempt, first_seq, lines)])


async def test_a_whole_log_is_decided_at_once(work, running, row, deployments, logs):
    await store(logs, running, 1, 5)
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await work.look()
    assert (row().log_complete, row().log_missing) == (True, ())


async def test_a_log_that_lacks_lines_is_waited_for(work, running, row, deployments, logs, clock):
    await store(logs, running, 1, 3)
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await work.look()
    clock.pass_by(50)
    await work.look()
    assert row().log_complete is None
    await store(logs, running, 4, 2)
    await work.look()
    assert row().log_complete is True


async def test_no_log_is_called_incomplete_while_its_lines_may_be_on_their_way(
    late, stops, running, row, deployments, clock, is_behind
):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await stops.look()
    await late.look()
    clock.pass_by(3600)
    await stops.look()
    await late.look()
    assert row().log_complete is None
    is_behind.clear()
    await late.look()
    clock.pass_by(50)
    await late.look()
    assert row().log_complete is None  # the wait begins when the transport has caught up
    clock.pass_by(10)
    await late.look()
    assert (row().log_complete, row().log_missing) == (False, ((1, 5),))


async def test_a_whole_log_is_decided_whatever_else_waits(late, running, row, deployments, logs):
    await store(logs, running, 1, 5)
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await late.look()
    assert row().log_complete is True


async def test_logs_that_wait_for_lines_hold_up_none_that_are_whole(work, deployments, monkeypatch):
    monkeypatch.setattr(log_ends, "LOGS_AT_ONCE", 2)
    for number in range(5):
        deployments.add(id=uuid.UUID(int=number + 1), status=Status.FAILED, last_seq=9)
    whole = deployments.add(id=uuid.UUID(int=9), status=Status.READY, last_seq=0)
    for _ in range(3):
        await work.look()
    assert deployments.rows[whole.id].log_complete is True


async def test_logs_are_waited_for_in_turn_and_decided_in_the_end(work, deployments, clock, monkeypatch):
    monkeypatch.setattr(log_ends, "LOGS_AT_ONCE", 2)
    for number in range(5):
        deployments.add(id=uuid.UUID(int=number + 1), status=Status.FAILED, last_seq=9)
    for _ in range(3):
        await work.look()
    clock.pass_by(61)
    for _ in range(3):
        await work.look()
    assert {row.log_complete for row in deployments.rows.values()} == {False}


async def test_a_builder_that_still_brings_lines_is_let_live(stops, running, deployments, launcher, clock):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await stops.look()
    clock.pass_by(890)
    await stops.look()
    assert launcher.running == {"fake:1"}
    clock.pass_by(20)
    await stops.look()
    assert launcher.running == set()


async def test_a_builder_that_alone_can_not_reach_the_transport_has_its_time_too(
    late, stops, running, row, deployments, launcher, logs, clock, is_behind
):
    is_behind.clear()
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    for seconds in (61, 500, 0):
        await stops.look()
        await late.look()
        clock.pass_by(seconds)
    assert (launcher.running, row().log_complete) == ({"fake:1"}, None)
    await store(logs, running, 1, 5)
    await late.look()
    assert row().log_complete is True


async def test_once_such_a_builder_is_gone_its_log_is_decided(
    late, stops, running, row, deployments, launcher, clock, is_behind
):
    is_behind.clear()
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await late.look()
    launcher.running.clear()
    await stops.look()
    await late.look()
    clock.pass_by(61)
    await late.look()
    assert (row().log_complete, row().log_missing) == (False, ((1, 5),))


async def test_a_builder_that_nobody_can_look_after_does_not_keep_its_log_open_for_ever(
    late, running, row, deployments, clock, is_behind
):
    is_behind.clear()
    deployments.rows[running.id] = dataclasses.replace(running, launcher="another")
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await late.look()
    clock.pass_by(901)
    await late.look()
    clock.pass_by(61)
    await late.look()
    assert row().log_complete is False


async def test_a_builder_whose_log_is_whole_has_no_reason_to_stay(
    late, stops, running, deployments, launcher, logs, clock
):
    await store(logs, running, 1, 5)
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await late.look()
    await stops.look()
    clock.pass_by(6)
    await stops.look()
    assert launcher.running == set()


async def test_each_line_that_arrives_lengthens_the_wait(work, running, row, deployments, logs, clock):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await work.look()
    clock.pass_by(50)
    await store(logs, running, 1, 1)
    await work.look()
    clock.pass_by(50)
    await work.look()
    assert row().log_complete is None


async def test_lines_that_never_come_are_named(work, running, row, deployments, logs, clock):
    await store(logs, running, 1, 2)
    await store(logs, running, 4, 1)
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    await work.look()
    clock.pass_by(60)
    await work.look()
    assert (row().log_complete, row().log_missing) == (False, ((3, 3), (5, 5)))


async def test_the_log_of_a_canceled_build_ends_incomplete(work, running, row, deployments, logs, clock):
    await store(logs, running, 1, 2)
    await deployments.cancel(OWNER, running.id)
    await work.look()
    clock.pass_by(5)
    await work.look()
    assert (row().log_complete, row().log_missing) == (False, ())


async def test_without_the_log_store_nothing_is_decided(work, running, row, deployments, logs, clock):
    await deployments.fail(running.id, 1, "npm ended with 1.", "build", 1, 5)
    logs.is_away = True
    for _ in range(3):
        with pytest.raises(Unavailable, match="log store"):
            await work.look()
        clock.pass_by(60)
    logs.is_away = False
    await work.look()
    assert row().log_complete is None
