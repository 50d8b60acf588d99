"""Checks that the source of a copy exists."""

from __future__ import annotations

from gateway.config import Config
from gateway.errors import ConfigError


def check_source(what: str, old: Config) -> None:
    """Raises ConfigError if there is no such engine: opening it would create an empty one."""
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
