"""Checks of the configuration that types cannot express."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from urllib.parse import urlsplit

from builder.protocol.calls import Isolation
from builder.protocol.giturls import check_allowed_hosts
from gateway.config.sections import Clickhouse, Config
from gateway.errors import ConfigError

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_HOST = r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
LEAST_POOL = 4
LEAST_MEMORY_BYTES = 128 * 1024**2
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
ISOLATIONS = ("auto", Isolation.STRONG, Isolation.BASIC, Isolation.ACCOUNT, Isolation.NONE)


def check_config(config: Config) -> None:
    """Raises ConfigError with a sentence that names the setting."""
    _demand(bool(config.data.directory.strip()), "data.directory: name the folder, such as buildspace-data.")
    for name, port in (("sites", config.sites.port), ("api", config.api.port), ("builders", config.builders.port)):
        _demand(0 <= port <= 65535, f"{name}.port: a port is from 0 to 65535, not {port}.")
    for name, hosts in (("sites", config.sites.host), ("api", config.api.host), ("builders", [config.builders.host])):
        _demand(bool(hosts), f"{name}.host: name at least one address to listen on.")
        for host in hosts:
            _demand(
                _is_address(host), f"{name}.host: expected an IP address such as 127.0.0.1 or 0.0.0.0, not {host!r}."
            )
    _check_sites_url(config.sites.url)
    _demand(
        not config.api.url or _is_origin(config.api.url),
        "api.url: expected an address without a path, such as https://deploy.example.com,"
        f" not {_shown(config.api.url)}.",
    )
    for name, networks in (("sites", config.sites.trusted_proxies), ("api", config.api.trusted_proxies)):
        for network in networks:
            _demand(
                _is_network(network),
                f"{name}.trusted_proxies: expected addresses or networks such as 10.0.0.7 or 10.0.0.0/8,"
                f" not {network!r}.",
            )
    for origin in config.api.cors_origins:
        _demand(
            _is_origin(origin), f"api.cors_origins: expected origins such as https://app.example.com, not {origin!r}."
        )
    _one_of("builder.isolation", config.builder.isolation, ISOLATIONS)
    _demand(
        config.builder.memory_bytes >= LEAST_MEMORY_BYTES,
        f"builder.memory_bytes: Node and npm do not run with less than {LEAST_MEMORY_BYTES} (128 MiB), and most builds"
        f" need 512 MiB; not {config.builder.memory_bytes}.",
    )
    token = config.auth.token.reveal()
    _demand(not token or len(token) >= 16, "auth.token: a token has at least 16 characters.")
    _demand(token.isascii() and token.isprintable() and " " not in token, "auth.token: printable ASCII without spaces.")
    try:
        check_allowed_hosts(config.builder.allow_private_hosts)
    except ValueError as error:
        entries = _shown(", ".join(config.builder.allow_private_hosts))
        raise ConfigError(
            "builder.allow_private_hosts: expected hosts, addresses or networks, each with or without a port, such as"
            f" git.example.com, 10.0.0.7:8443 or 10.0.0.0/8, not {entries}."
        ) from error
    for place in dataclasses.fields(config):
        section = getattr(config, place.name)
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if type(value) in (int, float) and field.name != "port":
                _demand(value > 0, f"{place.name}.{field.name}: expected more than 0, not {value}.")
    _check_engines(config)


def _check_engines(config: Config) -> None:
    _demand(
        config.postgres.pool_size >= LEAST_POOL,
        f"postgres.pool_size: at least {LEAST_POOL}, as half of it waits for locks; not {config.postgres.pool_size}.",
    )
    _check_clickhouse(config.clickhouse)
    for broker in config.kafka.brokers:
        _demand(
            re.fullmatch(rf"{_HOST}(:[0-9]{{1,5}})?", broker, re.ASCII) is not None,
            "kafka.brokers (KAFKA_BROKERS): expected host and port, such as kafka.example.com:9092,"
            f" not {_shown(broker)}.",
        )
    for name, topic in (
        ("kafka.topic (KAFKA_TOPIC)", config.kafka.topic),
        ("kafka.dead_letter_topic", config.kafka.dead_letter_topic),
    ):
        _demand(
            re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) is not None,
            f"{name}: a topic name has letters, digits, dots, _ and - only, not {topic!r}.",
        )
    _one_of("s3.addressing", config.s3.addressing, ("auto", "path", "virtual"))
    _check_endpoint("s3.endpoint", config.s3.endpoint, "https://minio.example.com")
    _one_of("kafka.security_protocol", config.kafka.security_protocol, SECURITY_PROTOCOLS)
    _one_of("kafka.sasl_mechanism", config.kafka.sasl_mechanism, SASL_MECHANISMS)
    _demand(
        "SASL" not in config.kafka.security_protocol or bool(config.kafka.username and config.kafka.password),
        f"kafka.username, kafka.password: {config.kafka.security_protocol} needs both.",
    )
    _demand(
        bool(config.kafka.builder_username) == bool(config.kafka.builder_password),
        "kafka.builder_username, kafka.builder_password: set both, or neither for builders with the gateway's account.",
    )
    for name, key_id, secret in (
        ("s3", config.s3.access_key_id, config.s3.secret_access_key),
        ("ecs", config.ecs.access_key_id, config.ecs.secret_access_key),
    ):
        _demand(
            bool(key_id) == bool(secret),
            f"{name}.access_key_id, {name}.secret_access_key: set both, or neither for the default chain of AWS.",
        )
    _demand(
        bool(config.ecs.cluster) == bool(config.ecs.task_definition),
        "ecs.cluster (CLUSTER_ARN), ecs.task_definition (TASK_ARN): set both for builders on ECS, or neither.",
    )
    _demand(
        not (config.ecs.cluster and config.docker.image),
        "docker.image, ecs.cluster: builders run in one of the two, so set one of them.",
    )
    _demand(
        not config.ecs.cluster or bool(config.ecs.subnets),
        'ecs.subnets: name the subnets in which the tasks run, such as ["subnet-0abc"].',
    )
    _demand(
        not config.ecs.cluster or bool(config.ecs.security_groups),
        'ecs.security_groups: name the group of the tasks, such as ["sg-0abc"]: without one they are in the default'
        " group of the VPC, with everything else there.",
    )
    _demand("@" not in config.docker.host, "docker.host: expected an address without a user and a password.")
    _check_endpoint("secrets.kms_endpoint", config.secrets.kms_endpoint, "https://kms.eu-central-1.amazonaws.com")
    _check_endpoint("ecs.endpoint", config.ecs.endpoint, "https://ecs.eu-central-1.amazonaws.com")
    _check_endpoint("builders.url", config.builders.url, "http://10.0.0.5:9001")
    _demand(
        not config.has_builders_elsewhere or bool(config.builders.url),
        "builders.url: builders elsewhere need the address of the builders' API, such as http://10.0.0.5:9001.",
    )


def _check_clickhouse(clickhouse: Clickhouse) -> None:
    _demand(
        not clickhouse.host or _is_clickhouse_host(clickhouse.host),
        "clickhouse.host (CLICKHOUSE_HOST): expected a host such as clickhouse.example.com or http://clickhouse:8123,"
        " without a user or path. The port of the native protocol goes into clickhouse.port.",
    )
    _demand(
        0 <= clickhouse.port <= 65535,
        f"clickhouse.port: a port is from 1 to 65535, or 0 for the usual one, not {clickhouse.port}.",
    )
    _demand(
        re.fullmatch(r"[A-Za-z0-9_-]+", clickhouse.database) is not None,
        f"clickhouse.database: a name has letters, digits, _ and - only, not {clickhouse.database!r}.",
    )


def _is_clickhouse_host(host: str) -> bool:
    """A bare host, or the URL of the HTTP interface with or without its port."""
    return _is_address(host) or re.fullmatch(rf"{_HOST}|https?://{_HOST}(:[0-9]+)?/?", host, re.ASCII) is not None


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    _demand(value in known, f"{name}: expected one of {', '.join(known)}, not {value!r}.")


def _is_origin(url: str) -> bool:
    return re.fullmatch(rf"https?://{_HOST}(:[0-9]{{1,5}})?", url, re.ASCII) is not None


def _check_endpoint(name: str, url: str, example: str) -> None:
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        parts.port  # noqa: B018 - a wrong port raises here
    except ValueError:
        well_formed = False
    _demand(not url or well_formed, f"{name}: expected an address such as {example}, without a user and a password.")


def _check_sites_url(url: str) -> None:
    example = 'expected an address with {slug} as its first label, such as "http://{slug}.localhost:8000"'
    try:
        parts = urlsplit(url.replace("{slug}", "slug"))
        well_formed = parts.scheme in ("http", "https") and (parts.hostname or "").startswith("slug.")
        parts.port  # noqa: B018 - a wrong port raises here
    except ValueError:
        well_formed = False
    _demand(
        well_formed and url.count("{slug}") == 1 and parts.path in ("", "/") and not parts.query and "@" not in url,
        f"sites.url: {example}, not {_shown(url)}.",
    )


def _shown(text: str) -> str:
    """The value as an error may show it. A value in the wrong place may hold a password."""
    return repr(text) if "@" not in text else "one with a user or a password"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _demand(is_so: bool, sentence: str) -> None:
    if not is_so:
        raise ConfigError(sentence)
