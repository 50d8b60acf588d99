"""Reads the configuration once, checks it whole, hands it on as frozen values."""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from builder.protocol.giturls import check_allowed_hosts
from gateway.addresses import is_loopback_address
from gateway.errors import ConfigError

ENVIRONMENT_NAMES = {
    "DATABASE_URL": ("postgres", "url"),
    "KAFKA_BROKERS": ("kafka", "brokers"),
    "KAFKA_TOPIC": ("kafka", "topic"),
    "CLICKHOUSE_HOST": ("clickhouse", "host"),
    "CLICKHOUSE_USER": ("clickhouse", "user"),
    "CLICKHOUSE_PASSWORD": ("clickhouse", "password"),
    "CLICKHOUSE_DATABASE": ("clickhouse", "database"),
    "S3_BUCKET": ("s3", "bucket"),
    "S3_REGION": ("s3", "region"),
    "ACCESS_KEY_ID": ("s3", "access_key_id"),
    "SECRET_ACCESS_KEY_ID": ("s3", "secret_access_key"),
    "CLUSTER_ARN": ("ecs", "cluster"),
    "TASK_ARN": ("ecs", "task_definition"),
}
"""Names that people know. Every other setting is BUILDSPACE_<SECTION>_<KEY>."""
SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_HOST = r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])"
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class Secret:
    """Text that does not show itself: `repr`, `str` and logs see stars, `reveal` gives the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret()"

    def __str__(self) -> str:
        return "********" if self._value else ""

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        return self._value


@dataclasses.dataclass(frozen=True, slots=True)
class Data:
    directory: str = "buildspace-data"


@dataclasses.dataclass(frozen=True, slots=True)
class Sites:
    url: str = "http://{slug}.localhost:8000"
    host: list[str] = dataclasses.field(default_factory=lambda: ["127.0.0.1", "::1"])
    port: int = 8000
    cache_bytes: int = 128 * 1024 * 1024
    pointer_seconds: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    host: list[str] = dataclasses.field(default_factory=lambda: ["127.0.0.1", "::1"])
    port: int = 9000
    names: list[str] = dataclasses.field(default_factory=list)
    cors_origins: list[str] = dataclasses.field(default_factory=list)
    body_bytes: int = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Auth:
    token: Secret = Secret("")


@dataclasses.dataclass(frozen=True, slots=True)
class Builders:
    host: str = "127.0.0.1"
    port: int = 9001
    url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Builder:
    isolation: str = "auto"
    concurrency: int = 2
    time_limit_seconds: int = 900
    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    disk_bytes: int = 4 * 1024**3
    log_bytes: int = 32 * 1024**2
    output_files: int = 50_000
    output_bytes: int = 2 * 1024**3
    file_bytes: int = 1024**3
    attempts: int = 3
    allow_private_hosts: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Postgres:
    url: Secret = Secret("")
    bin_dir: str = ""
    pool_size: int = 10
    is_pooled: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    mirror_outputs: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class S3:
    bucket: str = ""
    region: str = "us-east-1"
    endpoint: str = ""
    addressing: str = "auto"
    access_key_id: str = ""
    secret_access_key: Secret = Secret("")
    connections: int = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Kafka:
    brokers: list[str] = dataclasses.field(default_factory=list)
    topic: str = "container-logs"
    group: str = "api-server-logs-consumer"
    dead_letter_topic: str = "container-logs-dead-letters"
    dead_letters_per_hour: int = 1000
    partitions: int = 6
    replication_factor: int = 1
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str = ""
    password: Secret = Secret("")
    builder_username: str = ""
    builder_password: Secret = Secret("")
    ca_file: str = ""
    accept_unsigned: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Clickhouse:
    host: str = ""
    port: int = 9000
    user: str = "default"
    password: Secret = Secret("")
    database: str = "default"
    is_tls: bool = False
    ca_file: str = ""
    connections: int = 4

    @property
    def server(self) -> str:
        """The name of the server alone: the host may be written as the URL of its HTTP interface."""
        return (urlsplit(self.host).hostname or "") if "://" in self.host else self.host.strip("[]")

    @property
    def uses_tls(self) -> bool:
        """Who writes https:// does not mean plain text."""
        return self.is_tls or self.host.lower().startswith("https://")

    @property
    def address(self) -> str:
        return f"[{self.server}]:{self.port}" if ":" in self.server else f"{self.server}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class Docker:
    image: str = ""
    host: str = "unix:///var/run/docker.sock"
    network: str = "buildspace-builders"
    cpus: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Ecs:
    cluster: str = ""
    task_definition: str = ""
    container: str = "builder"
    region: str = ""
    endpoint: str = ""
    subnets: list[str] = dataclasses.field(default_factory=list)
    security_groups: list[str] = dataclasses.field(default_factory=list)
    is_public: bool = False
    access_key_id: str = ""
    secret_access_key: Secret = Secret("")


