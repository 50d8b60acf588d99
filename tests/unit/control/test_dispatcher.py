"""QUEUE -> launcher: each deployment is launched once, or ends with the launcher's words."""

import asyncio

import pytest

from builder.protocol.tokens import is_token
from gateway.background import Health, kept_running
from gateway.config import Builder
from gateway.control import dispatcher
from gateway.control.dispatcher import Dispatcher
from gateway.errors import LaunchRefused, Unanswered, Unavailable
from gateway.models import lifecycle
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from tests.unit.control.fakes import until

KEY = b"k" * 32


async def install_key():
    return KEY


@pytest.fixture
def make_dispatcher(deployments, launcher):
    def make(concurrency=2, **options):
        settings = Builder(concurrency=concurrency)
        return Dispatcher(deployments, launcher, install_key, "http://127.0.0.1:9001", settings, **options)

    return make


async def test_what_waits_is_launched_and_its_handle_kept(deployments, launcher, make_dispatcher):
    waiting = deployments.add()
    await make_dispatcher().dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.handle) == (Status.BUILDING, f"fake:{waiting.id}/1")


async def test_the_order_opens_the_api_for_its_own_attempt(deployments, launcher, make_dispatcher):
    waiting = deployments.add(attempt=2)
    await make_dispatcher().dispatch()
    (order,) = launcher.orders
    assert is_token(order.token, KEY, waiting.id, 2)
    assert not is_token(order.token, KEY, waiting.id, 1)
    assert (order.builders_url, order.git_url) == ("http://127.0.0.1:9001", waiting.source.url)


async def test_no_more_build_at_once_than_allowed(deployments, launcher, make_dispatcher):
    deployments.add_building(handle="fake:other")
    for _ in range(3):
        deployments.add()
    work = make_dispatcher(concurrency=3)
    await work.dispatch()
    await work.dispatch()
    assert len(launcher.orders) == 2


async def test_two_gateways_share_a_queue(deployments, launcher, make_dispatcher):
    waiting = {deployments.add().id for _ in range(4)}
    await asyncio.gather(make_dispatcher(concurrency=9).dispatch(), make_dispatcher(concurrency=9).dispatch())
    assert sorted(order.deployment_id for order in launcher.orders) == sorted(waiting)


async def test_a_refusal_waits_with_the_launchers_words(deployments, launcher, clock, make_dispatcher):
    waiting = deployments.add()
    launcher.launch_error = LaunchRefused("No capacity in this zone.")
    work = make_dispatcher()
    await work.dispatch()
    await work.dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.attempt, found.queue_reason) == (Status.QUEUE, 1, "No capacity in this zone.")
    assert len(launcher.orders) == 1


async def test_each_refusal_waits_longer_also_after_a_restart(deployments, launcher, clock, make_dispatcher):
    waiting = deployments.add()
    launcher.launch_error = LaunchRefused("No capacity.")
    await make_dispatcher().dispatch()
    clock.pass_by(2)
    await make_dispatcher().dispatch()
    assert deployments.due[waiting.id] - clock.seconds == 4


async def test_a_launch_after_refusals_succeeds(deployments, launcher, clock, make_dispatcher):
    waiting = deployments.add()
    launcher.launch_error = LaunchRefused("No capacity.")
    work = make_dispatcher()
    await work.dispatch()
    launcher.launch_error = None
    clock.pass_by(10)
    await work.dispatch()
    assert deployments.rows[waiting.id].handle is not None


async def test_repeated_refusals_end_with_the_launchers_words(deployments, launcher, make_dispatcher):
    waiting = deployments.add()
    deployments.refusals[waiting.id] = lifecycle.REFUSALS - 1
    launcher.launch_error = LaunchRefused("No capacity.")
    await make_dispatcher().dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.reason) == (Status.FAILED, "No capacity.")


async def test_a_final_refusal_ends_at_once(deployments, launcher, make_dispatcher):
    waiting = deployments.add()
    launcher.launch_error = LaunchRefused("The image does not exist.", final=True)
    await make_dispatcher().dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.reason) == (Status.FAILED, "The image does not exist.")


@pytest.mark.parametrize(
    "error", [LaunchRefused("No.", final=True), LaunchRefused("No capacity."), Unavailable("The launcher is away.")]
)
async def test_a_refusal_that_comes_late_does_not_end_what_another_gateway_has_started(
    deployments, launcher, make_dispatcher, error
):
    """The launcher answered that gateway meanwhile: the order was the same, and so is the builder."""
    waiting = deployments.add()

    async def refuse_late(order):
        await deployments.launched(waiting.id, 1, "fake:of the other gateway")
        raise error

    launcher.launch = refuse_late
    await make_dispatcher().dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.handle) == (Status.BUILDING, "fake:of the other gateway")


@pytest.mark.parametrize("error", [Unavailable("The launcher is away."), RuntimeError("a bug")])
async def test_a_launcher_that_fails_is_asked_again_later(deployments, launcher, make_dispatcher, error):
    waiting = deployments.add()
    launcher.launch_error = error
    await make_dispatcher().dispatch()
    found = deployments.rows[waiting.id]
    assert found.status is Status.QUEUE
    assert "launcher" in found.queue_reason


async def test_a_launch_that_hangs_stays_with_this_launcher_and_is_ordered_again(
    deployments, launcher, make_dispatcher
):
    """Its builder may run: from the queue, a gateway with another launcher would start a second one."""
    waiting = deployments.add()
    launch, launcher.launch = launcher.launch, lambda order: asyncio.Event().wait()
    work = make_dispatcher(launch_seconds=0.01, adopt_seconds=0)
    await work.dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.launcher) == (Status.BUILDING, launcher.name)
    launcher.launch = launch
    await work.dispatch()
    found = deployments.rows[waiting.id]
    assert (found.attempt, found.handle) == (1, f"fake:{waiting.id}/1")


