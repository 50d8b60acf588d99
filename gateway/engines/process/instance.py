"""The name of this gateway among those that share a database: random, kept in its data directory."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from gateway.errors import ConfigError

FILE = "instance"
_NAME = re.compile(r"[0-9a-f]{16}\Z")


def instance_name(data_directory: Path) -> str:
    """The same after each start, whatever the machine's name. Created at the first start.

    Call it while holding the data directory. Raises ConfigError for a damaged file: with a new name the gateway would
    not recognise its running builders.
    """
    path = data_directory / FILE
    try:
        return _read(path)
    except FileNotFoundError:
        _write(path, secrets.token_hex(8))
    return _read(path)


def _read(path: Path) -> str:
    name = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _NAME.match(name):
        raise ConfigError(f"{path} is damaged: remove it; running builds are restarted after a minute.")
    return name


def _write(path: Path, name: str) -> None:
    """Whole or not at all, even if the machine fails now."""
    new = path.with_name(f".{path.name}-{name}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, f"{name}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    new.rename(path)
