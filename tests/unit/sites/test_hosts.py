"""Host names: what is one, and which site it means."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError, Invalid
from gateway.sites.hosts import Authority, SiteNames, is_address, parse_authority


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("blog.localhost", "blog.localhost", None),
        ("BLOG.LocalHost:8000", "blog.localhost", 8000),
        ("blog.localhost.", "blog.localhost", None),
        ("blog.localhost.:80", "blog.localhost", 80),
        ("blog.localhost:", "blog.localhost", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("[::1]:8000", "[::1]", 8000),
        ("[0:0:0:0:0:0:0:1]", "[::1]", None),
    ],
)
def test_a_name_is_read_in_its_one_spelling(text: str, host: str, port: int | None) -> None:
    assert parse_authority(text) == Authority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "a..b", ".a", "a.b..", "-a.b", "a-.b", "a_b.c", "a b", " a", "a ", "a\n", "a\t", "a\0"),
        *("user@a.b", "a.b/c", "a.b?c", "a.b#c", "a.b\\c", "a,b", "a.b, c.d", "http://a.b", "a%2eb", "bücher.example"),
        *("a.b:x", "a.b:-1", "a.b:123456", "a.b:80:80", ":80", "[::1", "::1", "[::g]", "[]", "[::1]x", "[1.2.3.4]"),
        *("a" * 64 + ".b", ".".join(["a" * 60] * 5)),
    ],
)
def test_what_is_no_host_name_is_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        parse_authority(text)


@pytest.mark.parametrize(
    ("template", "host", "label"),
    [
        ("http://{slug}.localhost:8000", "blog.localhost", "blog"),
        ("http://{slug}.localhost:8000", "localhost", None),
        ("http://{slug}.localhost:8000", "a.blog.localhost", None),
        ("http://{slug}.localhost:8000", "blog.localhost.evil.example", None),
        ("http://{slug}.localhost:8000", "bloglocalhost", None),
        ("https://{slug}.sites.example.com", "blog.sites.example.com", "blog"),
        ("https://{slug}.sites.example.com", "blogsites.example.com", None),
        ("https://site-{slug}.Example.com/", "site-blog.example.com", "blog"),
        ("https://site-{slug}.example.com", "blog.example.com", None),
        ("https://{slug}-app.example.com", "-app.example.com", None),
    ],
)
def test_the_label_is_what_stands_in_the_place_of_the_slug(template: str, host: str, label: str | None) -> None:
    assert SiteNames(template).label_of(host) == label


@pytest.mark.parametrize(
    "template", ["", "http://localhost:8000", "http://{slug}.{slug}.localhost", "http://x/{slug}", "http://{slug}_.a b"]
)
def test_a_template_that_names_no_site_is_a_wrong_configuration(template: str) -> None:
    with pytest.raises(ConfigError):
        SiteNames(template)


def test_addresses_are_told_from_names() -> None:
    assert [is_address(host) for host in ("[::1]", "127.0.0.1", "1.2.3", "a.b1", "localhost")] == [
        True,
        True,
        True,
        False,
        False,
    ]
