"""The log as server-sent events: each line once, over reconnects, until the end."""

import asyncio
import json
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.models.deployment import Status
from gateway.models.log import LogPosition
from gateway.routes import log_streams
from gateway.routes.log_streams import FollowedLog, FollowedLogs
from gateway.routes.logs import LogOwner


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(log_streams, "SOON_SECONDS", 0.01)
    monkeypatch.setattr(log_streams, "SELDOM_SECONDS", 0.02)


@pytest.fixture
async def deployment(api):
    deployed = await api.deploy()
    return api.services.deployments.change(uuid.UUID(deployed["deploymentId"]), status=Status.BUILDING)


@pytest.fixture
def store(api, deployment):
    async def store(*seqs, attempt=1):
        lines = (Line(1_764_000_000_123, "stdout", "build", "line"),)
        await api.services.logs.append([LineBatch("site", deployment.id, attempt, seq, lines) for seq in seqs])

    return store


def end(api, deployment, last_seq, *, complete=True, missing=()):
    api.services.deployments.change(
        deployment.id, status=Status.READY, log_complete=complete, log_missing=tuple(missing), last_seq=last_seq
    )


class Stream:
    """The events of one connection: (id, name, data)."""

    def __init__(self, response):
        self.response = response

    async def next(self):
        event = {"event": "message"}
        while True:
            line = (await self.response.content.readline()).decode()
            if not line:
                raise EOFError
            if line == "\n" and "data" in event:
                return event["id"], event["event"], json.loads(event["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            event[name] = value

    async def ids(self, count):
        return [(await self.next())[0] for _ in range(count)]


@pytest.fixture
async def connect(api, deployment):
    responses = []

    async def connect(last=None, query=""):
        headers = {"Last-Event-ID": last} if last else {}
        response = await api.session.get(f"{api.url}/logs/{deployment.id}/stream{query}", headers=headers)
        responses.append(response)
        assert response.status == 200
        return Stream(response)

    yield connect
    for response in responses:
        response.close()


async def test_an_event_is_a_line_and_its_id_the_cursor(api, deployment, store, connect):
    await store(1)
    stream = await connect()
    seq, name, line = await stream.next()
    assert (seq, name) == ("1.1", "message")
    _, page = await api.get(f"/logs/{deployment.id}")
    assert [line] == page["rawLogs"]


async def test_proxies_are_asked_not_to_buffer(store, connect):
    await store(1)
    headers = (await connect()).response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["Cache-Control"] == "no-store"
    assert "Content-Encoding" not in headers


async def test_lines_arrive_as_they_come_until_the_end(api, deployment, store, connect):
    await store(1, 2)
    stream = await connect()
    assert await stream.ids(2) == ["1.1", "1.2"]
    await store(3)
    assert await stream.ids(1) == ["1.3"]
    end(api, deployment, 3)
    assert await stream.next() == (
        "1.3",
        "end",
        {"ended": True, "complete": True, "missing": [], "next": "1.3"},
    )
    with pytest.raises(EOFError):
        await stream.next()


async def test_the_end_says_what_is_missing(api, deployment, store, connect):
    await store(1, 4)
    stream = await connect()
    assert await stream.ids(1) == ["1.1"]
    end(api, deployment, 4, complete=False, missing=[(2, 3)])
    assert await stream.ids(1) == ["1.4"]
    _, name, data = await stream.next()
    assert (name, data["complete"], data["missing"]) == ("end", False, [[2, 3]])


@pytest.mark.parametrize(("last", "query"), [("1.2", ""), ("1.2", "?after=1.1"), (None, "?after=1.2")])
async def test_a_connection_continues_at_the_cursor(store, connect, last, query):
    await store(1, 2, 3)
    stream = await connect(last, query)
    assert await stream.ids(1) == ["1.3"]
    await store(4)
    assert await stream.ids(1) == ["1.4"]


async def test_a_second_attempt_follows_the_first(api, deployment, store, connect):
    await store(1, 2)
    stream = await connect()
    assert await stream.ids(2) == ["1.1", "1.2"]
    api.services.deployments.change(deployment.id, attempt=2)
    await store(1, attempt=2)
    assert await stream.ids(1) == ["2.1"]


async def test_many_clients_share_the_reading(api, deployment, store, connect):
    await store(1)
    streams = [await connect() for _ in range(20)]
    assert [await stream.ids(1) for stream in streams] == [["1.1"]] * 20
    await store(*range(2, 52))
    expected = [f"1.{seq}" for seq in range(2, 52)]
    assert [await stream.ids(50) for stream in streams] == [expected] * 20
    await store(52)
    assert await asyncio.gather(*(stream.ids(1) for stream in streams)) == [["1.52"]] * 20
    reads = [position for position in api.services.logs.reads if position == LogPosition(1, 1)]
    assert len(reads) - 20 < 20  # those before the lines came are shared too


async def test_a_client_far_behind_reads_the_store(monkeypatch, store, connect):
    monkeypatch.setattr(log_streams, "KEPT_LINES", 2)
    await store(1)
    first = await connect()
    assert await first.ids(1) == ["1.1"]
    await store(*range(2, 31))
    assert await first.ids(29) == [f"1.{seq}" for seq in range(2, 31)]


@pytest.mark.parametrize("beyond", ["1.50", "2.0", "99.0", "100.999999999999999"])
async def test_a_cursor_beyond_the_end_does_not_keep_the_end_from_other_clients(
    api, deployment, store, connect, beyond
):
    await store(1)
    first = await connect(query=f"?after={beyond}")
    second = await connect()
    assert await second.ids(1) == ["1.1"]
    await store(2)
    assert await second.ids(1) == ["1.2"]
    end(api, deployment, 2)
    assert [(await stream.next())[1] for stream in (second, first)] == ["end", "end"]


async def test_a_cursor_behind_a_gap_does_not_keep_the_lines_of_the_gap_from_other_clients(
    api, deployment, store, connect
):
    await store(1, 4)
    first = await connect(query="?after=1.4")
    second = await connect()
    assert await second.ids(1) == ["1.1"]
    await store(2, 3)
    assert await second.ids(3) == ["1.2", "1.3", "1.4"]
    end(api, deployment, 4)
    assert [(await stream.next())[1] for stream in (second, first)] == ["end", "end"]


@pytest.mark.parametrize("beyond", [LogPosition(99, 0), LogPosition(1, 4)])
async def test_a_client_reads_the_store_once_in_a_pause_whatever_the_first_cursor_was(api, deployment, store, beyond):
    await store(1, 4)

    async def find():
        return LogOwner.of(deployment)

    followed, logs = FollowedLogs(), api.services.logs
    first = log_streams.read_events(followed, logs, deployment.id, beyond, find)
    second = log_streams.read_events(followed, logs, deployment.id, LogPosition(), find)
    assert [await anext(first), await anext(first)] == [b"retry: 2000\n\n", b""]
    assert (await anext(second)).startswith(b"id: 1.1\n")
    assert await anext(second) == b"retry: 2000\n\n"
    before = len(logs.reads)
    assert [await anext(second) for _ in range(5)] == [b""] * 5
    assert len(logs.reads) - before <= 5 + 1  # one more to find out where the shared reading begins


async def test_clients_that_come_back_at_the_last_line_share_the_reading(api, deployment, store, connect):
    await store(1, 2)
    streams = [await connect("1.2") for _ in range(20)]
    await store(3)
    assert await asyncio.gather(*(stream.ids(1) for stream in streams)) == [["1.3"]] * 20
    reads = [position for position in api.services.logs.reads if position == LogPosition(1, 2)]
    assert len(reads) - 20 < 20


@pytest.mark.parametrize("limit", ["MAX_STREAMS", "MAX_STREAMS_OF_LOG"])
async def test_more_streams_than_the_limit_are_refused_until_one_ends(
    monkeypatch, api, deployment, store, connect, limit
):
    monkeypatch.setattr(log_streams, limit, 1)
    await store(1)
    stream = await connect()
    async with api.session.get(f"{api.url}/logs/{deployment.id}/stream") as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    end(api, deployment, 1)
    assert [(await stream.next())[1] for _ in range(2)] == ["message", "end"]
    with pytest.raises(EOFError):
        await stream.next()
    await connect()


async def test_a_quiet_stream_has_a_heartbeat(monkeypatch, store, connect):
    monkeypatch.setattr(log_streams, "HEARTBEAT_SECONDS", 0.0)
    await store(1)
    stream = await connect()
    await stream.next()
    assert [await stream.response.content.readline() for _ in range(4)][::2] == [b"retry: 2000\n", b": nothing new\n"]


async def test_an_outage_breaks_the_stream_and_a_reconnect_says_why(api, deployment, store, connect):
    await store(1)
    stream = await connect()
    await stream.next()
    api.services.logs.is_away = True
    with pytest.raises(EOFError):
        await stream.next()
    status, answer = await api.get(f"/logs/{deployment.id}/stream")
    assert (status, answer["details"]) == (503, "The log store is away.")


async def test_a_wrong_cursor_and_an_unknown_log_are_errors(api, deployment):
    status, answer = await api.get(f"/logs/{deployment.id}/stream", **{"Last-Event-ID": "x"})
    assert (status, answer["error"]) == (400, "Validation failed")
    status, _ = await api.get(f"/logs/{uuid.uuid4()}/stream")
    assert status == 404


async def test_the_stop_of_the_gateway_ends_streams(api, deployment, store, monkeypatch):
    monkeypatch.setattr(log_streams, "SOON_SECONDS", 3600)
    await store(1)

    async def find():
        return LogOwner.of(deployment)

    followed = FollowedLogs()
    events = log_streams.read_events(followed, api.services.logs, deployment.id, LogPosition(), find)
    begun = [await anext(events), await anext(events)]
    rest = asyncio.ensure_future(anext(events, b"the end"))
    await followed.end(api)
    assert await rest in (b"", b"the end")
    assert [piece async for piece in events] == []
    assert begun[1] == b"retry: 2000\n\n"


async def test_what_a_followed_log_keeps_is_bounded(api, deployment, store):
    followed = FollowedLog(api.services.logs, LogPosition(), asyncio.Event())
    followed._keep(log_streams.to_events(await _lines(api, deployment, store, 5000)))
    assert len(followed.after(LogPosition())) == log_streams.KEPT_LINES
    assert not followed.knows(LogPosition())
    assert followed.knows(LogPosition(1, 3000))


async def _lines(api, deployment, store, count):
    await store(*range(1, count + 1))
    return await api.services.logs.read(deployment.id, LogPosition(), count)
