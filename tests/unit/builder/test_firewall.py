"""The rules of the wall around the builders' network, as text; tests/docker tries them."""

from __future__ import annotations

import socket

import pytest

from builder.firewall import main, make_rules, name_servers_of, reach

API = "http://192.0.2.7:9001"


def rules(private_hosts: list[str] | None = None, servers: list[str] | None = None, api: str = API) -> str:
    return make_rules("bs-0123", api, private_hosts or [], servers or [])


def test_the_rules_are_replaced_in_one_piece_and_the_known_apis_stay() -> None:
    lines = rules().splitlines()
    assert lines.index("flush table inet buildspace-bs-0123") < lines.index("table inet buildspace-bs-0123 {")
    assert not [line for line in lines if line.startswith("delete table")]


def test_the_builders_api_is_open_at_its_port_alone_and_by_the_address_that_was_asked_for() -> None:
    assert "add element inet buildspace-bs-0123 apis { 192.0.2.7 . 9001 }" in rules()
    assert "apis { 192.0.2.7 . 443 }" in rules(api="https://192.0.2.7")
    assert "ct original ip daddr . ct original proto-dst @apis accept" in rules()


def test_private_networks_are_closed_and_what_the_operator_opened_is_open() -> None:
    found = rules(["10.1.2.3:8443", "192.168.5.0/24", "127.0.0.1"])
    assert "ip daddr 10.1.2.3/32 tcp dport 8443 accept" in found
    assert "ip daddr 192.168.5.0/24 accept" in found
    assert "127.0.0.1/32" not in found
    (closed,) = [line for line in found.splitlines() if line.strip().startswith("ip daddr {")]
    assert all(network in closed for network in ("10.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10", "172.16.0.0/12"))


def test_name_servers_are_open_for_names_alone() -> None:
    assert "ip daddr 10.0.0.53 meta l4proto { tcp, udp } th dport 53 accept" in rules(servers=["10.0.0.53"])


@pytest.mark.parametrize("bridge", ["", "bs 0", 'bs"0', "a-name-of-sixteen", "bs\n0"])
def test_a_name_that_is_no_bridge_makes_no_rules(bridge: str) -> None:
    with pytest.raises(ValueError, match="not the name of a bridge"):
        make_rules(bridge, API, [], [])


def test_name_servers_on_loopback_are_the_engines_own() -> None:
    text = "# names\nnameserver 127.0.0.53\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver odd\nsearch a\n"
    assert name_servers_of(text) == ["10.0.0.53", "fe80::1"]


def test_what_answers_is_reached_and_what_does_not_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        here, there = (f"127.0.0.1:{each.getsockname()[1]}" for each in (server, closed))
        assert reach([here, there]) == [here]


def test_other_words_are_answered_with_the_right_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", "everything"]) == 2
    assert capsys.readouterr().out.startswith("usage:")
