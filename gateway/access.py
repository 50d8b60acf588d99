"""Who may call: decisions about one call, made from what the call says of itself. No I/O."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from gateway.addresses import Authority, is_loopback_address, is_unspecified, parse_authority
from gateway.config import Api
from gateway.errors import Forbidden, Invalid, Unauthorized, Unsupported

SESSION_SECONDS = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS = frozenset({"/health", "/ready", "/login", "/favicon.ico"})
PUBLIC_PREFIX = "/static/"
FORM = "application/x-www-form-urlencoded"
_OWN_FETCHES = frozenset({"same-origin", "none"})
_BEHIND = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via")
"""Headers by which a proxy on this machine says that somebody else is behind it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """What a call says of itself. `hosts`: every Host header; `peer`: the other end's address."""

    method: str
    target: str
    hosts: Sequence[str]
    peer: str | None
    local: str | None
    is_secure: bool
    headers: dict[str, str]
    """The first of each, by lower-case name."""
    has_body: bool

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_change(self) -> bool:
        return self.method not in SAFE_METHODS

    @property
    def content_type(self) -> str:
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @property
    def cookie_is_secure(self) -> bool:
        """Whether the browser at the far end speaks TLS. A lie here only costs the liar the cookie."""
        return self.is_secure or self.header("X-Forwarded-Proto").strip().lower() == "https"


def check_host(caller: Caller, api: Api) -> Authority:
    """The host that is called. Raises Forbidden for a name that is not ours: so DNS rebinding leads nowhere."""
    if not caller.target.startswith("/") and caller.target != "*":
        raise Invalid("The request's target must be a path that begins with /.")
    host = parse_authority(caller.hosts[0]) if len(caller.hosts) == 1 else None
    if host is None:
        raise Invalid("The call needs exactly one valid Host header.")
    if not _is_own(host, caller.local, api):
        raise Forbidden(
            f"This is not the API of '{host.name}'. Name the host in api.names if it is to be called like this."
        )
    return host


def check_origin(caller: Caller, host: Authority, api: Api) -> None:
    """Raises Forbidden or Unsupported unless a change comes from our own pages, or from no page at all."""
    if not caller.is_change:
        return
    origin = caller.header("Origin")
    if is_cors_origin(origin, api):
        if caller.has_body and caller.content_type != "application/json":
            raise Unsupported("Send application/json.")
        return
    if caller.header("Sec-Fetch-Site") and caller.header("Sec-Fetch-Site") not in _OWN_FETCHES:
        raise Forbidden("Pages of other sites may not change anything here.")
    if origin and not _is_same_origin(origin, caller.hosts[0], host):
        raise Forbidden(f"Pages of the origin {origin[:200]!r} may not change anything here.")
    if not origin and caller.content_type != "application/json" and (caller.has_body or caller.content_type):
        raise Unsupported("Send application/json.")


def is_cors_origin(origin: str, api: Api) -> bool:
    return bool(origin) and origin in api.cors_origins


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


def needs_account(caller: Caller, host: Authority) -> bool:
    """False only for who sits at this very machine: loopback peer, loopback name, and nobody behind a proxy."""
    is_forwarded = any(caller.header(name) for name in _BEHIND)
    return is_forwarded or not host.is_loopback or caller.peer is None or not is_loopback_address(caller.peer)


def bearer_token(caller: Caller) -> str | None:
    scheme, _, token = caller.header("Authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def make_access_token() -> str:
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """The token is random and long: one round of sha256 keeps it as well as many."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_token(token: str, token_hash: bytes | None) -> None:
    """Raises Unauthorized. Compares in constant time."""
    if token_hash is None or not hmac.compare_digest(hash_token(token), token_hash):
        raise Unauthorized("This token is not valid. `buildspace token rotate` makes a new one.")


def session_name(*, is_secure: bool) -> str:
    """Under TLS the browser itself sees to it that the cookie is Secure and of this host alone."""
    return "__Host-buildspace" if is_secure else "buildspace"


def make_session(install_key: bytes, token_hash: bytes, now: float) -> str:
    """A cookie's value: good for twelve hours, and no longer than the token with which it was got."""
    until = int(now) + SESSION_SECONDS
    return f"{until}.{_sign(install_key, token_hash, until)}"


def is_session(value: str, install_key: bytes, token_hash: bytes | None, now: float) -> bool:
    until, _, signature = value.partition(".")
    if token_hash is None or not (until.isascii() and until.isdigit() and len(until) < 12) or int(until) <= now:
        return False
    return hmac.compare_digest(signature.encode(), _sign(install_key, token_hash, int(until)).encode())


def _sign(install_key: bytes, token_hash: bytes, until: int) -> str:
    key = hmac.new(install_key, b"session of a browser", hashlib.sha256).digest()
    return hmac.new(key, f"{until}|{token_hash.hex()}".encode(), hashlib.sha256).hexdigest()


def _is_own(host: Authority, local: str | None, api: Api) -> bool:
    if host.is_loopback or host.name in (name.lower() for name in api.names):
        return True
    # An address can't be rebound: who is called by one is who was meant.
    return host.is_address and (host.name == local or any(_is_bound(bound, host.name) for bound in api.host))


def _is_bound(bound: str, name: str) -> bool:
    return bound == name or is_unspecified(bound)


def _is_same_origin(origin: str, called: str, host: Authority) -> bool:
    parts = urlsplit(origin)
    named = parse_authority(parts.netloc)
    if parts.scheme not in ("http", "https") or named != host:
        return False
    default = ":443" if parts.scheme == "https" else ":80"
    return _with_port(parts.netloc, default) == _with_port(called, default)


def _with_port(authority: str, default: str) -> str:
    has_port = authority.rpartition("]")[2].count(":") == 1
    return (authority if has_port else authority + default).lower()
