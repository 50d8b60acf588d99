"""Whatever is killed, away, late, forged or repeated: nothing is lost, nothing doubles, no state moves wrongly."""

import asyncio
import contextlib

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import Ended
from builder.logs import LineSender
from builder.protocol.calls import Exit, Facts, Finish
from builder.protocol.lines import Line, LineBatch
from builder.protocol.steps import Stream
from builder.protocol.tokens import make_token
from gateway import consumer
from gateway.background import Health, kept_running
from gateway.consumer import LogConsumer
from gateway.engines.http_transport import HttpLogTransport
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.errors import Conflict, GatewayError, Unavailable
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from tests.engines.postgres import MIGRATIONS, UNSAFE_BUT_QUICK, running_postgres
from tests.integration.control_parts import open_parts
from tests.unit.control.fakes import until
from tests.unit.control.outputs import make_manifest, upload

SITE = {"index.html": b"<h1>Hello</h1>", "app.js": b"1"}


class Killed(BaseException):
    """As kill -9: no `except Exception` sees it."""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(autouse=True)
def _quick_stops(monkeypatch):
    monkeypatch.setattr(consumer, "FETCH_SECONDS", 0.01)


@pytest.fixture
async def parts(postgres, tmp_path):
    async with open_parts(await postgres.create_database(), tmp_path) as parts:
        yield parts


def make_sender(api, building, folder):
    return LineSender(
        api.send_lines,
        project=building.project_slug,
        deployment_id=building.id,
        attempt=building.attempt,
        spool_directory=folder,
        limit_bytes=10**7,
    )


async def write(sender, count, first=0):
    for number in range(first, first + count):
        await sender.write(Stream.STDOUT, f"line {number}")


def lines(count):
    return [f"line {number}" for number in range(count)]


class Mortal:
    """A log store that stores, and then is killed with its consumer before anything is committed."""

    def __init__(self, logs, deaths):
        self._logs = logs
        self.deaths = deaths

    async def append(self, batches):
        await self._logs.append(batches)
        if self.deaths:
            self.deaths -= 1
            raise Killed


async def test_a_consumer_killed_between_insert_and_commit_doubles_nothing(parts):
    building = await parts.launch()
    transport = HttpLogTransport()
    mortal = Mortal(parts.logs, deaths=3)
    batches = [
        LineBatch(
            building.project_slug,
            building.id,
            1,
            1 + 10 * number,
            tuple(Line(1, "stdout", "build", text) for text in texts),
        )
        for number, texts in enumerate([lines(20)[:10], lines(20)[10:]])
    ]
    senders = [asyncio.ensure_future(transport.send(batch)) for batch in batches]
    for _ in range(3):
        with pytest.raises(Killed):
            await LogConsumer(transport, mortal).run(stopping=asyncio.Event(), progress=lambda: None)
    async with kept_running("log consumer", LogConsumer(transport, mortal).run, Health()):
        await asyncio.gather(*senders)
    assert await parts.texts(building.id) == lines(20)
    assert await parts.logs.missing(building.id, 1, 20) == []


async def test_an_answer_that_is_lost_doubles_no_lines(parts):
    building = await parts.launch()
    batch = LineBatch(building.project_slug, building.id, 1, 1, (Line(1, "stdout", "build", "once"),))
    for _ in range(3):
        await parts.transport.send(batch)
    assert await parts.texts(building.id) == ["once"]


async def test_a_log_store_that_is_away_for_a_while_loses_nothing(parts, tmp_path):
    building = await parts.launch()
    append, calls = parts.logs.append, []

    async def away(batches):
        calls.append(batches)
        raise Unavailable("The log store is away.")

    parts.logs.append = away
    async with parts.builder(building.id) as api:
        sender = make_sender(api, building, tmp_path)
        sending = asyncio.ensure_future(sender.run())
        await write(sender, 3000)
        await until(lambda: len(calls) >= 2)
        await api.heartbeat()
        assert "log consumer" in parts.health.troubles
        parts.logs.append = append
        sender.close()
        await sending
        await api.finish(Finish(Exit.FAILED, sender.last_seq, "It failed."))
    await parts.look()
    assert await parts.texts(building.id) == lines(3000)
    assert (await parts.deployments.get(OWNER, building.id)).log_complete is True
    assert parts.health.troubles == {}


