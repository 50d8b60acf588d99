"""The builders' API: who may call, what it takes, what it answers."""

import asyncio
import dataclasses
import json
import uuid

import pytest
from aiohttp.test_utils import TestClient, TestServer

from builder.masking import Masker
from builder.protocol.calls import Facts, Finish, Manifest, StepStarted
from builder.protocol.lines import Line, LineBatch, encode_batch
from builder.protocol.settings import Settings, UsedSetting
from builder.protocol.tokens import PROOF_BYTES, is_proof, make_token
from gateway.background import Health, kept_running
from gateway.config import Builder
from gateway.consumer import LogConsumer
from gateway.control.install_caches import InstallCaches
from gateway.control.publishing import Publisher
from gateway.engines import log_meter
from gateway.engines.http_transport import HttpLogTransport
from gateway.errors import Invalid, NotFound, Unavailable
from gateway.models.actor import OWNER
from gateway.models.addresses import Addresses
from gateway.models.deployment import Status
from gateway.models.source import GitRef
from gateway.models.variable import PREVIEW, Variable
from gateway.routes import builders, create_builders_app
from gateway.wire.clients import NO_PROXIES
from tests.unit.control.fakes import no_login, until
from tests.unit.control.outputs import make_manifest, sha256_of

KEY = b"k" * 32
SETTINGS = Builder(log_bytes=1000, output_files=10, time_limit_seconds=77, allow_private_hosts=["127.0.0.1"])
ADDRESSES = Addresses("http://{slug}.localhost:8000")
SITE = {"index.html": b"<h1>Hello</h1>", "app.js": b"1"}


@pytest.fixture
def building(deployments):
    source = GitRef("https://example.com/blog.git", "next")
    return deployments.add_building(handle="fake:1", source=source, settings=Settings(build_command="make"))


@pytest.fixture
def row(deployments, building):
    return lambda: deployments.rows[building.id]


@pytest.fixture
def keys():
    """How often the install key was asked for, and what it is."""
    return {"asked": 0, "key": KEY}


@pytest.fixture
async def client(deployments, objects, logs, keys):
    async def for_previews(_):
        return PREVIEW, [Variable("A", "1", PREVIEW)]

    async def install_key():
        keys["asked"] += 1
        return keys["key"]

    transport = HttpLogTransport(commit_seconds=5)
    publisher = Publisher(deployments, deployments, deployments, objects, SETTINGS)
    app = create_builders_app(
        deployments,
        deployments,
        publisher,
        transport,
        SETTINGS,
        install_key,
        ADDRESSES,
        NO_PROXIES,
        for_previews,
        no_login,
        InstallCaches(None, objects, 0),
    )
    async with (
        TestClient(TestServer(app)) as client,
        kept_running("log consumer", LogConsumer(transport, logs).run, Health(), first_delay_seconds=0.01),
    ):
        yield client


