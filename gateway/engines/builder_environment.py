"""The environment of a builder: its order, and what it inherits from the gateway by an allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import builder
from builder.protocol.calls import Isolation
from builder.protocol.registries import INDEXES, REGISTRIES
from gateway.errors import ConfigError
from gateway.roles import LaunchOrder

PACKAGE_ROOT = Path(str(builder.__file__)).resolve().parent.parent
"""The folder from which `builder` is imported, installed or not."""

INHERITED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE"),
    *REGISTRIES,
    *INDEXES,
    "PYTHONDONTWRITEBYTECODE",
)


_INSIDE: dict[str, Isolation] = {
    "auto": Isolation.CONTAINER,
    Isolation.BASIC: Isolation.BASIC,
    Isolation.NONE: Isolation.NONE,
}


def isolation_inside(wanted: str, apart: str) -> Isolation:
    """The isolation setting of a builder in a container. `apart`: what isolates builds from each other there.

    Raises ConfigError for grades that need namespaces of their own.
    """
    if wanted not in _INSIDE:
        raise ConfigError(
            f"builder.isolation is {wanted!r}, which needs namespaces that a container is not given. {apart}; set"
            " builder.isolation to auto, basic or none."
        )
    return _INSIDE[wanted]


def pick_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in INHERITED if name in environ}


def order_environment(order: LaunchOrder, isolation: Isolation) -> dict[str, str]:
    """The variables of every builder (builder/__main__.py reads them). The same order gives the same bytes."""
    return {
        "BUILDSPACE_URL": order.builders_url,
        "BUILDSPACE_TOKEN": order.token,
        "BUILDSPACE_ATTEMPT": str(order.attempt),
        "BUILDSPACE_ISOLATION": isolation,
        "DEPLOYMENT_ID": str(order.deployment_id),
        "PROJECT_ID": order.project_slug,
        "GIT_REPOSITORY_URL": order.git_url,
    }
