"""Requests: one Host, one meaning."""

from __future__ import annotations

import pytest

from gateway.errors import Invalid
from gateway.sites.requests import read_request

HOST = (b"Host", b"blog.localhost:8000")


def test_a_request_is_read() -> None:
    request = read_request("GET", "/a%20b?x=1&y", [HOST, (b"Accept", b"text/html"), (b"ACCEPT", b"*/*")])
    assert (request.host, request.path, request.raw_path, request.query) == (
        "blog.localhost",
        "/a b",
        "/a%20b",
        "x=1&y",
    )
    assert request.headers["accept"] == "text/html, */*"


def test_no_query_and_an_empty_one_are_different() -> None:
    assert read_request("GET", "/", [HOST]).query is None
    assert read_request("GET", "/?", [HOST]).query == ""


def test_a_query_of_any_bytes_may_stand_in_a_header() -> None:
    query = read_request("GET", "/?a=\udcff\r\nX: ò", [HOST]).query
    assert query == "a=%FF%0D%0AX:%20%C3%B2"


@pytest.mark.parametrize(
    "headers", [[], [HOST, HOST], [HOST, (b"host", b"other.localhost")], [(b"Host", b"")], [(b"Host", b"a, b")]]
)
def test_any_other_number_of_hosts_than_one_is_invalid(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Invalid):
        read_request("GET", "/", headers)


@pytest.mark.parametrize(
    "target", ["http://blog.localhost:8000/x?y", "HTTP://BLOG.localhost.:8000/x?y", "https://blog.localhost:8000/x?y"]
)
def test_an_absolute_target_that_agrees_with_the_host_is_its_path(target: str) -> None:
    request = read_request("GET", target, [HOST])
    assert (request.host, request.path, request.query) == ("blog.localhost", "/x", "y")


def test_the_default_port_agrees_with_no_port() -> None:
    assert read_request("GET", "http://a.b:80", [(b"Host", b"a.b")]).path == "/"
    assert read_request("GET", "http://a.b?x", [(b"Host", b"a.b:80")]).query == "x"


@pytest.mark.parametrize(
    "target",
    [
        "http://other.localhost:8000/",
        "http://blog.localhost/",
        "http://blog.localhost:8001/",
        "http://user@blog.localhost:8000/",
        "http:///",
        "ftp://blog.localhost:8000/",
        "blog.localhost:8000",
        "*",
        "/a#b",
    ],
)
def test_a_target_that_means_something_else_is_invalid(target: str) -> None:
    with pytest.raises(Invalid):
        read_request("GET", target, [HOST])
