"""The log over HTTP: nothing twice, nothing out of order, and it says what is missing."""

import dataclasses
import json
import uuid

import aiohttp
import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.errors import Unavailable
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from gateway.models.log import LogLine, LogPosition
from gateway.routes import logs as log_routes
from gateway.routes.answers import LogLineAnswer


@pytest.fixture
async def deployment(api):
    deployed = await api.deploy()
    return api.services.deployments.change(uuid.UUID(deployed["deploymentId"]), status=Status.BUILDING)


@pytest.fixture
def store(api, deployment):
    """Store these seqs of an attempt."""

    async def store(*seqs, attempt=1, text="line"):
        batches = [
            LineBatch(
                "site", deployment.id, attempt, seq, (Line(1_764_000_000_123, "stdout", "build", f"{text} {seq}"),)
            )
            for seq in seqs
        ]
        await api.services.logs.append(batches)

    return store


def end(api, deployment, *, complete=True, missing=(), last_seq=None):
    api.services.deployments.change(
        deployment.id, status=Status.READY, log_complete=complete, log_missing=tuple(missing), last_seq=last_seq
    )


async def page(api, deployment, query=""):
    status, answer = await api.get(f"/logs/{deployment.id}{query}")
    assert status == 200, answer
    return answer


def seqs(answer):
    return [(line["attempt"], line["seq"]) for line in answer["rawLogs"]]


async def test_a_raw_text_has_times_if_asked(api, deployment, store):
    await store(1, 2)
    async with api.session.get(f"{api.url}/logs/{deployment.id}?format=text&times=1") as response:
        assert await response.text() == "2025-11-24T16:00:00.123Z line 1\n2025-11-24T16:00:00.123Z line 2\n"
    status, answer = await api.get(f"/logs/{deployment.id}?format=text&times=yes")
    assert (status, answer["fields"]) == (400, {"times": "times must be 0 or 1."})


async def test_an_empty_log_is_valid_json(api, deployment):
    assert await page(api, deployment) == {
        "rawLogs": [],
        "ended": False,
        "complete": False,
        "missing": [],
        "next": "1.0",
    }


async def test_a_line_is_what_the_originals_clients_expect_and_more(api, deployment, store):
    await store(1)
    (line,) = (await page(api, deployment))["rawLogs"]
    assert line == {
        "event_id": str(uuid.uuid5(deployment.id, "1/1")),
        "deployment_id": str(deployment.id),
        "log": "line 1",
        "timestamp": "2025-11-24T16:00:00.123Z",
        "attempt": 1,
        "seq": 1,
        "stream": "stdout",
        "step": "build",
    }


async def test_the_whole_log_is_streamed_in_portions(api, deployment, store):
    await store(*range(1, 2502))
    end(api, deployment)
    answer = await page(api, deployment)
    assert seqs(answer) == [(1, seq) for seq in range(1, 2502)]
    assert (answer["ended"], answer["complete"], answer["next"]) == (True, True, "1.2501")
    assert [position.seq for position in api.services.logs.reads] == [0, 1000, 2000]


async def test_pages_follow_each_other_without_gap_or_overlap(api, deployment, store):
    await store(*range(1, 8))
    end(api, deployment)
    first = await page(api, deployment, "?limit=3")
    second = await page(api, deployment, f"?limit=3&after={first['next']}")
    third = await page(api, deployment, f"?limit=3&after={second['next']}")
    assert seqs(first) + seqs(second) + seqs(third) == [(1, seq) for seq in range(1, 8)]
    assert [answer["ended"] for answer in (first, second, third)] == [False, False, True]


async def test_a_page_that_ends_with_the_last_line_says_so(api, deployment, store):
    await store(1, 2)
    end(api, deployment)
    assert (await page(api, deployment, "?limit=2"))["ended"] is True


async def test_behind_the_end_there_is_nothing_and_it_stays_ended(api, deployment, store):
    await store(1)
    end(api, deployment)
    answer = await page(api, deployment, "?after=1.1")
    assert (seqs(answer), answer["ended"], answer["next"]) == ([], True, "1.1")


async def test_while_it_builds_a_gap_ends_the_page(api, deployment, store):
    await store(1, 2, 4, 5)
    answer = await page(api, deployment)
    assert (seqs(answer), answer["next"], answer["ended"]) == ([(1, 1), (1, 2)], "1.2", False)


async def test_a_missing_first_line_is_a_gap_too(api, deployment, store):
    await store(2)
    assert seqs(await page(api, deployment)) == []