async def test_a_launch_that_was_tried_before_stays_out_of_the_queue_while_the_launcher_is_away(
    deployments, launcher, make_dispatcher
):
    claimed = deployments.add_building()
    launcher.launch_error = Unavailable("The launcher is away.")
    await make_dispatcher(adopt_seconds=0).dispatch()
    assert deployments.rows[claimed.id].status is Status.BUILDING


async def test_a_deployment_that_is_canceled_while_it_launches_leaves_no_builder(
    deployments, launcher, make_dispatcher
):
    waiting = deployments.add()
    launch = launcher.launch

    async def slow_launch(order):
        await deployments.cancel(OWNER, waiting.id)
        return await launch(order)

    launcher.launch = slow_launch
    await make_dispatcher().dispatch()
    assert launcher.running == set()
    assert deployments.rows[waiting.id].status is Status.CANCELED


async def test_after_a_crash_between_claim_and_launch_the_same_order_is_given_again(
    deployments, launcher, make_dispatcher
):
    claimed = deployments.add_building()
    await make_dispatcher(adopt_seconds=0).dispatch()
    assert [(order.deployment_id, order.attempt) for order in launcher.orders] == [(claimed.id, 1)]
    assert deployments.rows[claimed.id].handle == f"fake:{claimed.id}/1"


async def test_a_launch_that_was_not_recorded_is_found_again(deployments, launcher, make_dispatcher):
    waiting = deployments.add()
    launched = deployments.launched

    async def away(*call):
        raise Unavailable("The database is away.")

    deployments.launched = away
    work = make_dispatcher(adopt_seconds=0)
    await work.dispatch()
    deployments.launched = launched
    await work.dispatch()
    assert launcher.running == {f"fake:{waiting.id}/1"}
    assert deployments.rows[waiting.id].handle == f"fake:{waiting.id}/1"


async def test_what_another_gateway_has_just_claimed_is_left_to_it(deployments, launcher, make_dispatcher):
    deployments.add_building()
    await make_dispatcher().dispatch()
    assert launcher.orders == []


async def test_what_another_launcher_started_is_not_touched(deployments, launcher, make_dispatcher):
    deployments.add_building(launcher="ecs")
    await make_dispatcher(adopt_seconds=0).dispatch()
    assert launcher.orders == []


async def test_waking_launches_at_once(deployments, launcher, make_dispatcher, monkeypatch):
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 1000)
    work, looked = make_dispatcher(), asyncio.Event()
    stopping = asyncio.Event()
    running = asyncio.ensure_future(work.run(stopping=stopping, progress=looked.set))
    await looked.wait()
    deployments.add()
    work.wake()
    await until(lambda: launcher.running)
    stopping.set()
    await running


async def test_nobody_waits_for_a_launch_that_is_slow(deployments, launcher, make_dispatcher):
    launch, answer, stopping = launcher.launch, asyncio.Event(), asyncio.Event()
    slow = deployments.add()

    async def launch_slowly(order):
        if order.deployment_id == slow.id:
            await answer.wait()
        return await launch(order)

    launcher.launch = launch_slowly
    work = make_dispatcher(adopt_seconds=0)
    running = asyncio.ensure_future(work.run(stopping=stopping, progress=lambda: None))
    await until(lambda: deployments.rows[slow.id].status is Status.BUILDING)
    quick = deployments.add()
    work.wake()
    await until(lambda: deployments.rows[quick.id].handle)
    stopping.set()
    answer.set()
    await running
    assert sorted(launcher.running) == sorted(f"fake:{each.id}/1" for each in (slow, quick))
    assert len(launcher.orders) == 2


async def test_a_stop_does_not_wait_for_the_next_look(make_dispatcher, monkeypatch):
    monkeypatch.setattr(dispatcher, "POLL_SECONDS", 1000)
    stopping = asyncio.Event()
    running = asyncio.ensure_future(make_dispatcher().run(stopping=stopping, progress=stopping.set))
    await asyncio.wait_for(running, 5)


async def test_a_database_that_is_away_shows_in_the_health_and_loses_nothing(deployments, launcher, make_dispatcher):
    deployments.add()
    deployments.is_away = True
    health = Health()
    async with kept_running("dispatcher", make_dispatcher().run, health, first_delay_seconds=0.01):
        await until(lambda: health.troubles)
        deployments.is_away = False
        await until(lambda: launcher.running)
        await until(lambda: not health.troubles)


async def test_a_launch_that_was_not_answered_is_ordered_again_as_the_same_attempt(
    deployments, launcher, make_dispatcher
):
    waiting = deployments.add()
    launcher.launch_error = Unanswered("ECS does not answer.")
    work = make_dispatcher(adopt_seconds=0.0)
    await work.dispatch()
    assert deployments.rows[waiting.id].status is Status.BUILDING
    launcher.launch_error = None
    await work.dispatch()
    found = deployments.rows[waiting.id]
    assert (found.status, found.attempt, found.handle) == (Status.BUILDING, 1, f"fake:{waiting.id}/1")


async def test_a_builder_that_has_to_be_fetched_first_is_believed_for_longer(deployments, launcher, make_dispatcher):
    quick, slow = deployments.add(), deployments.add()
    await make_dispatcher(concurrency=1).dispatch()
    launcher.start_seconds = 180.0
    await make_dispatcher(concurrency=2).dispatch()
    leases = [deployments.rows[each.id].lease_until for each in (quick, slow)]
    assert (leases[1] - leases[0]).total_seconds() == 180.0
