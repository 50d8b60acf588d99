"""Finds the files that are shipped beside the code: in the wheel under `_data`, in a checkout at its root."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path

from gateway.errors import ConfigError


def find_resource(name: str) -> Traversable:
    """The path of `config.toml`, `sql/postgres` and the like. Raises ConfigError if it is not installed."""
    packaged = importlib.resources.files("gateway") / "_data"
    checkout = Path(__file__).resolve().parents[2]
    for root in (packaged, checkout):
        found = root.joinpath(*name.split("/"))
        if found.is_file() or found.is_dir():
            return found
    raise ConfigError(f"{name} is missing: the installation is not complete. Install Buildspace again.")


def migrations_folder() -> Traversable:
    return find_resource("sql/postgres")


def clickhouse_migrations_folder() -> Traversable:
    return find_resource("sql/clickhouse")


def default_config() -> Traversable:
    return find_resource("config.toml")


def version() -> str:
    try:
        return importlib.metadata.version("buildspace")
    except importlib.metadata.PackageNotFoundError:
        return "0"
