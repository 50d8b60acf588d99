"""Answers are compressed for clients that accept it, unless their length could reveal a secret."""

import asyncio
import gzip
import json
import uuid
import zlib

import aiohttp
import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.models.deployment import Status
from gateway.roles import LogStore
from tests.engines.api_server import GIT_URL

GZIP = {"Accept-Encoding": "gzip"}
LINES = 3000


async def fetch(api, path, method="GET", **more):
    """The status, the headers, and the body as it was sent."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.request(method, api.url + path, allow_redirects=False, **more) as response,
    ):
        return response.status, response.headers, await response.read()


@pytest.fixture
async def log_path(api):
    """Of a log with many lines."""
    deployed = await api.deploy()
    deployment = api.services.deployments.change(uuid.UUID(deployed["deploymentId"]), status=Status.BUILDING)
    lines = tuple(Line(1_764_000_000_123, "stdout", "build", f"line {number}") for number in range(1, LINES + 1))
    await api.services.logs.append([LineBatch("site", deployment.id, 1, 1, lines)])
    return f"/logs/{deployment.id}"


async def test_a_log_text_is_compressed_for_a_client_that_asks(api, log_path):
    _, headers, body = await fetch(api, f"{log_path}?format=text", headers=GZIP)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    text = "".join(f"line {number}\n" for number in range(1, LINES + 1)).encode()
    assert gzip.decompress(body) == text
    assert len(body) < len(text) / 3


async def test_a_log_is_compressed_as_json_too(api, log_path):
    _, headers, body = await fetch(api, log_path, headers=GZIP)
    assert headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(body))["rawLogs"]) == LINES


async def test_a_compressed_log_is_sent_while_it_is_read(api, log_path, monkeypatch):
    logs: LogStore = api.services.logs
    read, calls = logs.read, []

    async def read_and_note(*arguments):
        calls.append(arguments)
        return await read(*arguments)

    monkeypatch.setattr(logs, "read", read_and_note)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(api.url + log_path, headers=GZIP) as response,
    ):
        inflater = zlib.decompressobj(wbits=31)
        pieces = [inflater.decompress(piece) async for piece, _ in response.content.iter_chunks()]
    assert len(calls) > 3
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert len([piece for piece in pieces if piece]) > 1


@pytest.mark.parametrize("path", ["/openapi.json", "/project?limit=100"])
async def test_an_answer_of_the_api_is_compressed_for_a_client_that_asks(api, path):
    for _ in range(20):
        await api.deploy()
    _, plain_headers, plain = await fetch(api, path, headers={"Accept-Encoding": "identity"})
    _, headers, body = await fetch(api, path, headers=GZIP)
    assert (headers["Content-Encoding"], headers["Content-Length"]) == ("gzip", str(len(body)))
    assert gzip.decompress(body) == plain
    assert "Content-Encoding" not in plain_headers
    assert headers["Vary"] == plain_headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/openapi.json", "{log}", "{log}?format=text"])
@pytest.mark.parametrize(
    "accepted",
    ["", "identity", "br", "gzip;q=0", "gzip;q=0.0, br", "*;q=0", "identity, gzip;q=0.5", "gzipped", "gzip;q=x"],
)
async def test_a_client_that_does_not_want_it_gets_the_plain_answer(api, log_path, path, accepted):
    _, headers, _ = await fetch(api, path.format(log=log_path), headers={"Accept-Encoding": accepted})
    assert "Content-Encoding" not in headers
    assert headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "accepted", ["gzip", "GZIP", "x-gzip", "*", "br, gzip;q=0.1", "deflate, gzip", "gzip;q=1.0, *;q=0"]
)
async def test_a_client_may_ask_in_any_of_these_ways(api, accepted):
    assert (await fetch(api, "/openapi.json", headers={"Accept-Encoding": accepted}))[1]["Content-Encoding"] == "gzip"


async def test_a_short_answer_is_sent_as_it_is(api):
    assert "Content-Encoding" not in (await fetch(api, "/health", headers=GZIP))[1]


@pytest.mark.parametrize("query", ["", "?format=text"])
async def test_a_short_log_is_sent_as_it_is(api, query):
    deployed = await api.deploy()
    _, headers, _ = await fetch(api, f"/logs/{deployed['deploymentId']}{query}", headers=GZIP)
    assert "Content-Encoding" not in headers


@pytest.mark.parametrize("path", ["/openapi.json", "{log}", "{log}?format=text"])
async def test_a_head_says_what_its_get_says_and_no_byte_more(api, log_path, path):
    request = (
        f"HEAD {path.format(log=log_path)} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close"
    )
    head, _, body = (await asyncio.to_thread(api.raw, request.encode() + b"\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"\r\nContent-Encoding: gzip\r\n" in head + b"\r\n"
    assert body == b""


@pytest.mark.parametrize("path", ["/", "/login?next=/" + "a" * 2000, "/nothing/" + "a" * 2000])
async def test_pages_that_show_what_a_link_says_are_not_compressed(api, path):
    headers = {**GZIP, "Accept": "text/html"}
    assert "Content-Encoding" not in (await fetch(api, path, headers=headers))[1]


async def test_an_answer_to_a_post_is_not_compressed(api):
    """It may show a new secret, next to text that the caller chose."""
    body = {"name": "site", "gitUrl": GIT_URL, "outputDirectory": "a" * 200}
    status, headers, _ = await fetch(api, "/project", "POST", json=body, headers=GZIP)
    assert status == 201
    assert "Content-Encoding" not in headers


async def test_an_error_is_not_compressed(api):
    status, headers, _ = await fetch(api, "/project?limit=" + "9" * 4000, headers=GZIP)
    assert status == 400
    assert "Content-Encoding" not in headers