async def test_a_database_that_restarts_in_mid_build_costs_nothing(tmp_path):
    postgres = EmbeddedPostgres(tmp_path / "data", settings=UNSAFE_BUT_QUICK)
    url = await postgres.start()
    try:
        async with open_parts(url, tmp_path) as parts:
            await migrate(parts.database, MIGRATIONS)
            building = await parts.launch()
            async with parts.builder(building.id) as api:
                api._patience_seconds = 60.0
                sender = make_sender(api, building, tmp_path)
                sending = asyncio.ensure_future(sender.run())
                await write(sender, 1000)
                await postgres.stop()
                uploading = asyncio.ensure_future(api.send_manifest(make_manifest(SITE)))
                await write(sender, 500, first=1000)
                with pytest.raises(GatewayError):
                    await parts.look()
                await postgres.start()
                await uploading
                sender.close()
                await sending
                await api.finish(Finish(Exit.FAILED, sender.last_seq, "It failed."))
            await until_looked(parts)
            found = await parts.deployments.get(OWNER, building.id)
            assert (found.status, found.attempt, found.log_complete) == (Status.FAILED, 1, True)
            assert await parts.texts(building.id) == lines(1500)
    finally:
        await postgres.stop()


async def until_looked(parts):
    """The first look after an outage may still meet a broken connection."""
    with contextlib.suppress(Unavailable):
        await parts.look()
    await parts.look()


async def test_a_gateway_killed_between_claim_and_launch_launches_the_same_order(parts):
    waiting = await parts.create()
    launch, orders = parts.launcher.launch, []

    async def die(order):
        orders.append(order)
        raise Killed

    parts.launcher.launch = die
    with pytest.raises(Killed):
        await parts.dispatcher.dispatch()
    parts.launcher.launch = launch
    await parts.make_dispatcher(adopt_seconds=0).dispatch()
    found = await parts.deployments.get(OWNER, waiting.id)
    assert (found.status, found.attempt, found.handle) == (Status.BUILDING, 1, f"fake:{waiting.id}/1")
    assert parts.launcher.orders == orders


async def test_a_gateway_killed_between_launch_and_record_finds_its_builder(parts):
    waiting = await parts.create()
    attempts = parts.services.attempts
    launched = attempts.launched

    async def die(*call):
        raise Killed

    attempts.launched = die
    with pytest.raises(Killed):
        await parts.dispatcher.dispatch()
    attempts.launched = launched
    await parts.make_dispatcher(adopt_seconds=0).dispatch()
    assert parts.launcher.running == {f"fake:{waiting.id}/1"}
    assert (await parts.deployments.get(OWNER, waiting.id)).handle == f"fake:{waiting.id}/1"


async def test_a_gateway_killed_before_it_is_published_keeps_the_old_site(parts):
    building = await parts.launch()
    await upload(parts.publisher, building, SITE)
    releases = parts.services.releases
    publish = releases.publish

    async def die(*call):
        raise Killed

    releases.publish = die
    with pytest.raises(Killed):
        await parts.publisher.finish(building, 1, Finish(Exit.OK, 0))
    releases.publish = publish
    assert (await parts.projects.get(OWNER, building.project_slug)).live_deployment_id is None
    await parts.publisher.finish(building, 1, Finish(Exit.OK, 0))
    assert (await parts.projects.get(OWNER, building.project_slug)).live_deployment_id == building.id


async def test_a_gateway_killed_after_it_was_published_answers_the_repeated_call(parts):
    building = await parts.launch()
    await upload(parts.publisher, building, SITE)
    await parts.publisher.finish(building, 1, Finish(Exit.OK, 0))
    ready = await parts.deployments.get(OWNER, building.id)
    async with parts.builder(building.id) as api:
        await api.finish(Finish(Exit.OK, 0))
    assert await parts.deployments.get(OWNER, building.id) == ready


