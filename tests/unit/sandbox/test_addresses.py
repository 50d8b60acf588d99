"""What a strong sandbox may reach."""

from __future__ import annotations

import socket

import pytest

from builder.sandbox import addresses
from builder.sandbox.addresses import NAME_SERVERS, find_reach, networks_of, plan_name_server, port_of


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


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nameserver 10.0.0.53\nnameserver fd00::53%eth0\n", 4),
        ("nameserver 127.0.0.53\n", 4),
        ("nameserver fe80::1%eth0\nnameserver fd00::53\n", 6),
        ("", 4),
        ("nameserver\n", 4),
        ("nameserver nonsense\n", 4),
    ],
)
def test_builds_ask_an_address_that_stands_for_the_machines_name_server(text: str, version: int) -> None:
    assert plan_name_server(text) == (f"nameserver {NAME_SERVERS[version]}\n", NAME_SERVERS[version])


def test_the_rest_of_resolv_conf_is_kept() -> None:
    text, _ = plan_name_server("search lan\nnameserver 10.0.0.53\noptions edns0\n")
    assert text == f"search lan\noptions edns0\nnameserver {NAME_SERVERS[4]}\n"


def test_no_name_server_has_a_route() -> None:
    reach = find_reach([])
    assert (reach.allowed, "169.254.0.0/16" in reach.denied, "fc00::/7" in reach.denied) == ([], True, True)


def test_the_machines_own_addresses_are_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: ["198.51.100.7", "198.51.100.7"])
    assert find_reach([]).denied.count("198.51.100.7/32") == 1


def test_what_was_allowed_as_a_whole_is_not_denied() -> None:
    reach = find_reach(["10.0.0.0/8"])
    assert "10.0.0.0/8" in reach.allowed
    assert "10.0.0.0/8" not in reach.unreachable
    assert "192.168.0.0/16" in reach.unreachable


def test_a_port_that_was_allowed_stays_with_its_network() -> None:
    reach = find_reach(["10.1.2.3:8443", "fd00::7"])
    assert reach.allowed == ["10.1.2.3/32#8443", "fd00::7/128"]
