"""What a builder inherits from the gateway: an allow-list, without a secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import builder

PACKAGE_ROOT = Path(str(builder.__file__)).resolve().parent.parent
"""Where `builder` can be imported from, installed or not."""

INHERITED = (
    *("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "NODE_USE_SYSTEM_CA", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE"),
    *("npm_config_registry", "NPM_CONFIG_REGISTRY"),
    "PYTHONDONTWRITEBYTECODE",
)


def pick_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in INHERITED if name in environ}
