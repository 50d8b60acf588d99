"""postgres.url: checked once at the start, and described without its password."""

from __future__ import annotations

import os
import ssl
import urllib.parse
from pathlib import Path

from gateway.errors import ConfigError

MODES = {
    "disable": "without TLS",
    "allow": "with TLS if the server insists, unchecked",
    "prefer": "with TLS if the server has it, unchecked",
    "require": "with TLS, the server's certificate unchecked",
    "verify-ca": "with TLS, the server's certificate checked",
    "verify-full": "with TLS, the server's certificate and name checked",
}
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def check_url(url: str) -> None:
    """Raises ConfigError for a URL that cannot work with any server. Connects to nothing."""
    if _has_stray_sign(url):
        raise ConfigError(
            "postgres.url (DATABASE_URL): signs such as / ? # in the user or the password are written as %2F %3F %23."
        )
    try:
        parts = urllib.parse.urlsplit(url)
        known = parts.scheme in ("postgres", "postgresql") and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError(
            "postgres.url (DATABASE_URL) must look like postgresql://user:password@host:5432/name"
            " or postgresql:///name?host=/folder/of/the/socket."
        )
    _check_tls(_parameters(url))


def _has_stray_sign(url: str) -> bool:
    """Whether an @ follows the host: a character of the user or password was not escaped."""
    parts = urllib.parse.urlsplit(url)
    return "@" not in parts.netloc and "@" in parts.path + parts.query + parts.fragment


def describe_url(url: str) -> str:
    """Where the server is, and whether the connection is encrypted. Never shows the password."""
    parts = urllib.parse.urlsplit(url)
    parameters = _parameters(url)
    if parts.hostname is None or parameters.get("host", "").startswith("/"):
        return "over a Unix socket"
    mode = parameters.get("sslmode") or os.environ.get("PGSSLMODE", "prefer")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"at {host}:{parts.port or 5432}, {MODES.get(mode, mode)} (sslmode={mode})"


def server_of(url: str) -> str:
    """Host and port. Empty for a Unix socket."""
    parts = urllib.parse.urlsplit(url)
    return "" if parts.hostname is None or "host" in _parameters(url) else f"{parts.hostname}:{parts.port or 5432}"


def _parameters(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


def _check_tls(parameters: dict[str, str]) -> None:
    mode = parameters.get("sslmode", "prefer")
    if mode not in MODES:
        raise ConfigError(f"postgres.url: sslmode is one of {', '.join(MODES)}, not {mode!r}.")
    authority = parameters.get("sslrootcert", "")
    if authority:
        _check_authority(authority)
    elif mode.startswith("verify") and not _has_own_authority():
        raise ConfigError(
            f"postgres.url: sslmode={mode} needs the server's certificate authority: add &sslrootcert=/path/of/ca.pem."
            f" {SYSTEM_AUTHORITIES} holds those that this system trusts."
        )


def _check_authority(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ConfigError(f"postgres.url: sslrootcert={path} holds no certificate in PEM form.") from error
    except OSError as error:
        raise ConfigError(f"postgres.url: sslrootcert={path} cannot be read: {error.strerror}.") from error


def _has_own_authority() -> bool:
    """Whether a certificate authority is in the place where libpq looks for one."""
    return bool(os.environ.get("PGSSLROOTCERT")) or (Path.home() / ".postgresql" / "root.crt").is_file()
