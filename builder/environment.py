"""The environment of a build's commands, made from an allow-list. No other variable of the builder is passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

FIXED = {
    "CI": "true",
    "LANG": "C.UTF-8",
    "BROWSER": "none",
    "DO_NOT_TRACK": "1",
    # git ends if the machine has these files and the sandbox does not show them. They configure other people's git.
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "ASTRO_TELEMETRY_DISABLED": "1",
    "GATSBY_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "NG_CLI_ANALYTICS": "false",
    "NUXT_TELEMETRY_DISABLED": "1",
    "STORYBOOK_DISABLE_TELEMETRY": "1",
    "YARN_ENABLE_TELEMETRY": "0",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
}
CERTIFICATES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "NODE_USE_SYSTEM_CA")
REGISTRIES = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
VISIBLE = ("/etc/ssl/", "/usr/")
"""Folders of the machine that are readable inside the sandbox."""


def make_environment(home: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For every command of a build, without PATH. `home` is the path inside the sandbox."""
    environment = {"HOME": home, **FIXED}
    for name in CERTIFICATES:
        value = environ.get(name, "")
        if value and (_is_visible(value) or name == "NODE_USE_SYSTEM_CA"):
            environment[name] = value
    for name in REGISTRIES:
        if environ.get(name):
            environment["npm_config_registry"] = environment["YARN_NPM_REGISTRY_SERVER"] = environ[name]
    return environment


def _is_visible(path: str) -> bool:
    """If the file is a link, its target must be visible too."""
    return path.startswith(VISIBLE) and f"{Path(path).resolve()}/".startswith(VISIBLE)
