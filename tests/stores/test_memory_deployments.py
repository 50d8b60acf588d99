"""The deployments in memory, on which tests of the control plane stand, are the rows of the store after any events."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.protocol.steps import Step
from gateway.errors import GatewayError
from gateway.models.actor import OWNER
from tests.engines.stores import deploy_again
from tests.unit.control.fakes import MemoryDeployments

pytestmark = pytest.mark.direct

EVENTS = {
    "claim": lambda store, build, attempt: store.claim("process", 60, limit=9),
    "launched": lambda store, build, attempt: store.launched(build, attempt, f"handle {attempt}"),
    "refused": lambda store, build, attempt: store.refused(build, attempt, "No."),
    "refused for good": lambda store, build, attempt: store.refused(build, attempt, "Never.", final=True),
    "heartbeat": lambda store, build, attempt: store.heartbeat(build, attempt, 60),
    "clone": lambda store, build, attempt: store.start_step(build, attempt, Step.CLONE, 1_000),
    "build": lambda store, build, attempt: store.start_step(build, attempt, Step.BUILD, 3_000),
    "set manifest": lambda store, build, attempt: store.set_manifest(build, attempt, b"{}"),
    "get manifest": lambda store, build, attempt: store.get_manifest(build, attempt),
    "fail": lambda store, build, attempt: store.fail(build, attempt, "It failed.", Step.BUILD, 1, 9),
    "lost": lambda store, build, attempt: store.lost(build, attempt, "It vanished.", 3),
    "publish": lambda store, build, attempt: store.publish(build, attempt, 1, 1, 1),
    "cancel": lambda store, build, attempt: store.cancel(OWNER, build),
    "complete log": lambda store, build, attempt: store.set_log_end(build, attempt, True),
    "cut log": lambda store, build, attempt: store.set_log_end(build, attempt, False, [(1, 2)]),
}


async def happen(store, build, event, attempt):
    """The kind of the error, if there is one."""
    try:
        await EVENTS[event](store, build, attempt)
    except GatewayError as error:
        return type(error).__name__
    return None


async def seen(store, build):
    """What the control plane asks of a deployment."""
    row = await store.get(OWNER, build)
    stops = [each for each in await store.builders_to_stop("process") if each.deployment_id == build]
    return {
        "life": (row.status, row.attempt, row.handle, row.lease_until is not None, row.is_live),
        "reasons": (row.reason, row.queue_reason, row.exit_code),
        "steps": [step.name for step in row.steps],
        "log": (row.last_seq, row.log_complete, [tuple(each) for each in row.log_missing]),
        "builders to stop": sorted(
            (each.attempt, each.handle, each.is_canceled, each.may_bring_lines) for each in stops
        ),
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(st.tuples(st.sampled_from(list(EVENTS)), st.sampled_from([1, 1, 1, 2, 3])), max_size=14))
async def test_memory_and_store_agree_after_any_events(deployments, queued, events):
    real = await deploy_again(deployments, queued.project_slug)
    memory = MemoryDeployments()
    memory.add(id=real.id, project_id=real.project_id, number=real.number)
    for event, attempt in [("claim", 1), *events]:
        outcomes = [await happen(store, real.id, event, attempt) for store in (deployments, memory)]
        assert outcomes[0] == outcomes[1], event
        assert await seen(deployments, real.id) == await seen(memory, real.id), event