async def test_a_late_builder_changes_nothing(parts):
    building = await parts.launch()
    await parts.deployments.lost(building.id, 1, "It was gone.", 3)
    waiting = await parts.deployments.get(OWNER, building.id)
    async with parts.builder(building.id, 1) as late:
        for call in (
            late.fetch_job(),
            late.heartbeat(),
            late.start_step("build", 1),
            late.add_facts(Facts(framework="vite")),
            late.send_manifest(make_manifest(SITE)),
            late.finish(Finish(Exit.OK, 0)),
            late.finish(Finish(Exit.FAILED, 0, "No.")),
            late.finish(Finish(Exit.LOST, 0)),
        ):
            with pytest.raises(Ended):
                await call
    assert await parts.deployments.get(OWNER, building.id) == waiting


@pytest.mark.parametrize("call", ["heartbeat", "finish", "lines", "manifest", "step", "facts"])
async def test_a_forged_call_changes_nothing(parts, call):
    building = await parts.launch()
    forged = make_token(b"not the install key", building.id, 1)
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{parts.url}builds/{building.id}/1/{call}",
            data=Finish(Exit.FAILED, 0, "Forged.").to_json(),
            headers={"Authorization": f"Bearer {forged}"},
        ) as response,
    ):
        assert response.status == 401
    assert await parts.deployments.get(OWNER, building.id) == building


ENDS = st.sampled_from(list(Exit))
EVENTS = st.one_of(
    st.tuples(st.just("finish"), st.integers(1, 4), ENDS),
    st.tuples(st.sampled_from(["upload", "lost", "heartbeat"]), st.integers(1, 4), st.none()),
    st.tuples(st.sampled_from(["claim", "cancel", "promote"]), st.just(0), st.none()),
)


UNHEALTHY = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(suppress_health_check=UNHEALTHY)
@given(events=st.lists(EVENTS, max_size=30))
async def test_in_whatever_order_calls_arrive_a_life_goes_forward_and_ends_once(parts, events):
    deployment_id = (await parts.create()).id
    try:
        for name, attempt, end in events:
            before = await parts.deployments.get(OWNER, deployment_id)
            with contextlib.suppress(GatewayError):
                await act(parts, before, name, attempt, end)
            check_step(before, await parts.deployments.get(OWNER, deployment_id), attempt)
        check_history(
            await parts.deployments.get(OWNER, deployment_id),
            await parts.deployments.attempts(OWNER, deployment_id),
        )
    finally:
        with contextlib.suppress(Conflict):  # the next example finds an empty queue
            await parts.deployments.cancel(OWNER, deployment_id)


async def act(parts, row, name, attempt, end):
    """One call for whichever attempt."""
    deployments = parts.deployments
    match name:
        case "claim":
            await deployments.claim("fake", 60)
        case "cancel":
            await deployments.cancel(OWNER, row.id)
        case "promote":
            await deployments.promote(OWNER, row.id)
        case "lost":
            await deployments.lost(row.id, attempt, "It was gone.", 3)
        case "heartbeat":
            await deployments.heartbeat(row.id, attempt, 60)
        case "upload":
            require_running(row, attempt)
            await upload(parts.publisher, row, SITE)
        case "finish":
            await parts.publisher.finish(row, attempt, Finish(end, 0))


def require_running(row, attempt):
    """What the routes check first."""
    if row.status is not Status.BUILDING or row.attempt != attempt:
        raise Conflict("That attempt has ended.")


def check_step(before, after, attempt):
    assert after.attempt - before.attempt in (0, 1)
    assert after.attempt <= 3
    if before.status.is_final:
        assert (after.status, after.attempt) == (before.status, before.attempt)
    if after.status is Status.READY and before.status is not Status.READY:
        assert (before.status, before.attempt) == (Status.BUILDING, attempt)
    assert (after.completed_at is not None) == after.status.is_final
    assert (after.lease_until is not None) == (after.status is Status.BUILDING)
    assert not after.is_live or after.status is Status.READY


def check_history(deployment, attempts):
    """Every attempt but the last one was lost, and says so."""
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert len(attempts) <= deployment.attempt
    assert all(attempt.reason for attempt in attempts if attempt.number < deployment.attempt)