@pytest.fixture
def call(client, building):
    """A call of the builder, with its token unless the headers say otherwise: (status, answer)."""

    async def call(method, path, body=None, *, attempt=1, deployment_id=building.id, **headers):
        token = make_token(KEY, deployment_id, attempt)
        given = {"Authorization": f"Bearer {token}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        async with client.request(
            method, f"/builds/{deployment_id}/{attempt}/{path}", data=body, headers=given
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    return call


def make_batch(building, *texts, first_seq=1, **changes):
    lines = tuple(Line(1, "stdout", "build", text) for text in texts or ("hello",))
    return dataclasses.replace(LineBatch("crimson-elephant", building.id, 1, first_seq, lines), **changes)


CALLS = [
    ("GET", "job"),
    ("POST", "heartbeat"),
    ("POST", "step"),
    ("POST", "facts"),
    ("POST", "lines"),
    ("POST", "manifest"),
    ("PUT", f"blobs/{sha256_of(b'1')}"),
    ("GET", f"cache/{sha256_of(b'1')}"),
    ("PUT", f"cache/{sha256_of(b'1')}/{sha256_of(b'1')}"),
    ("POST", "finish"),
]
every_call = pytest.mark.parametrize(("method", "path"), CALLS)


@every_call
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", f"Bearer {'0' * 64}", f"Basic {'0' * 64}", "Bearer \xe9"])
async def test_without_the_right_token_nothing_is_heard(client, building, method, path, header):
    target = f"/builds/{building.id}/1/{path}"
    async with client.request(method, target, data=b"{}", headers={"Authorization": header}) as response:
        assert response.status == 401
        assert set(await response.json()) == {"error", "details"}


@every_call
async def test_the_token_of_another_attempt_opens_nothing(call, building, method, path):
    other = make_token(KEY, building.id, 2)
    assert (await call(method, path, b"{}", Authorization=f"Bearer {other}"))[0] == 401


async def test_the_token_of_another_deployment_opens_nothing(call, building):
    other = make_token(KEY, uuid.uuid4(), 1)
    assert (await call("GET", "job", Authorization=f"Bearer {other}"))[0] == 401


NONCE = "5" * 64


async def test_the_gateway_proves_that_it_knows_the_token_before_it_is_shown(client, building):
    async with client.get(f"/builds/{building.id}/1/proof/{NONCE}") as response:
        proof = await response.read()
    token = make_token(KEY, building.id, 1)
    assert is_proof(proof, token, building.id, 1, NONCE)
    assert not is_proof(proof, token, building.id, 1, "6" * 64)
    assert not is_proof(proof, make_token(KEY, building.id, 2), building.id, 2, NONCE)


async def test_a_proof_opens_nothing(client, building, call):
    async with client.get(f"/builds/{building.id}/1/proof/{NONCE}") as response:
        proof = await response.text()
    assert (await call("GET", "job", Authorization=f"Bearer {proof}"))[0] == 401


async def test_a_proof_costs_no_database_work_and_says_nothing_of_the_deployment(client, deployments):
    deployments.is_away = True
    async with client.get(f"/builds/{uuid.uuid4()}/1/proof/{NONCE}") as response:
        assert (response.status, response.content_length) == (200, PROOF_BYTES)


@pytest.mark.parametrize("nonce", ["", "5" * 63, "5" * 65, "g" * 64, "A" * 64, "5" * 20_000, f'{{"lines":{"5" * 55}'])
async def test_what_is_no_nonce_is_not_signed(client, building, nonce):
    async with client.get(f"/builds/{building.id}/1/proof/{nonce}") as response:
        assert response.status in (400, 404)


@every_call
async def test_a_forged_call_costs_no_database_work(client, deployments, building, method, path):
    deployments.is_away = True
    headers = {"Authorization": f"Bearer {'0' * 64}"}
    async with client.request(method, f"/builds/{building.id}/1/{path}", headers=headers) as response:
        assert response.status == 401


async def test_what_is_no_token_at_all_is_not_even_compared(client, building, keys):
    async with client.get(f"/builds/{building.id}/1/job") as response:
        assert (response.status, keys["asked"]) == (401, 0)


@every_call
async def test_an_attempt_that_was_canceled_hears_so(call, deployments, building, row, method, path):
    canceled = await deployments.cancel(OWNER, building.id)
    status, answer = await call(method, path, Finish("ok", 0).to_json())
    assert status == 409
    assert set(answer) == {"error", "details"}
    assert row() == canceled


@every_call
async def test_an_attempt_that_was_replaced_hears_so(call, deployments, building, row, method, path):
    await deployments.lost(building.id, 1, "It was gone.", 3)
    (second,) = await deployments.claim("fake", 60)
    assert (await call(method, path, Finish("ok", 0).to_json()))[0] == 409
    assert row() == second


@every_call
async def test_a_deployment_that_is_gone_has_ended(call, method, path):
    assert (await call(method, path, Finish("ok", 0).to_json(), deployment_id=uuid.uuid4()))[0] == 409


@every_call
async def test_a_database_that_is_away_is_to_be_asked_again(call, deployments, method, path):
    deployments.is_away = True
    assert (await call(method, path, Finish("ok", 0).to_json()))[0] == 503


@pytest.mark.parametrize("attempt", ["0", "01", "-1", "1000", "x", "1.0"])
async def test_what_is_no_attempt_is_nothing(client, building, attempt):
    async with client.get(f"/builds/{building.id}/{attempt}/job") as response:
        assert response.status == 404


async def test_the_job_says_what_to_build_and_within_which_limits(call, building):
    status, job = await call("GET", "job")
    assert status == 200
    assert (job["gitUrl"], job["branch"], job["project"]["buildCommand"]) == (building.source.url, "next", "make")
    assert (job["context"], job["variables"]) == (
        "preview",
        [{"name": "A", "value": "1", "isSecret": False, "isPublic": False}],
    )
    assert (job["timeLimitSeconds"], job["logBytes"], job["allowPrivateHosts"]) == (77, 1000, ["127.0.0.1"])


async def test_a_heartbeat_extends_the_lease(call, row, clock):
    clock.pass_by(50)
    before = row().lease_until
    assert await call("POST", "heartbeat") == (204, None)
    assert (row().lease_until - before).total_seconds() == 50


async def test_a_step_is_timed(call, row):
    assert await call("POST", "step", StepStarted("install", 1234).to_json()) == (204, None)
    assert [(step.name, step.started_at) for step in row().steps] == [("install", 1234)]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"not json", b"\xff", b'{"step": "install"}', b'{"step": "install", "at": 1, "x": 1}'),
        *(b'{"step": "sudo", "at": 1}', b'{"step": ["install"], "at": 1}', b'{"step": "install", "at": "1"}'),
        *(b'{"step": "install", "at": -1}', b'{"step": "install", "at": 1e99}', b'{"step": "install", "at": true}'),
        *(b"[" * 50_000, b'{"step": "install", "at": ' + b"9" * 5000 + b"}", b"null", b'"text"'),
    ],
)
async def test_what_is_no_step_is_refused_with_a_sentence(call, row, body):
    status, answer = await call("POST", "step", body)
    assert (status, answer["error"]) == (400, "Validation failed")
    assert row().steps == ()


