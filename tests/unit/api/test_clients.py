"""The client's address: the peer's, or what trusted proxies say of it, read from the right."""

import pytest

from gateway.wire.clients import TrustedProxies, group_of

PROXIES = TrustedProxies(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7,10.0.0.9"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["nonsense, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.9"], "10.0.0.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fd00::1", ["203.0.113.7"], "203.0.113.7"),
        ("unknown", ["203.0.113.7"], "unknown"),
    ],
)
def test_the_word_of_trusted_proxies_counts_from_the_right(peer, forwarded, client):
    assert PROXIES.find_client(peer, forwarded) == client


def test_without_trusted_proxies_the_peer_is_the_client():
    assert TrustedProxies().find_client("10.0.0.1", ["203.0.113.7"]) == "10.0.0.1"


def test_a_header_without_end_costs_a_bounded_search():
    assert PROXIES.find_client("10.0.0.1", [",".join(["10.0.0.2"] * 2_000)]) == "10.0.0.2"


@pytest.mark.parametrize(
    ("client", "group"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), ("unknown", "unknown")],
)
def test_a_limit_counts_a_whole_ipv6_network_as_one_client(client, group):
    assert group_of(client) == group
