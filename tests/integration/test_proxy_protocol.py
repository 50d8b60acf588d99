"""The sites' listener and what is not quite HTTP: refused, counted, and never understood in two ways."""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.integration.site_server import RawResponse, Sites, running_sites
from tests.unit.sites.fakes import make_release

FILES = {"index.html": b"home of blog"}
OTHER = {"index.html": b"home of shop"}
OTHER_ID = uuid.UUID(int=77)
GET = b"GET / HTTP/1.1\r\nHost: blog.localhost\r\n"


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with running_sites() as running:
        running.hosts.publish("blog", running.objects.keep(make_release(FILES), FILES))
        running.hosts.publish("shop", running.objects.keep(make_release(OTHER, deployment_id=OTHER_ID), OTHER))
        yield running


@pytest.mark.parametrize(
    "host", ["blog.localhost", "BLOG.LocalHost", "blog.localhost.", "blog.localhost:1", "blog.localhost.:8000"]
)
async def test_a_host_is_known_in_every_spelling(sites: Sites, host: str) -> None:
    assert (await sites.get(host)).body == FILES["index.html"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        GET + b"Host: blog.localhost\r\n\r\n",
        GET + b"Host: shop.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: blog.localhost, shop.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: blog.localhost/\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@blog.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: blog.localhost:port\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : blog.localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: blog.localhost\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: bl\xf6g.localhost\r\n\r\n",
        b"GET http://shop.localhost/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET http://blog.localhost:81/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET http://:80/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET http://xn--a/ HTTP/1.1\r\nHost: xn--a\r\n\r\n",
        b"GET http:///x HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET ftp://blog.localhost/ HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET blog.localhost HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /../x HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /%2e%2e/x HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /a%2fb HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /a%5cb HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /a\\b HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /%0d%0aX:1 HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /%ff HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /#x HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        GET + b"X: a\r\n folded\r\n\r\n",
        GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Transfer-Encoding: chunked, identity\r\n\r\n",
        GET + b"X: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: blog.localhost\r\n\r\n",
        GET + b"".join(b"X%d: y\r\n" % number for number in range(200)) + b"\r\n",
        b"GET / HTTP/1.1\nHost: blog.localhost\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_could_be_misunderstood_is_a_400_and_the_end_of_the_connection(
    sites: Sites, request_bytes: bytes
) -> None:
    connection = await sites.connect()
    connection.send(request_bytes)
    response = await connection.receive()
    assert response.status == 400
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert b"blog" not in response.body
    assert await connection.is_closed()


@pytest.mark.parametrize(
    "request_line",
    ["POST /", "PUT /", "DELETE /", "PATCH /", "TRACE /", "OPTIONS /", "OPTIONS *", "CONNECT blog.localhost:443"],
)
async def test_other_methods_are_a_405_that_says_which(sites: Sites, request_line: str) -> None:
    response = await sites.raw(f"{request_line} HTTP/1.1\r\nHost: blog.localhost\r\nContent-Length: 0\r\n\r\n")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")
    assert response.headers["cache-control"] == "no-store"


async def test_noise_is_counted_and_not_logged(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await asyncio.gather(*(sites.raw("nonsense\r\n\r\n") for _ in range(50)))
    assert sites.server is not None
    assert sites.server.malformed == 50
    assert sites.responses == [(400, 0)] * 50
    assert caplog.records == []


async def test_an_absolute_target_that_agrees_is_served(sites: Sites) -> None:
    response = await sites.raw("GET http://shop.localhost/ HTTP/1.1\r\nHost: Shop.localhost:80\r\n\r\n")
    assert response.body == OTHER["index.html"]


async def test_pipelined_requests_are_answered_in_order_each_for_its_own_host(sites: Sites) -> None:
    connection = await sites.connect()
    shop = GET.replace(b"blog", b"shop")
    connection.send((GET + b"\r\n" + shop + b"\r\n") * 20)
    bodies = [(await connection.receive()).body for _ in range(40)]
    assert bodies == [FILES["index.html"], OTHER["index.html"]] * 20


async def test_the_body_of_a_get_is_not_taken_for_a_request(sites: Sites) -> None:
    smuggled = GET.replace(b"blog", b"shop") + b"\r\n"
    connection = await sites.connect()
    connection.send(GET + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled + GET + b"\r\n")
    bodies = [(await connection.receive()).body for _ in range(2)]
    assert bodies == [FILES["index.html"]] * 2


async def test_a_falsely_compressed_body_harms_nothing(sites: Sites) -> None:
    response = await sites.raw(GET + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello")
    assert response.status == 200


async def test_a_body_that_never_comes_ends_the_connection(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.connections.LINGERING_SECONDS", 0.1)
    connection = await sites.connect()
    connection.send(GET + b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
    assert (await connection.receive()).status == 200
    assert await connection.is_closed()


async def test_headers_that_never_end_end_the_connection(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.connections.KEEPALIVE_SECONDS", 0.2)
    connection = await sites.connect()
    connection.send(GET + b"X: ")
    assert await connection.is_closed()


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_an_upgrade_is_declined_and_nothing_that_follows_can_get_a_wrong_answer(
    sites: Sites, protocol: str
) -> None:
    connection = await sites.connect()
    connection.send(GET + f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n".encode() + GET + b"\r\n")
    response = await connection.receive()
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert await connection.is_closed()


async def test_http_1_0_is_answered_and_closed(sites: Sites) -> None:
    connection = await sites.connect()
    connection.send(b"GET / HTTP/1.0\r\nHost: blog.localhost\r\n\r\n")
    response = await connection.receive()
    assert (response.status, response.body) == (200, FILES["index.html"])
    assert "transfer-encoding" not in response.headers
    assert await connection.is_closed()


async def test_a_query_of_any_letters_cannot_add_a_header(sites: Sites) -> None:
    response: RawResponse = await sites.raw(
        b"GET /index.html?a=%0d%0aSet-Cookie:x=1&b=<> HTTP/1.1\r\nHost: blog.localhost\r\n\r\n"
    )
    assert (response.status, response.headers["location"]) == (308, "/?a=%0d%0aSet-Cookie:x=1&b=<>")
    assert "set-cookie" not in response.headers


async def test_the_system_drops_connections_whose_bytes_nobody_takes() -> None:
    async with running_sites(write_seconds=7.0) as sites:
        connection = await sites.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
        await connection.receive()
        assert sites.server is not None
        transport = sites.server.connections[0].transport
        assert transport is not None
        found: socket.socket = transport.get_extra_info("socket")
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
