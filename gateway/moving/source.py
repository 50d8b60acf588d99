"""Where a copy comes from and goes to: whether anything is there, and whether both are the same."""

from __future__ import annotations

from gateway.config import Config
from gateway.errors import ConfigError


def check_source(what: str, old: Config) -> None:
    """Raises ConfigError where an embedded engine would be made anew, only to be found empty."""
    is_elsewhere, folder = (old.s3.bucket, "objects") if what == "objects" else (old.postgres.url, "postgres")
    if is_elsewhere or (old.data_directory / folder).is_dir():
        return
    setting = "s3.bucket" if what == "objects" else "postgres.url"
    raise ConfigError(
        f"No gateway has kept its {'objects' if what == 'objects' else 'database'} in {old.data_directory}. In the file"
        f" after --from, set data.directory to its data directory, or {setting} if it was elsewhere."
    )


def database_of(config: Config) -> str:
    """The same for two configurations of one database. It may hold a password: compare it, never show it."""
    return config.postgres.url.reveal() or str(config.data_directory.resolve())


def log_store_of(config: Config) -> tuple[str, str]:
    """The same for two configurations of one log store. As above."""
    if config.clickhouse.host:
        return config.clickhouse.address, config.clickhouse.database
    return "PostgreSQL", database_of(config)
