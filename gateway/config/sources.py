"""Finds the configuration: the file that is named, else the one in this folder, else the one that is shipped."""

from __future__ import annotations

import importlib.resources
import os
from pathlib import Path

from gateway.config import Config, load_config
from gateway.config.resources import default_config

OWN = Path("config.toml")


def describe_source(path: Path | None) -> str:
    """Where `read_config` finds it, in words."""
    if path is not None or OWN.is_file():
        return str((path or OWN).absolute())
    return f"the defaults, because there is no config.toml in {Path.cwd()}"


def read_config(path: Path | None) -> Config:
    """That file, overridden by this process's environment. Raises ConfigError."""
    if path is not None or OWN.is_file():
        return load_config(path or OWN, os.environ)
    with importlib.resources.as_file(default_config()) as shipped:
        return load_config(shipped, os.environ)
