"""Where a copy comes from and goes to: whether anything is there, and whether both are the same."""

from __future__ import annotations

from gateway.config import Config
from gateway.errors import ConfigError


def check_source(what: str, old: Config) -> None:
    """Raises ConfigError where an embedded engine would be made anew, only to be found empty."""
    if what == "objects":
        is_elsewhere, folder, setting = bool(old.s3.bucket), "objects", "s3.bucket"
    else:
        is_elsewhere, folder, setting = bool(old.postgres.url), "postgres", "postgres.url"
    if is_elsewhere or (old.data_directory / folder).is_dir():
        return
    raise ConfigError(
        f"There is no folder {folder} of a gateway in {old.data_directory}. In the file after --from, set"
        f" data.directory to its data directory, or {setting} if it was elsewhere."
    )


def database_of(config: Config) -> str:
    """The same for two configurations of one database. It may hold a password: compare it, never show it."""
    return config.postgres.url.reveal() or str(config.data_directory.resolve())


def log_store_of(config: Config) -> tuple[str, str]:
    """The same for two configurations of one log store. As above."""
    if config.clickhouse.host:
        return config.clickhouse.address, config.clickhouse.database
    return "PostgreSQL", database_of(config)
