"""Checks that the source of a copy exists."""

from __future__ import annotations

from gateway.config import Config
from gateway.engines.databases import embedded_folder
from gateway.engines.opening import objects_folder
from gateway.errors import ConfigError


def check_source(what: str, old: Config) -> None:
    """Raises ConfigError if there is no such engine: opening it would create an empty one."""
    folder, setting = (
        (objects_folder(old), "s3.bucket") if what == "objects" else (embedded_folder(old), "postgres.url")
    )
    if folder is None or folder.is_dir():
        return
    raise ConfigError(
        f"There is no folder {folder.name} of a gateway in {old.data_directory}. In the file after --from, set"
        f" data.directory to its data directory, or {setting} if it was elsewhere."
    )
