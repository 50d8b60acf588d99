"""Reads the configuration once, checks it whole, hands it on as frozen values."""

from __future__ import annotations

import dataclasses
import hmac
from pathlib import Path

ENVIRONMENT_NAMES = {"DATABASE_URL": ("postgres", "url")}
"""Names that people know. Every other setting is BUILDSPACE_<SECTION>_<KEY>."""


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
    retention: Retention = dataclasses.field(default_factory=Retention)

    @property
    def data_directory(self) -> Path:
        return Path(self.data.directory).absolute()

    @property
    def builders_url(self) -> str:
        host = f"[{self.builders.host}]" if ":" in self.builders.host else self.builders.host
        return self.builders.url or f"http://{host}:{self.builders.port}"
