"""How the address of ClickHouse may be written, and what is taken from it."""

from pathlib import Path

import pytest

from gateway.config import load_config
from gateway.errors import ConfigError


def clickhouse(**environment):
    return load_config(None, environment).clickhouse


@pytest.mark.parametrize(
    ("host", "server", "address"),
    [
        ("logs.example.com", "logs.example.com", "logs.example.com:9000"),
        ("10.0.0.7", "10.0.0.7", "10.0.0.7:9000"),
        ("http://logs.example.com:8123", "logs.example.com", "logs.example.com:9000"),
        ("http://logs.example.com/", "logs.example.com", "logs.example.com:9000"),
        ("https://logs.example.com:8443", "logs.example.com", "logs.example.com:9440"),
        ("https://[::1]", "::1", "[::1]:9440"),
        ("::1", "::1", "[::1]:9000"),
        ("[::1]", "::1", "[::1]:9000"),
        ("http://[::1]:8123", "::1", "[::1]:9000"),
    ],
)
def test_the_name_is_taken_and_the_port_is_that_of_the_native_protocol(host, server, address):
    settings = clickhouse(CLICKHOUSE_HOST=host)
    assert (settings.server, settings.address) == (server, address)


@pytest.mark.parametrize(
    "host",
    [
        "logs.example.com:9000",
        "tcp://logs.example.com",
        "http://user:secret@logs.example.com",
        "http://logs.example.com/path",
        "http://logs.example.com?database=x",
        "http://",
        "logs example",
        "logs.example.com\n",
    ],
)
def test_any_other_address_is_refused_and_the_sentence_names_the_port_setting(host):
    with pytest.raises(ConfigError, match=r"clickhouse\.host .*clickhouse\.port\.$") as refused:
        clickhouse(CLICKHOUSE_HOST=host)
    assert "secret" not in refused.value.sentence


def test_https_means_tls_and_http_does_not_take_it_away():
    assert clickhouse(CLICKHOUSE_HOST="https://logs").uses_tls
    assert clickhouse(CLICKHOUSE_HOST="http://logs", BUILDSPACE_CLICKHOUSE_IS_TLS="true").uses_tls
    assert not clickhouse(CLICKHOUSE_HOST="http://logs").uses_tls


def test_tls_without_a_url_has_its_usual_port_too():
    assert clickhouse(CLICKHOUSE_HOST="logs", BUILDSPACE_CLICKHOUSE_IS_TLS="true").address == "logs:9440"


@pytest.mark.parametrize("port", ["9000", "9001"])
def test_a_port_that_is_set_is_used_whatever_the_url_says(port):
    assert clickhouse(CLICKHOUSE_HOST="https://logs", BUILDSPACE_CLICKHOUSE_PORT=port).address == f"logs:{port}"


def test_the_shipped_file_leaves_the_choice_of_the_port_open():
    shipped = Path(__file__).parents[2] / "config.toml"
    assert load_config(shipped, {"CLICKHOUSE_HOST": "https://logs"}).clickhouse.address == "logs:9440"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BUILDSPACE_CLICKHOUSE_PORT", "65536", r"clickhouse\.port"),
        ("CLICKHOUSE_DATABASE", "logs`; DROP", r"clickhouse\.database"),
        ("CLICKHOUSE_DATABASE", "", r"clickhouse\.database"),
    ],
)
def test_a_wrong_port_or_database_is_refused(name, value, words):
    with pytest.raises(ConfigError, match=words):
        clickhouse(**{name: value})