async def test_settings_of_the_table_alone_are_kept(call, deployments, building):
    known, unknown = UsedSetting("build_command", "make\x00", "netlify.toml"), UsedSetting("colour", "red", "x")
    assert (await call("POST", "facts", Facts(settings=(known, unknown)).to_json()))[0] == 204
    assert deployments.facts[building.id].settings == (UsedSetting("build_command", "make\ufffd", "netlify.toml"),)


async def test_facts_are_cut_and_cleaned(call, deployments, building):
    facts = Facts("a" * 100, "Fix\x00 it\x1b[31m\nnow" + "!" * 2000, "vite", None, "strong")
    assert (await call("POST", "facts", facts.to_json()))[0] == 204
    kept = deployments.facts[building.id]
    assert (kept.commit_sha, kept.framework, kept.node_version, kept.isolation) == ("a" * 64, "vite", None, "strong")
    assert kept.commit_message.startswith("Fix\ufffd it\ufffd[31m\nnow!")
    assert len(kept.commit_message) <= 1000


@pytest.mark.parametrize("body", [b'{"commitSha": 1}', b'{"framework": ["x"]}', b'{"unknown": "x"}'])
async def test_what_are_no_facts_is_refused(call, body):
    assert (await call("POST", "facts", body))[0] == 400


async def test_half_a_character_in_a_fact_is_replaced(call, deployments, building):
    assert (await call("POST", "facts", b'{"commitMessage": "a\\ud800b"}'))[0] == 204
    assert deployments.facts[building.id].commit_message == "a?b"


async def test_lines_are_stored_before_the_answer(call, building, logs):
    assert await call("POST", "lines", encode_batch(make_batch(building, "one", "two"))) == (204, None)
    assert logs.lines[building.id, 1] == {1: "one", 2: "two"}


@pytest.mark.parametrize("changes", [{"deployment_id": uuid.uuid4()}, {"attempt": 2}])
async def test_lines_of_another_attempt_are_refused(call, building, logs, changes):
    assert (await call("POST", "lines", encode_batch(make_batch(building, **changes))))[0] == 400
    assert not logs.lines


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"x", b"[" * 50_000])
async def test_what_is_no_line_batch_is_refused(call, body):
    assert (await call("POST", "lines", body))[0] == 400


async def test_a_line_after_the_year_9999_is_refused(call, building):
    batch = make_batch(building, lines=(Line(253402300800000, "stdout", "build", "x"),))
    assert (await call("POST", "lines", encode_batch(batch)))[0] == 400


