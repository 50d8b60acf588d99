"""Decides about one call whether it may be answered, from what the call says about itself. No I/O."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from gateway.config import Api
from gateway.errors import Forbidden, Invalid, Unauthorized, Unsupported
from gateway.models.addresses import is_loopback_address, is_unspecified
from gateway.sites.hosts import Authority, is_address, parse_authority
from gateway.wire.clients import UNKNOWN

SESSION_SECONDS = 12 * 3600
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""The content types that browsers let a page of another site send without a CORS preflight."""
_OWN_FETCHES = frozenset({"same-origin", "none"})
_PROXY_HEADERS = frozenset(
    {
        *("via", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "x-cluster-client-ip", "x-proxyuser-ip"),
        *("x-remote-ip", "x-remote-addr", "x-originating-ip", "x-envoy-external-address", "x-azure-clientip"),
        *("fastly-client-ip", "fly-client-ip", "x-appengine-user-ip"),
    }
)
_PROXY_PREFIXES = ("forwarded", "x-forwarded", "x-original-", "cf-")
"""Headers that a proxy on this machine adds to requests. Clients on this machine send none of them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """What a call says about itself. `hosts`: every Host header; `peer`: the IP address of the other end of the
    connection.

    `client`: the address of the client, which may be behind a trusted proxy (gateway/wire/clients.py).
    """

    method: str
    target: str
    hosts: Sequence[str]
    peer: str | None
    local: str | None
    is_secure: bool
    """Whether the browser uses TLS. A false header only costs its sender the cookie."""
    headers: dict[str, str]
    """The first header of each lower-case name."""
    has_body: bool
    client: str = UNKNOWN

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
    def session(self) -> str | None:
        """The cookie's value. Parsed by hand, because http.cookies drops every cookie when one is malformed."""
        for part in self.header("Cookie").split(";"):
            name, _, value = part.strip().partition("=")
            if name == cookie_name(self.is_secure) and value:
                return value
        return None


def check_host(caller: Caller, api: Api) -> Authority:
    """The host that is called. Raises Forbidden for a name that is not the gateway's, which stops DNS rebinding."""
    if not caller.target.startswith("/") and caller.target != "*":
        raise Invalid("The request's target must be a path that begins with /.")
    if len(caller.hosts) != 1:
        raise Invalid("The call needs exactly one Host header.")
    host = parse_authority(caller.hosts[0])
    if not _is_own(host.host, caller.local, api):
        raise Forbidden(
            f"This is not the API of '{host.host}'. To call the API by this name, put it into api.url or api.names."
        )
    return host


def check_origin(caller: Caller, host: Authority, api: Api) -> None:
    """Raises Forbidden or Unsupported for a change that a page of another site sends."""
    if not caller.is_change:
        return
    origin = caller.header("Origin")
    if is_cors_origin(origin, api):
        if caller.has_body and caller.content_type != "application/json":
            raise Unsupported("Send application/json.")
        return
    if caller.header("Sec-Fetch-Site") and caller.header("Sec-Fetch-Site") not in _OWN_FETCHES:
        raise Forbidden("Pages of other sites may not change anything here.")
    if origin and not _is_same_origin(origin, host):
        raise Forbidden(f"Pages of the origin {origin[:200]!r} may not change anything here.")
    is_form = caller.content_type in FORMS or (caller.has_body and caller.content_type != "application/json")
    if not origin and is_form:
        raise Unsupported("Send application/json.")


def is_cors_origin(origin: str, api: Api) -> bool:
    return bool(origin) and origin in api.cors_origins


def is_open(caller: Caller) -> bool:
    """True only for a client on this machine: loopback peer, loopback name, and no sign of a proxy in between.

    A proxy's header counts even when it is empty: it says that a proxy was there.
    """
    if any(_is_of_proxy(name) for name in caller.headers) or len(caller.hosts) != 1:
        return False
    is_near = caller.peer is not None and is_loopback_address(caller.peer)
    return is_near and _is_loopback_name(parse_authority(caller.hosts[0]).host)


def _is_of_proxy(name: str) -> bool:
    return name in _PROXY_HEADERS or name.startswith(_PROXY_PREFIXES)


def bearer_token(caller: Caller) -> str | None:
    scheme, _, token = caller.header("Authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def make_access_token() -> str:
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """One round of sha256 is enough, because the token is long and random."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_token(token: str, token_hash: bytes | None) -> None:
    """Raises Unauthorized. Compares in constant time."""
    if token_hash is None or not hmac.compare_digest(hash_token(token), token_hash):
        raise Unauthorized("This token is not valid. `buildspace token rotate` makes a new one.")


def cookie_name(is_secure: bool) -> str:
    """Under TLS the prefix `__Host-` makes the browser insist that the cookie is Secure and of this host alone."""
    return "__Host-buildspace" if is_secure else "buildspace"


def make_session(install_key: bytes, token_hash: bytes, now: float) -> str:
    """A cookie's value, valid for twelve hours, or until its access token is replaced."""
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


def _is_own(host: str, local: str | None, api: Api) -> bool:
    if _is_loopback_name(host) or host in api.own_names:
        return True
    # A literal IP in Host cannot be DNS rebinding: the browser sends the address that it connected to.
    return is_address(host) and (host.strip("[]") == local or any(is_unspecified(bound) for bound in api.host))


def _is_loopback_name(host: str) -> bool:
    """Exactly `localhost` or a loopback address. Names under localhost are sites, which hold other people's code."""
    return host == "localhost" or is_loopback_address(host)


def _is_same_origin(origin: str, host: Authority) -> bool:
    """Compares hosts and ports as the browser sees them: a TLS proxy has another port than the gateway."""
    scheme, _, authority = origin.partition("://")
    if scheme not in ("http", "https"):
        return False
    try:
        named = parse_authority(authority)
    except Invalid:
        return False
    default = 443 if scheme == "https" else 80
    return named.host == host.host and (named.port or default) == (host.port or default)
