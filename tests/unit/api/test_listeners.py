"""Ports: taken whole or not at all, and a sentence names what to change."""

import socket

import pytest

from gateway.app import other_port
from gateway.errors import ConfigError
from gateway.models.addresses import is_loopback_address
from gateway.wire.listeners import bound_sockets, port_of, url_of


def take(section, hosts, port):
    with bound_sockets(section, hosts, port):
        pass


def test_a_taken_port_is_named_with_its_setting():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} is taken on 127\.0\.0\.1 .* set sites\.port"):
            take("sites", ["127.0.0.1"], port)


def test_what_was_taken_before_is_given_back():
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError), bound_sockets("api", ["127.0.0.1", "127.0.0.2"], port):
            pass
        with bound_sockets("api", ["127.0.0.1"], port) as sockets:
            assert port_of(sockets) == port


def test_any_port_is_the_same_on_all_addresses():
    with bound_sockets("api", ["127.0.0.1", "::1"], 0) as sockets:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert url_of(sockets[0]) == f"http://127.0.0.1:{port_of(sockets)}"


def test_an_address_of_another_machine_is_named():
    with pytest.raises(ConfigError, match=r"api\.host: this machine has no address 203\.0\.113\.1"):
        take("api", ["203.0.113.1"], 0)


def test_a_machine_without_ipv6_is_served_on_the_rest():
    with bound_sockets("api", ["127.0.0.1", "2001:db8::1"], 0) as sockets:
        assert len(sockets) == 1


@pytest.mark.parametrize("text", ["127.0.0.1", "127.255.0.9", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_loopback_addresses(text):
    assert is_loopback_address(text)


@pytest.mark.parametrize(
    "text", ["localhost", "128.0.0.1", "::", "0.0.0.0", "::ffff:8.8.8.8", "", "127.1", "127.0.0.1.example"]
)
def test_other_addresses(text):
    assert not is_loopback_address(text)


def test_addresses_of_sites_that_lead_to_another_port_are_noticed():
    assert other_port("http://{slug}.localhost:8000", 8080) == [
        "Warning: sites.url names port 8000, but sites are served on port 8080."
    ]


@pytest.mark.parametrize(
    "url", ["http://{slug}.localhost:8080", "https://{slug}.example.com", "http://{slug}.x.net:80"]
)
def test_addresses_that_fit_or_are_a_proxys_business_are_not(url):
    assert other_port(url, 8080) == []
