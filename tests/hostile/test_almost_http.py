"""Requests that are almost HTTP, to the three listeners: each is refused in one way, and no connection outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import re
import socket

import aiohttp.http_parser
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.access.middlewares import refuse_request
from gateway.wire.connections import ConnectionServer
from tests.engines.api_server import api_over_database
from tests.hostile.almost_http import requests
from tests.integration.site_server import until

SEED = 14
AT_ONCE = 200
KEEPALIVE_SECONDS = 0.5
BOUND_SECONDS = 20.0
LISTENERS = ["sites", "api", "builders"]
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MALFORMED = [
    b"GET http://xn--a/ HTTP/1.1\r\nHost: xn--a\r\n\r\n",
    "GET http://\u200d/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    b"CONNECT xn--a:80 HTTP/1.1\r\nHost: xn--a\r\n\r\n",
    b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    GET + b"X : y\r\n\r\n",
    GET + b"X: a\x00b\r\n\r\n",
    GET + b"Content-Length: -1\r\n\r\n",
    GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    GET + b"X: " + b"a" * 9000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"nonsense\r\n\r\n",
]


class Front:
    """The three listeners of one gateway."""

    def __init__(self, api) -> None:
        config = api.gateway.config
        self._ports = {"sites": config.sites.port, "api": config.api.port, "builders": config.builders.port}
        self.services = api.services

    async def converse(self, listener: str, request: bytes) -> bytes | None:
        """What the listener sends until it closes. None: it has not closed within the bound."""
        return await converse(*await asyncio.open_connection("127.0.0.1", self._ports[listener]), request)

    async def find_left_open(self, listener: str, count: int) -> list[bytes]:
        """Those of so many requests whose connections were not closed."""
        made, found = requests(SEED, count), []
        while wave := list(itertools.islice(made, AT_ONCE)):
            answers = await asyncio.gather(*(self.converse(listener, request) for request in wave))
            found += [request for request, answer in zip(wave, answers, strict=True) if answer is None]
        return found


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes | None:
    received = bytearray()
    writer.write(request)
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    received += piece
    except TimeoutError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return bytes(received)


@pytest.fixture(params=["compiled", "pure"])
def parser(request, monkeypatch):
    """Both of aiohttp's: the second stands in where the first could not be compiled."""
    if request.param == "pure":
        monkeypatch.setattr("aiohttp.web_protocol.HttpRequestParser", aiohttp.http_parser.HttpRequestParserPy)
    return request.param


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(postgres, tmp_path_factory):
    """An answer that leaves its connection open is not taken for a refusal: no test waits for so long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.wire.connections.KEEPALIVE_SECONDS", 10 * BOUND_SECONDS)
        folder, url = tmp_path_factory.mktemp("front"), "http://127.0.0.1:9001"
        async with api_over_database(await postgres.create_database(), folder, BUILDSPACE_BUILDERS_URL=url) as api:
            yield Front(api)


pytestmark = pytest.mark.asyncio(loop_scope="module")


def parse(answer: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return int(status_line.split(" ")[1]), headers, body


def find_complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.exc_info or record.levelno >= logging.WARNING]


@pytest.mark.parametrize("count", [700, pytest.param(18_000, marks=pytest.mark.soak)])
async def test_no_connection_stays_open_and_no_traceback_is_logged(front, parser, count, caplog, monkeypatch):
    """The soak: 108,000 requests in all, of which more than half vary the target or the Host."""
    monkeypatch.setattr("gateway.wire.connections.KEEPALIVE_SECONDS", KEEPALIVE_SECONDS)
    found = await asyncio.gather(*(front.find_left_open(listener, count) for listener in LISTENERS))
    assert found == [[], [], []]
    assert find_complaints(caplog) == []


@pytest.mark.parametrize("request_bytes", MALFORMED, ids=lambda sent: ascii(sent[:50]))
@pytest.mark.parametrize("listener", ["api", "builders"])
async def test_malformed_requests_are_refused_in_the_shape_of_all_errors(front, parser, listener, request_bytes):
    status, headers, body = parse(await front.converse(listener, request_bytes))
    assert (status, json.loads(body)["error"]) == (400, "Malformed request")
    assert json.loads(body)["details"].endswith("is not valid HTTP/1.1.")
    assert {("x-content-type-options", "nosniff"), ("content-type", "application/json; charset=utf-8")} <= {*headers}
    assert dict(headers)["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("request_bytes", MALFORMED, ids=lambda sent: ascii(sent[:50]))
async def test_malformed_requests_to_sites_are_refused_with_a_sentence_of_theirs(front, parser, request_bytes):
    status, headers, body = parse(await front.converse("sites", request_bytes))
    assert (status, body) == (400, b"The server does not understand this address.\n")
    assert ("x-content-type-options", "nosniff") in headers


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("listener", LISTENERS)
async def test_these_versions_are_served(front, listener, version):
    request = f"GET /health {version}\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert parse(await front.converse(listener, request.encode()))[0] in (200, 404)


@pytest.mark.parametrize(
    "request_bytes", [b"GET / HTTP/%b\r\nHost: localhost\r\n\r\n" % each for each in [b"0.9", b"1.2", b"2.0", b"3.0"]]
)
@pytest.mark.parametrize("listener", LISTENERS)
async def test_other_versions_are_refused_with_505_and_closed(front, parser, listener, request_bytes):
    assert parse(await front.converse(listener, request_bytes))[0] == 505


@pytest.mark.parametrize("request_bytes", [PREFACE, b"GET /\r\n\r\n"], ids=["HTTP/2", "HTTP/0.9"])
@pytest.mark.parametrize("listener", LISTENERS)
async def test_first_bytes_of_other_versions_are_known(front, listener, request_bytes):
    assert parse(await front.converse(listener, request_bytes))[0] == 505


async def test_other_versions_are_refused_in_the_shape_of_all_errors(front):
    _, headers, body = parse(await front.converse("api", PREFACE))
    details = "Send the request as HTTP/1.1 or HTTP/1.0."
    assert json.loads(body) == {"error": "HTTP version not supported", "details": details}
    assert ("x-content-type-options", "nosniff") in headers


@pytest.mark.parametrize("expectation", [b"200-ok", b"\xff\x80"], ids=ascii)
@pytest.mark.parametrize("listener", LISTENERS)
async def test_an_unknown_expectation_is_refused_like_all_errors(front, listener, expectation, caplog):
    status, headers, body = parse(await front.converse(listener, GET + b"Expect: " + expectation + b"\r\n\r\n"))
    assert (status, b"100-continue" in body) == (417, True)
    assert {("x-content-type-options", "nosniff"), ("server", "buildspace")} <= {*headers}
    assert find_complaints(caplog) == []


@pytest.mark.parametrize("path", ["/health", "/ready", "/project", "/nothing", "/login", "/metrics", "/favicon.ico"])
@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_answer_names_the_server_once_and_forbids_sniffing(front, listener, path):
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    _, headers, _ = parse(await front.converse(listener, request.encode()))
    assert [value for name, value in headers if name == "server"] == ["buildspace"]
    assert [value for name, value in headers if name == "x-content-type-options"] == ["nosniff"]


@pytest.mark.parametrize("request_bytes", [*MALFORMED, PREFACE], ids=lambda sent: ascii(sent[:50]))
@pytest.mark.parametrize("listener", LISTENERS)
async def test_every_refusal_names_the_server_once(front, listener, request_bytes):
    _, headers, _ = parse(await front.converse(listener, request_bytes))
    assert [value for name, value in headers if name == "server"] == ["buildspace"]


@pytest.mark.parametrize("listener", LISTENERS)
async def test_malformed_requests_are_counted_and_not_logged(front, listener, caplog):
    async def count() -> float:
        text = (await front.services.metrics.collect()).decode()
        wanted = rf'buildspace_malformed_requests_total{{listener="{listener}",status="400"}} ([0-9.]+)'
        return sum(float(number) for number in re.findall(wanted, text))

    before = await count()
    await asyncio.gather(*(front.converse(listener, b"nonsense\r\n\r\n") for _ in range(20)))
    assert await count() == before + 20
    assert caplog.records == []


async def test_a_broken_body_that_is_not_read_ends_the_connection_without_a_traceback(front, caplog):
    request = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    answer = await front.converse("builders", request)
    assert parse(answer)[0] in (400, 404)
    assert find_complaints(caplog) == []


async def test_a_client_that_reads_nothing_is_cut_off(tmp_path):
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(50_000_000))

    server = ConnectionServer(answer, refuse_request, write_seconds=0.2)
    runner = web.ServerRunner(server)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "socket")).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "socket"))
        client.sendall(GET + b"\r\n")
        await until(lambda: server.requests_count == 1)
        await until(lambda: server.connections == [])
    await runner.cleanup()
