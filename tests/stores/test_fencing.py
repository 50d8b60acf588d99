"""Late, repeated and forged events change nothing, whatever the order they come in."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.protocol.calls import Facts
from gateway.errors import Conflict, NotFound
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from tests.engines.stores import deploy_again

FENCED = {
    "launched": lambda store, build, attempt: store.launched(build, attempt, "handle"),
    "refused": lambda store, build, attempt: store.refused(build, attempt, "No."),
    "heartbeat": lambda store, build, attempt: store.heartbeat(build, attempt, 60),
    "start_step": lambda store, build, attempt: store.start_step(build, attempt, "clone", 1_000),
    "add_facts": lambda store, build, attempt: store.add_facts(build, attempt, Facts(commit_sha="forged")),
    "set_manifest": lambda store, build, attempt: store.set_manifest(build, attempt, b"{}"),
    "get_manifest": lambda store, build, attempt: store.get_manifest(build, attempt),
    "fail": lambda store, build, attempt: store.fail(build, attempt, "reason", "build", 1, 9),
    "lost": lambda store, build, attempt: store.lost(build, attempt, "reason", 3),
    "publish": lambda store, build, attempt: store.publish(build, attempt, 1, 1, 1),
}
ENDINGS = {
    "READY": lambda store, found: store.publish(found.id, 1, 1, 1, 1),
    "FAILED": lambda store, found: store.fail(found.id, 1, "reason", "build", 1, 9),
    "CANCELED": lambda store, found: store.cancel(OWNER, found.id),
}


async def rows_of(database):
    """All that is stored, but the handle that a late launch leaves for the builder to be stopped."""
    rows = [dict(row) for row in await database.pool.fetch("SELECT *, xmin::text FROM deployments ORDER BY number")]
    attempts = [dict(row) for row in await database.pool.fetch("SELECT *, xmin::text FROM attempts ORDER BY number")]
    return rows, attempts, [tuple(row) for row in await database.pool.fetch("SELECT * FROM projects")]


@pytest.mark.parametrize("event", [name for name in FENCED if name != "launched"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_event_after_the_end_changes_nothing(database, deployments, building, ending, event):
    await ENDINGS[ending](deployments, building)
    before = await rows_of(database)
    with pytest.raises(Conflict):
        await FENCED[event](deployments, building.id, 1)
    assert await rows_of(database) == before


@pytest.mark.parametrize("attempt", [0, 2, 99, -1])
@pytest.mark.parametrize("event", FENCED)
async def test_an_event_of_another_attempt_changes_nothing(database, deployments, building, event, attempt):
    before = await rows_of(database)
    with pytest.raises(Conflict):
        await FENCED[event](deployments, building.id, attempt)
    assert await rows_of(database) == before


@pytest.mark.parametrize("event", FENCED)
async def test_an_event_before_the_launch_changes_nothing(database, deployments, queued, event):
    before = await rows_of(database)
    with pytest.raises(Conflict):
        await FENCED[event](deployments, queued.id, 1)
    assert await rows_of(database) == before


@pytest.mark.parametrize("event", FENCED)
async def test_an_event_of_an_unknown_deployment_is_not_found(deployments, building, event):
    with pytest.raises(NotFound):
        await FENCED[event](deployments, uuid.UUID(int=1), 1)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_has_ended_cannot_be_canceled(deployments, building, ending):
    await ENDINGS[ending](deployments, building)
    before = await deployments.get(OWNER, building.id)
    with pytest.raises(Conflict, match=str(before.status)):
        await deployments.cancel(OWNER, building.id)
    assert await deployments.get(OWNER, building.id) == before


async def test_the_attempt_before_the_last_is_not_heard(deployments, building):
    await deployments.lost(building.id, 1, "It vanished.", 3)
    (second,) = await deployments.claim("process", 60)
    with pytest.raises(Conflict, match="attempt 2"):
        await deployments.publish(building.id, 1, 1, 1, 1)
    assert (await deployments.get(OWNER, building.id)) == second


EVENTS = st.lists(st.tuples(st.sampled_from([*FENCED, "claim", "cancel"]), st.integers(1, 3)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
async def test_no_order_of_events_leaves_the_path(deployments, queued, events):
    """Attempts never go back, what is final stays, and what is live is READY."""
    deployment = await deploy_again(deployments, queued.project_slug)
    for event, attempt in events:
        before = await deployments.get(OWNER, deployment.id)
        await happen(deployments, deployment.id, event, attempt)
        after = await deployments.get(OWNER, deployment.id)
        assert after.attempt - before.attempt in (0, 1)
        assert after.status is before.status or not before.status.is_final
        assert (after.completed_at is not None) == after.status.is_final
        assert (after.lease_until is not None) == (after.status is Status.BUILDING)
        assert not after.is_live or after.status is Status.READY


async def happen(deployments, deployment_id, event, attempt):
    others = {
        "claim": lambda: deployments.claim("process", 60, limit=9),
        "cancel": lambda: deployments.cancel(OWNER, deployment_id),
    }
    try:
        await others.get(event, lambda: FENCED[event](deployments, deployment_id, attempt))()
    except (Conflict, NotFound):
        return