@dataclasses.dataclass(frozen=True, slots=True)
class Retention:
    releases: int = 10
    replaced_days: int = 7
    log_days: int = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    data: Data = dataclasses.field(default_factory=Data)
    sites: Sites = dataclasses.field(default_factory=Sites)
    api: Api = dataclasses.field(default_factory=Api)
    auth: Auth = dataclasses.field(default_factory=Auth)
    builders: Builders = dataclasses.field(default_factory=Builders)
    builder: Builder = dataclasses.field(default_factory=Builder)
    postgres: Postgres = dataclasses.field(default_factory=Postgres)
    storage: Storage = dataclasses.field(default_factory=Storage)
    s3: S3 = dataclasses.field(default_factory=S3)
    kafka: Kafka = dataclasses.field(default_factory=Kafka)
    clickhouse: Clickhouse = dataclasses.field(default_factory=Clickhouse)
    docker: Docker = dataclasses.field(default_factory=Docker)
    ecs: Ecs = dataclasses.field(default_factory=Ecs)
    retention: Retention = dataclasses.field(default_factory=Retention)

    @property
    def data_directory(self) -> Path:
        return Path(self.data.directory).absolute()

    @property
    def builders_url(self) -> str:
        host = f"[{self.builders.host}]" if ":" in self.builders.host else self.builders.host
        return self.builders.url or f"http://{host}:{self.builders.port}"

    @property
    def has_builders_elsewhere(self) -> bool:
        """Whether builders run in containers, not as processes of this machine."""
        return bool(self.docker.image or self.ecs.cluster)

    @property
    def is_loopback_only(self) -> bool:
        """Whether nobody on another machine can reach the API."""
        return all(is_loopback_address(host) for host in self.api.host)


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The defaults, under the file, under the environment. Anything unknown or wrong raises ConfigError."""
    values: dict[str, dict[str, object]] = _read(path) if path is not None else {}
    sections = {
        field.name: typing.cast("type[typing.Any]", field.default_factory) for field in dataclasses.fields(Config)
    }
    for section, keys in values.items():
        if section not in sections or not isinstance(keys, dict):
            raise ConfigError(f"{section}: there is no such section; the sections are {', '.join(sections)}.")
        for key in keys:
            if key not in sections[section].__dataclass_fields__:
                known = ", ".join(sections[section].__dataclass_fields__)
                raise ConfigError(f"{section}.{key}: there is no such setting; {section} has {known}.")
    for name, text in environ.items():
        if (place := _place(name, sections)) is not None:
            section, key = place
            values.setdefault(section, {})[key] = _from_text(name, text, _type_of(sections[section], key))
    config = Config(**{name: _section(name, kind, values.get(name, {})) for name, kind in sections.items()})
    # The file that is shipped holds the default: that alone is no wish for its port.
    if "BUILDSPACE_SITES_URL" not in environ and config.sites.url == Sites().url:
        url = config.sites.url.replace(f":{Sites().port}", f":{config.sites.port}")
        config = dataclasses.replace(config, sites=dataclasses.replace(config.sites, url=url))
    _check(config)
    return config


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error


def _place(name: str, sections: Mapping[str, type[typing.Any]]) -> tuple[str, str] | None:
    """(section, key) that an environment variable sets; None: it is not ours."""
    if name in ENVIRONMENT_NAMES:
        return ENVIRONMENT_NAMES[name]
    if not name.startswith("BUILDSPACE_"):
        return None
    for section, kind in sections.items():
        key = name.removeprefix(f"BUILDSPACE_{section.upper()}_").lower()
        if name.startswith(f"BUILDSPACE_{section.upper()}_") and key in kind.__dataclass_fields__:
            return section, key
    raise ConfigError(f"{name}: there is no such setting; names are BUILDSPACE_<SECTION>_<KEY>, as in config.toml.")


def _type_of(section: type, key: str) -> object:
    return typing.get_type_hints(section)[key]


def _from_text(name: str, text: str, kind: object) -> object:
    if kind is int or kind is float:
        try:
            return typing.cast("Callable[[str], object]", kind)(text)
        except ValueError as error:
            raise ConfigError(f"{name}: expected {_word(kind)}, not {text!r}.") from error
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigError(f"{name}: expected {_word(kind)}, not {text!r}.")
        return text == "true"
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _section(name: str, kind: type, values: Mapping[str, object]) -> typing.Any:
    return kind(**{key: _value(f"{name}.{key}", value, _type_of(kind, key)) for key, value in values.items()})


def _value(name: str, value: object, kind: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == list[str] and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ConfigError(f"{name}: expected {_word(kind)}, not {'...' if kind is Secret else repr(value)}.")


def _word(kind: object) -> str:
    if kind == list[str]:
        return "a list of texts"
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(typing.cast("type", kind), "text")


def _check(config: Config) -> None:
    """What types cannot say."""
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
    for origin in config.api.cors_origins:
        _demand(
            urlsplit(origin).scheme in ("http", "https")
            and origin == f"{urlsplit(origin).scheme}://{urlsplit(origin).netloc}",
            f"api.cors_origins: expected origins such as https://app.example.com, not {origin!r}.",
        )
    _one_of("builder.isolation", config.builder.isolation, ("auto", "strong", "basic", "none"))
    token = config.auth.token.reveal()
    _demand(not token or len(token) >= 16, "auth.token: a token has at least 16 characters.")
    _demand(token.isascii() and token.isprintable() and " " not in token, "auth.token: printable ASCII without spaces.")
    try:
        check_allowed_hosts(config.builder.allow_private_hosts)
    except ValueError as error:
        raise ConfigError(f"builder.allow_private_hosts: {error}") from error
    for place in dataclasses.fields(config):
        section = getattr(config, place.name)
        for field in dataclasses.fields(section):
            value = getattr(section, field.name)
            if type(value) in (int, float) and field.name != "port":
                _demand(value > 0, f"{place.name}.{field.name}: expected more than 0, not {value}.")
    _check_engines(config)


def _check_engines(config: Config) -> None:
    _check_clickhouse(config.clickhouse)
    for broker in config.kafka.brokers:
        _demand(
            re.fullmatch(rf"{_HOST}(:[0-9]{{1,5}})?", broker, re.ASCII) is not None,
            f"kafka.brokers (KAFKA_BROKERS): expected host and port, such as kafka.example.com:9092, not {broker!r}.",
        )
    _one_of("s3.addressing", config.s3.addressing, ("auto", "path", "virtual"))
    _check_endpoint("s3.endpoint", config.s3.endpoint, "https://minio.example.com")
    _one_of("kafka.security_protocol", config.kafka.security_protocol, SECURITY_PROTOCOLS)
    _one_of("kafka.sasl_mechanism", config.kafka.sasl_mechanism, SASL_MECHANISMS)
    _demand(
        "SASL" not in config.kafka.security_protocol or bool(config.kafka.username and config.kafka.password),
        f"kafka.username, kafka.password: {config.kafka.security_protocol} needs both.",
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
        " group of the VPC, with whatever else is there.",
    )
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
    _demand(1 <= clickhouse.port <= 65535, f"clickhouse.port: a port is from 1 to 65535, not {clickhouse.port}.")
    _demand(
        re.fullmatch(r"[A-Za-z0-9_-]+", clickhouse.database) is not None,
        f"clickhouse.database: a name is of letters, digits, _ and -, not {clickhouse.database!r}.",
    )


def _is_clickhouse_host(host: str) -> bool:
    """A bare host, or the URL of the HTTP interface with or without its port."""
    return _is_address(host) or re.fullmatch(rf"{_HOST}|https?://{_HOST}(:[0-9]+)?/?", host, re.ASCII) is not None


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    _demand(value in known, f"{name}: expected one of {', '.join(known)}, not {value!r}.")


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
        well_formed and url.count("{slug}") == 1 and parts.path in ("", "/") and not parts.query,
        f"sites.url: {example}, not {url!r}.",
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _demand(is_so: bool, sentence: str) -> None:
    if not is_so:
        raise ConfigError(sentence)