async def test_the_late_line_comes_in_its_place(api, deployment, store):
    await store(1, 3)
    first = await page(api, deployment, "?after=")
    await store(2)
    api.services.logs.lines[deployment.id].sort(key=lambda line: line.seq)
    assert seqs(await page(api, deployment, f"?after={first['next']}")) == [(1, 2), (1, 3)]


async def test_a_build_that_has_ended_is_not_an_ended_log_before_it_is_decided(api, deployment, store):
    await store(1, 3)
    api.services.deployments.change(deployment.id, status=Status.READY)
    answer = await page(api, deployment)
    assert (seqs(answer), answer["ended"], answer["complete"]) == ([(1, 1)], False, False)


async def test_after_the_end_gaps_are_passed_and_listed(api, deployment, store):
    await store(1, 4)
    end(api, deployment, complete=False, missing=[(2, 3), (5, 6)])
    answer = await page(api, deployment)
    assert seqs(answer) == [(1, 1), (1, 4)]
    assert (answer["ended"], answer["complete"], answer["missing"]) == (True, False, [[2, 3], [5, 6]])


async def test_gaps_of_earlier_attempts_are_passed(api, deployment, store):
    await store(1, 3)
    await store(1, 2, attempt=2)
    api.services.deployments.change(deployment.id, attempt=2)
    assert seqs(await page(api, deployment)) == [(1, 1), (1, 3), (2, 1), (2, 2)]


async def test_an_attempt_that_began_in_the_meantime_waits_for_the_next_call(api, deployment, store):
    await store(1)
    await store(1, attempt=2)
    assert seqs(await page(api, deployment)) == [(1, 1)]


async def test_the_raw_text_is_the_lines_alone(api, deployment, store):
    await store(1, 2, text="<b>")
    async with api.session.get(f"{api.url}/logs/{deployment.id}?format=text") as response:
        assert await response.text() == "<b> 1\n<b> 2\n"
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["Content-Disposition"] == 'inline; filename="site-1.log"'
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_odd_text_is_still_valid_json(api, deployment, store):
    await store(1, text='"\\\x00\x1b[31m\u2028\udcff 日本 </script>')
    (line,) = (await page(api, deployment))["rawLogs"]
    assert line["log"] == '"\\\x00\x1b[31m\u2028? 日本 </script> 1'


@pytest.mark.parametrize(
    "query",
    ["?after=x", "?after=0.1", "?after=1.2.3", "?limit=0", "?limit=10001", "?limit=x", "?format=xml", "?after=%00"],
)
async def test_what_is_wrong_in_the_query_is_a_400(api, deployment, query):
    status, answer = await api.get(f"/logs/{deployment.id}{query}")
    assert (status, answer["error"]) == (400, "Validation failed")


async def test_a_store_that_is_away_is_a_503(api, deployment):
    api.services.logs.is_away = True
    status, answer = await api.get(f"/logs/{deployment.id}")
    assert (status, answer["error"]) == (503, "Unavailable")


async def test_a_store_that_goes_away_in_the_middle_ends_the_page_and_the_page_says_so(
    api, deployment, store, monkeypatch
):
    await store(*range(1, 1500))
    end(api, deployment)
    read = api.services.logs.read

    async def once(deployment_id, after, limit):
        if after != LogPosition(1, 0):
            raise Unavailable("The log store is away.")
        return await read(deployment_id, after, limit)

    monkeypatch.setattr(api.services.logs, "read", once)
    answer = await page(api, deployment)
    assert (len(answer["rawLogs"]), answer["ended"], answer["next"]) == (1000, False, "1.1000")


async def test_a_head_has_no_body(api, deployment, store):
    await store(1)
    async with api.session.head(f"{api.url}/logs/{deployment.id}") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_stop_cuts_the_stream_off_instead_of_telling_half_of_it(api, deployment, store):
    await store(*range(1, 50))
    api.services.stopping = lambda: True
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        await page(api, deployment)


async def test_memory_stays_bounded_by_portions(api, deployment, store, monkeypatch):
    portions = []
    encode = log_routes._encode
    monkeypatch.setattr(
        log_routes, "_encode", lambda separator, lines: portions.append(len(lines)) or encode(separator, lines)
    )
    await store(*range(1, 3001))
    assert len((await page(api, deployment))["rawLogs"]) == 3000
    assert max(portions) == log_routes.READ_LINES


def test_the_json_of_a_line_has_no_surprises():
    line = LogLine(uuid.UUID(int=5), 2, 7, 0, "stderr", "install", "x")
    shown = log_routes.line_json(line)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["timestamp"] == "1970-01-01T00:00:00.000Z"