@pytest.mark.parametrize("first_seq", [10**9, 2**53])
async def test_a_line_number_beyond_any_log_is_refused(call, building, first_seq):
    assert (await call("POST", "lines", encode_batch(make_batch(building, first_seq=first_seq))))[0] == 413


@pytest.fixture
def no_slack(monkeypatch):
    monkeypatch.setattr(log_meter, "LOG_SLACK_BYTES", 0)


# `no_slack` comes first: the meter reads its limits when the application is made.
async def test_a_log_beyond_its_limit_is_refused(no_slack, call, building):
    assert (await call("POST", "lines", encode_batch(make_batch(building, "x" * 1200, first_seq=1))))[0] == 204
    assert (await call("POST", "lines", encode_batch(make_batch(building, "x" * 1200, first_seq=2))))[0] == 413


async def test_lines_that_cannot_be_stored_are_to_be_sent_again(call, building, client, logs):
    logs.append_error = Unavailable("The log store is away.")
    sending = asyncio.ensure_future(call("POST", "lines", encode_batch(make_batch(building))))
    await until(lambda: logs.appends)
    logs.append_error = None
    assert (await sending)[0] == 204


async def test_lines_that_can_never_be_stored_are_refused_with_the_reason(call, building, logs):
    logs.append_error = Invalid("The store can't take it.")
    status, answer = await call("POST", "lines", encode_batch(make_batch(building)))
    assert (status, answer["details"]) == (400, "The store can't take it.")


async def publish(call):
    status, answer = await call("POST", "manifest", make_manifest(SITE).to_json())
    assert status == 200
    for body in SITE.values():
        await call("PUT", f"blobs/{sha256_of(body)}", body)
    return answer["missing"]


async def test_an_output_is_published(call, row, deployments):
    assert await publish(call) == [sha256_of(body) for body in SITE.values()]
    assert await call("POST", "finish", Finish("ok", 0).to_json()) == (204, None)
    assert (row().status, row().is_live) == (Status.READY, True)


async def test_the_last_call_may_be_repeated(call, row):
    await publish(call)
    await call("POST", "finish", Finish("ok", 0).to_json())
    ready = row()
    assert (await call("POST", "finish", Finish("ok", 0).to_json()))[0] == 204
    assert row() == ready


async def test_after_the_end_nothing_else_is_heard(call, row):
    await publish(call)
    await call("POST", "finish", Finish("ok", 0).to_json())
    ready = row()
    assert (await call("POST", "finish", Finish("failed", 0, "No.").to_json()))[0] == 409
    assert (await call("POST", "finish", Finish("lost", 0).to_json()))[0] == 409
    assert (await call("POST", "manifest", make_manifest(SITE).to_json()))[0] == 409
    assert row() == ready


async def test_a_manifest_beyond_the_limits_is_refused_with_a_sentence(call):
    files = {f"{number}": b"" for number in range(11)}
    status, answer = await call("POST", "manifest", make_manifest(files).to_json())
    assert (status, answer["details"]) == (413, "The output has 11 files; the limit is 10.")


@pytest.mark.parametrize(
    "body", [b"{}", b'{"files": 5}', b'{"files": [5]}', b'{"files": [{"path": "a"}]}', b'{"files": []}', b"[" * 50_000]
)
async def test_what_is_no_manifest_is_refused(call, body):
    assert (await call("POST", "manifest", body))[0] == 400


async def test_bytes_that_are_not_as_announced_are_refused(call, objects):
    await call("POST", "manifest", make_manifest(SITE).to_json())
    assert (await call("PUT", f"blobs/{sha256_of(b'1')}", b"2"))[0] == 400
    assert (await call("PUT", f"blobs/{sha256_of(b'1')}", b"11"))[0] == 400
    assert (await call("PUT", f"blobs/{sha256_of(b'evil')}", b"evil"))[0] == 400
    assert objects.bodies == {}


async def test_a_full_disk_is_told_and_may_be_tried_again(call, objects):
    await call("POST", "manifest", make_manifest(SITE).to_json())
    objects.calls_left = 0
    objects.broken = Unavailable("The disk is full: the object was not stored.")
    status, answer = await call("PUT", f"blobs/{sha256_of(b'1')}", b"1")
    assert (status, answer["details"]) == (503, "The disk is full: the object was not stored.")


