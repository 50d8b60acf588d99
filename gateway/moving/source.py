"""Whether there is anything where a copy is to come from: a command in the wrong folder would find nothing."""

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
