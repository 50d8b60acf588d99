"""The registries of packages that the operator names for all builds, in the environment."""

from __future__ import annotations

from collections.abc import Mapping

REGISTRIES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
"""Of npm packages."""
INDEXES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
"""Of Python packages."""


def check_registry(environ: Mapping[str, str]) -> None:
    """Raises ValueError, with a sentence that does not repeat it, for an address with a user or a password."""
    for name in (*REGISTRIES, *INDEXES):
        if "@" in environ.get(name, "").partition("//")[2].partition("/")[0]:
            raise ValueError(
                f"{name} has a user or a password, which every build could read: name a registry that needs no login."
            )
