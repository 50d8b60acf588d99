"""What a strong sandbox may reach."""

from __future__ import annotations

import socket

import pytest

from builder.sandbox import addresses
from builder.sandbox.addresses import FORWARDED_NAME_SERVER, find_reach, networks_of, plan_name_servers, port_of


@pytest.mark.parametrize(
    ("entry", "port"),
    [
        ("registry.example", None),
        ("registry.example:4873", 4873),
        ("10.0.0.1:80", 80),
        ("10.0.0.0/8", None),
        ("fd00::1", None),
        ("[fd00::1]:8443", 8443),
        ("[fd00::1]", None),
    ],
)
def test_an_entry_may_name_a_port(entry: str, port: int | None) -> None:
    assert port_of(entry) == port


@pytest.mark.parametrize(
    ("entry", "network"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.1.2.3:8443", "10.1.2.3/32"),
        ("10.1.2.3/24", "10.1.2.0/24"),
        ("fd00::1", "fd00::1/128"),
        ("[fd00::1]:8443", "fd00::1/128"),
    ],
)
def test_an_entry_means_a_network(entry: str, network: str) -> None:
    assert [str(each) for each in networks_of([entry])] == [network]


def test_a_name_means_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.9.8.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **options: found if host == "git.lan" else [])
    assert [str(each) for each in networks_of(["git.lan:8443"])] == ["10.9.8.7/32"]


def test_a_name_that_nobody_knows_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert [*networks_of(["no.such.host"])] == []


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "::1", "localhost:8080"])
def test_loopback_is_never_opened(entry: str) -> None:
    assert [*networks_of([entry])] == []


def test_name_servers_are_kept() -> None:
    text, servers, is_forwarded = plan_name_servers("search lan\nnameserver 10.0.0.53\nnameserver fd00::53%eth0\n")
    assert text == "search lan\nnameserver 10.0.0.53\nnameserver fd00::53\n"
    assert (servers, is_forwarded) == (["10.0.0.53", "fd00::53"], False)


def test_a_name_server_on_loopback_is_forwarded() -> None:
    text, servers, is_forwarded = plan_name_servers("nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    assert text == f"options edns0 trust-ad\nnameserver {FORWARDED_NAME_SERVER}\n"
    assert (servers, is_forwarded) == ([FORWARDED_NAME_SERVER], True)


@pytest.mark.parametrize("text", ["", "nameserver\n", "nameserver nonsense\n"])
def test_without_a_name_server_the_machines_own_is_asked(text: str) -> None:
    assert plan_name_servers(text)[1:] == ([FORWARDED_NAME_SERVER], True)


def test_the_machines_own_addresses_are_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: ["198.51.100.7", "198.51.100.7"])
    assert find_reach([]).denied.count("198.51.100.7/32") == 1


def test_what_was_allowed_as_a_whole_is_not_denied() -> None:
    reach = find_reach(["10.0.0.0/8"])
    assert "10.0.0.0/8" in reach.allowed
    assert "10.0.0.0/8" not in reach.denied
    assert "192.168.0.0/16" in reach.denied