def test_a_line_has_exactly_the_fields_of_its_schema():
    line = LogLine(uuid.UUID(int=5), 2, 7, 0, "stderr", "install", "x")
    loaded = LogLineAnswer().load(log_routes.line_json(line))
    assert (loaded["deployment_id"], loaded["log"], loaded["attempt"], loaded["seq"]) == (uuid.UUID(int=5), "x", 2, 7)


@pytest.fixture
def foreign(api):
    """Lines of a build that another system runs, as they come from Kafka without a signature."""

    async def foreign(*seqs):
        deployment_id = uuid.uuid4()
        line = Line(1_764_000_000_123, "stdout", "build", "from elsewhere")
        await api.services.logs.append([LineBatch("blog", deployment_id, 2, seq, (line,)) for seq in seqs])
        return deployment_id

    return foreign


@pytest.fixture
def accepting(api):
    """The operator lets other systems write lines."""
    config = api.services.config
    api.services.config = dataclasses.replace(config, kafka=dataclasses.replace(config.kafka, accept_unsigned=True))


async def test_lines_of_another_systems_build_are_shown_where_they_are_accepted(api, accepting, foreign):
    status, answer = await api.get(f"/logs/{await foreign(1, 129, 257)}")
    assert status == 200
    assert seqs(answer) == [(2, 1), (2, 129), (2, 257)]
    assert (answer["ended"], answer["complete"], answer["missing"], answer["next"]) == (False, False, [], "2.257")


async def test_such_a_log_goes_on_after_a_cursor(api, accepting, foreign):
    deployment_id = await foreign(1, 129)
    status, answer = await api.get(f"/logs/{deployment_id}?after=2.1")
    assert (status, seqs(answer)) == (200, [(2, 129)])
    status, answer = await api.get(f"/logs/{deployment_id}?after=2.129")
    assert (status, seqs(answer)) == (200, [])


async def test_a_deployment_without_any_line_is_unknown_there_too(api, accepting):
    assert (await api.get(f"/logs/{uuid.uuid4()}"))[0] == 404


async def test_an_actor_with_projects_of_its_own_sees_no_lines_of_another_systems_build(
    api, accepting, foreign, monkeypatch
):
    async def admit(caller):
        return dataclasses.replace(OWNER, owner_id=uuid.uuid4())

    monkeypatch.setattr(api.services.access, "admit", admit)
    assert (await api.get(f"/logs/{await foreign(1)}"))[0] == 404


async def test_such_lines_are_not_shown_elsewhere(api, foreign):
    assert (await api.get(f"/logs/{await foreign(1)}"))[0] == 404


async def test_a_log_whose_lines_are_gone_is_not_called_complete(api, deployment):
    """Dropped by age, or left in another log store."""
    end(api, deployment, last_seq=7)
    answer = await page(api, deployment)
    assert (answer["ended"], answer["complete"], answer["missing"]) == (True, False, [[1, 7]])


async def test_lines_of_a_whole_log_that_are_gone_are_named(api, deployment, store):
    await store(3, 4, 6)
    end(api, deployment, last_seq=8)
    answer = await page(api, deployment)
    assert (answer["complete"], answer["missing"]) == (False, [[1, 2], [5, 5], [7, 8]])


@pytest.mark.parametrize("query", ["", "?limit=2", "?after=1.2", "?after=1.3", "?after=1.1&limit=1"])
async def test_pages_of_a_whole_log_are_complete(api, deployment, store, query):
    await store(1, 2, 3)
    end(api, deployment, last_seq=3)
    answer = await page(api, deployment, query)
    assert (answer["complete"], answer["missing"]) == (True, [])


async def test_what_comes_after_the_end_that_the_builder_told_is_not_shown(api, deployment, store):
    await store(1, 2)
    end(api, deployment, last_seq=2)
    await store(3, 4)
    answer = await page(api, deployment)
    assert (seqs(answer), answer["complete"]) == ([(1, 1), (1, 2)], True)


async def test_a_text_that_an_outage_ends_is_cut_off(api, deployment, store, monkeypatch):
    """It can't say that it is not whole."""
    await store(*range(1, 2501))
    read = api.services.logs.read

    async def fail_later(deployment_id, after, limit):
        if after.seq >= 2000:
            raise Unavailable("The log store is away.")
        return await read(deployment_id, after, limit)

    monkeypatch.setattr(api.services.logs, "read", fail_later)
    with pytest.raises(aiohttp.ClientError):
        async with api.session.get(f"{api.url}/logs/{deployment.id}?format=text") as response:
            await response.text()
