"""The configuration: read once, checked whole, passed on as frozen values."""

from __future__ import annotations

from gateway.config.loading import ENVIRONMENT_NAMES, load_config
from gateway.config.secret import Secret
from gateway.config.sections import (
    S3,
    Api,
    Auth,
    Builder,
    Builders,
    Clickhouse,
    Config,
    Data,
    Docker,
    Ecs,
    Kafka,
    Postgres,
    Retention,
    Secrets,
    Sites,
    Storage,
)

__all__ = [
    "ENVIRONMENT_NAMES",
    "load_config",
    "Secret",
    "Config",
    "Data",
    "Sites",
    "Api",
    "Auth",
    "Secrets",
    "Builders",
    "Builder",
    "Postgres",
    "Storage",
    "S3",
    "Kafka",
    "Clickhouse",
    "Docker",
    "Ecs",
    "Retention",
]
