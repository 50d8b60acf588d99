"""An attempt beside its heartbeats: how it ends, and what the gateway is told."""

import asyncio

import pytest

from builder import api as api_module
from builder import publish
from builder.api import open_api
from builder.errors import BuildFailed, Ended, Lost
from builder.logs import LineSender
from builder.protocol.calls import Finish
from builder.protocol.lines import decode_batch
from builder.protocol.steps import Step, Stream
from builder.publish import Attempt
from tests.engines.builders_api import TOKEN, builders_server, make_job


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(api_module, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(api_module, "LAST_DELAY_SECONDS", 0.02)


@pytest.fixture
async def server():
    async with builders_server(make_job("https://example.org/a")) as server:
        yield server


@pytest.fixture
async def api(server):
    async with open_api(server.url, TOKEN, server.deployment_id, server.attempt, patience_seconds=0.5) as api:
        yield api


@pytest.fixture
def make_attempt(api, server, tmp_path):
    def make(build, *, send=api.send_lines, **settings):
        log = LineSender(
            send,
            project="crimson-elephant",
            deployment_id=server.deployment_id,
            attempt=1,
            spool_directory=tmp_path,
            limit_bytes=10**6,
        )

        async def do():
            log.step = Step.BUILD
            await log.write(Stream.STDOUT, "hello")
            await build()

        return Attempt(api, log, do, **{"heartbeat_seconds": 0.05, "lease_seconds": 0.3} | settings)

    return make


class Building:
    """A build that takes as long as it is let."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.was_stopped = False

    async def __call__(self):
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.was_stopped = True


async def succeed():
    pass


async def fail():
    raise BuildFailed("`npm run build` failed with exit code 3.", exit_code=3)


async def lose():
    raise Lost("The machine is gone.")


async def crash():
    raise RuntimeError("a bug")


async def test_a_build_that_works_ends_ok_after_its_last_line(server, make_attempt):
    assert await make_attempt(succeed).run() == "ok"
    assert server.finish == Finish("ok", 1)
    assert server.lines == ["hello"]


async def test_a_failure_is_told_with_step_code_and_reason(server, make_attempt):
    assert await make_attempt(fail).run() == "failed"
    reason = "`npm run build` failed with exit code 3."
    assert server.finish == Finish("failed", 2, reason=reason, step="build", exit_code=3)
    assert server.lines == ["hello", reason]


@pytest.mark.parametrize("build", [lose, crash])
async def test_what_is_not_the_projects_fault_is_told_as_lost(server, make_attempt, build):
    assert await make_attempt(build).run() == "lost"
    assert server.finish.exit == "lost"


async def test_a_gateway_that_is_away_for_a_while_loses_nothing(server, make_attempt):
    server.failing = {"lines": 3, "finish": 3, "heartbeat": 2}
    assert await make_attempt(succeed).run() == "ok"
    assert server.lines == ["hello"]


async def test_an_attempt_that_was_canceled_or_replaced_stops_the_build(server, make_attempt):
    building = Building()
    running = asyncio.create_task(make_attempt(building).run())
    await building.begun.wait()
    server.ended = True
    with pytest.raises(Ended, match="This attempt has ended"):
        await running
    assert building.was_stopped
    assert server.finish is None


async def test_a_gateway_that_is_away_for_a_lease_stops_the_build(server, make_attempt):
    server.failing = {"heartbeat": 10_000}
    building = Building()
    with pytest.raises(Ended, match="No heartbeat was answered"):
        await make_attempt(building).run()
    assert building.was_stopped


async def test_a_stop_from_outside_says_goodbye(server, make_attempt):
    building = Building()
    running = asyncio.create_task(make_attempt(building).run())
    await building.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert building.was_stopped
    assert server.finish.exit == "lost"


async def test_a_call_is_tried_again_until_patience_is_over(server, api):
    server.failing = {"job": 2}
    assert (await api.fetch_job()).project_slug == "crimson-elephant"
    server.failing = {"job": 10_000}
    with pytest.raises(Lost, match="did not take the call job: it answered 503 The disk is full"):
        await api.fetch_job()


async def test_a_refused_connection_is_tried_again(api, server):
    async with open_api("http://127.0.0.1:1", TOKEN, server.deployment_id, 1, patience_seconds=0.1) as away:
        with pytest.raises(Lost):
            await away.fetch_job()


async def test_a_gateway_that_does_not_know_the_token_is_not_believed(server):
    async with open_api(server.url, "other", server.deployment_id, 1, patience_seconds=0.1) as api:
        with pytest.raises(Lost, match="does not know the build token, so it is not this build's gateway"):
            await api.fetch_job()
    assert set(server.calls) == {"proof"}


async def test_a_refused_token_ends_the_attempt(server, api):
    server.token = "another"
    with pytest.raises(Ended, match="The token is wrong"):
        await api.fetch_job()


async def test_a_refusal_is_the_reason_of_failure(server, api):
    async def body():
        yield b"others"

    with pytest.raises(BuildFailed, match="The bytes are others"):
        await api.put_blob("0" * 64, 6, body)


class Away:
    """Another way for lines than the gateway; it comes back when it is told to."""

    def __init__(self):
        self.back = asyncio.Event()
        self.records = []

    async def send(self, record):
        await self.back.wait()
        self.records.append(record)


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(publish, "DELIVERY_SECONDS", 0.05)


async def test_an_end_is_told_before_lines_that_cannot_be_sent(server, make_attempt, soon):
    away = Away()
    running = asyncio.create_task(make_attempt(succeed, send=away.send, late_lines_seconds=60).run())
    await asyncio.wait_for(server.finished.wait(), 5)
    assert server.finish == Finish("ok", 1)
    away.back.set()
    assert await running == "ok"
    assert [line.text for line in decode_batch(away.records[0]).lines] == ["hello"]


async def test_no_heartbeat_follows_the_end(server, make_attempt, soon):
    away = Away()
    running = asyncio.create_task(make_attempt(succeed, send=away.send, late_lines_seconds=60).run())
    await asyncio.wait_for(server.finished.wait(), 5)
    server.ended = True  # a heartbeat would be answered 409, and end the attempt before its lines are sent
    await asyncio.sleep(0.2)
    away.back.set()
    assert await running == "ok"
    assert len(away.records) == 1


async def test_lines_that_nobody_takes_are_given_up(server, make_attempt, soon, caplog):
    assert await make_attempt(succeed, send=Away().send, late_lines_seconds=0.1).run() == "ok"
    assert server.finish == Finish("ok", 1)
    assert "log lines given up" in caplog.text


async def test_a_healthy_transport_has_every_line_before_the_end_is_told(server, make_attempt):
    here = Away()
    here.back.set()
    await make_attempt(fail, send=here.send, late_lines_seconds=60).run()
    assert server.finish.last_seq == 2
    assert sum(len(decode_batch(record).lines) for record in here.records) == 2


async def test_a_cancel_does_not_wait_for_lines(server, make_attempt):
    server.ended = True
    with pytest.raises(Ended, match="has ended"):
        await asyncio.wait_for(make_attempt(Building(), send=Away().send, late_lines_seconds=60).run(), 5)
