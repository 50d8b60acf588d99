"""Finds the configuration: the file that is named, else the one of this folder, else the one that is shipped."""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path

from gateway.config import Config, load_config
from gateway.resources import default_config


def read_config(path: Path | None) -> Config:
    """That file under this process's environment. Raises ConfigError."""
    own = Path("config.toml")
    if path is not None or own.is_file():
        return load_config(path or own, os.environ)
    with importlib.resources.as_file(default_config()) as shipped:
        return load_config(shipped, os.environ)