async def in_pieces(*pieces):
    for piece in pieces:
        yield piece


async def test_a_blob_without_its_length_is_refused(call):
    await call("POST", "manifest", make_manifest(SITE).to_json())
    status, answer = await call("PUT", f"blobs/{sha256_of(b'1')}", in_pieces(b"1"))
    assert (status, answer["details"]) == (400, "A blob needs a Content-Length.")


@pytest.mark.parametrize("path", ["step", "facts", "finish"])
async def test_a_body_beyond_its_limit_is_refused(call, path):
    assert (await call("POST", path, b"x" * (builders.MAX_BODY_BYTES + 1)))[0] == 413


async def test_a_body_of_unknown_length_beyond_its_limit_is_refused(call):
    pieces = in_pieces(*[b"x" * 30_000] * 4)
    assert (await call("POST", "step", pieces))[0] == 413


async def test_a_compressed_body_is_refused(call):
    assert (await call("POST", "step", b"x", Content_Encoding="gzip"))[0] == 400


async def test_a_body_that_stalls_is_given_up(call, monkeypatch):
    monkeypatch.setattr(builders, "READ_SECONDS", 0.05)
    never = asyncio.Event()

    async def stalling():
        yield b"{"
        await never.wait()

    status, answer = await call("POST", "step", stalling())
    assert (status, answer["error"]) == (408, "Too slow")


async def test_a_blob_that_stalls_is_given_up(call, monkeypatch):
    monkeypatch.setattr(builders, "BLOB_SILENCE_SECONDS", 0.05)
    await call("POST", "manifest", make_manifest(SITE).to_json())
    never = asyncio.Event()

    async def stalling():
        yield b"<h1>"
        await never.wait()

    path = f"blobs/{sha256_of(SITE['index.html'])}"
    assert (await call("PUT", path, stalling(), Content_Length=str(len(SITE["index.html"]))))[0] == 408


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"exit": "maybe", "lastSeq": 0}', b'{"exit": ["ok"], "lastSeq": 0}', b'{"exit": "ok"}'),
        *(b'{"exit": "ok", "lastSeq": -1}', b'{"exit": "ok", "lastSeq": 1e9}', b'{"exit": "ok", "lastSeq": 99999999}'),
        *(b'{"exit": "failed", "lastSeq": 0, "step": "sudo"}', b'{"exit": "failed", "lastSeq": 0, "exitCode": "1"}'),
        b'{"exit": "failed", "lastSeq": 0, "reason": 5}',
    ],
)
async def test_what_is_no_end_is_refused(call, row, body):
    assert (await call("POST", "finish", body))[0] == 400
    assert row().status is Status.BUILDING


async def test_the_reason_of_a_failure_is_cut_and_cleaned(call, row):
    failure = Finish("failed", 0, "npm\x00 failed" + "!" * 9999, "build", 1)
    assert (await call("POST", "finish", failure.to_json()))[0] == 204
    assert row().reason.startswith("npm\ufffd failed!")
    assert len(row().reason) <= 2000


@pytest.mark.parametrize("separator", [chr(code) for code in (*range(32), 127) if chr(code) not in "\t\n"])
async def test_a_control_character_between_the_halves_of_a_secret_does_not_join_them(call, row, separator):
    failure = Finish("failed", 0, f"a-secret-{separator}with-more", "build", 1)
    sent = Masker(["a-secret-with-more"]).mask_message(failure)
    assert (await call("POST", "finish", sent.to_json()))[0] == 204
    assert row().reason == "a-secret-\ufffdwith-more"


async def test_unknown_calls_are_nothing(call):
    assert (await call("GET", "secrets"))[0] == 404
    assert (await call("PUT", "blobs/..%2f..%2fetc", b""))[0] == 404
    assert (await call("POST", "job"))[0] == 405


def test_manifests_survive_the_way():
    manifest = make_manifest(SITE, framework="vite", is_single_page=True, hashed_folders=("assets",))
    assert Manifest.from_json(manifest.to_json()) == manifest


async def test_a_deployment_that_vanishes_between_two_looks_has_ended(call, deployments):
    async def gone(*args):
        raise NotFound("There is no such deployment.")

    deployments.heartbeat = gone
    assert (await call("POST", "heartbeat"))[0] == 409
