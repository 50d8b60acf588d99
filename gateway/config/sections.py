"""The settings, a section each as in config.toml, with their defaults."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.secret import Secret
from gateway.models.addresses import is_loopback_address


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
    trusted_proxies: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    host: list[str] = dataclasses.field(default_factory=lambda: ["127.0.0.1", "::1"])
    port: int = 9000
    url: str = ""
    names: list[str] = dataclasses.field(default_factory=list)
    cors_origins: list[str] = dataclasses.field(default_factory=list)
    trusted_proxies: list[str] = dataclasses.field(default_factory=list)
    body_bytes: int = 64 * 1024

    @property
    def own_names(self) -> list[str]:
        """The host names that mean the API, in lower case and without a trailing dot."""
        return [name.lower().removesuffix(".") for name in (*self.names, urlsplit(self.url).hostname) if name]


@dataclasses.dataclass(frozen=True, slots=True)
class Auth:
    token: Secret = Secret("")


@dataclasses.dataclass(frozen=True, slots=True)
class Secrets:
    key: Secret = Secret("")
    kms_key: str = ""
    kms_region: str = ""
    kms_endpoint: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Builders:
    host: str = "127.0.0.1"
    port: int = 9001
    url: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Builder:
    isolation: str = "auto"
    concurrency: int = 2
    queue_length: int = 200
    time_limit_seconds: int = 900
    memory_bytes: int = 4 * 1024**3
    processes: int = 512
    disk_bytes: int = 4 * 1024**3
    log_bytes: int = 32 * 1024**2
    output_files: int = 50_000
    output_bytes: int = 2 * 1024**3
    file_bytes: int = 1024**3
    attempts: int = 3
    node_cache_bytes: int = 2 * 1024**3
    cache_bytes: int = 8 * 1024**3
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
    port: int = 0
    user: str = "default"
    password: Secret = Secret("")
    database: str = "default"
    is_tls: bool = False
    ca_file: str = ""
    connections: int = 4

    @property
    def server(self) -> str:
        """The server's name alone. `host` may be the URL of its HTTP interface."""
        return (urlsplit(self.host).hostname or "") if "://" in self.host else self.host.strip("[]")

    @property
    def uses_tls(self) -> bool:
        """An https URL as `host` means TLS, even if `is_tls` is not set."""
        return self.is_tls or self.host.lower().startswith("https://")

    @property
    def native_port(self) -> int:
        return self.port or (9440 if self.uses_tls else 9000)

    @property
    def address(self) -> str:
        name = f"[{self.server}]" if ":" in self.server else self.server
        return f"{name}:{self.native_port}"


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
    secrets: Secrets = dataclasses.field(default_factory=Secrets)
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
        return Path(os.path.expanduser(self.data.directory)).absolute()

    @property
    def builders_socket(self) -> Path | None:
        """The Unix socket of the builders' API. None if it has a port: for builders on other machines or networks."""
        return None if self.builders.url else self.data_directory / "builders" / "socket"

    @property
    def builders_url(self) -> str:
        return self.builders.url or f"unix:{self.builders_socket}"

    @property
    def has_builders_elsewhere(self) -> bool:
        """Whether builders run in containers, not as processes of this machine."""
        return bool(self.docker.image or self.ecs.cluster)

    @property
    def is_loopback_only(self) -> bool:
        """True if the API cannot be reached from another machine."""
        return all(is_loopback_address(host) for host in self.api.host)
