"""Checks a request to a site: what two HTTP implementations could read differently is refused."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping, Sequence

from gateway.errors import Invalid
from gateway.sites.hosts import Authority, parse_authority
from gateway.sites.paths import decode_path

METHODS = ("GET", "HEAD")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_QUERY_LETTERS = "".join(map(chr, range(0x21, 0x7F)))


@dataclasses.dataclass(frozen=True, slots=True)
class SiteRequest:
    """`path` is decoded; `raw_path` and `query` are as received. Header names are in lower case."""

    method: str
    host: str
    path: str
    raw_path: str
    query: str | None
    headers: Mapping[str, str]


def read_request(method: str, target: str, raw_headers: Sequence[tuple[bytes, bytes]]) -> SiteRequest:
    """Raises Invalid with a sentence."""
    headers = _join(raw_headers)
    authority = parse_authority(_only_host(raw_headers))
    raw_path, query = _split_target(target, authority)
    return SiteRequest(method, authority.host, decode_path(raw_path), raw_path, query, headers)


def _join(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _only_host(raw_headers: Sequence[tuple[bytes, bytes]]) -> str:
    hosts = [value for name, value in raw_headers if name.lower() == b"host"]
    if len(hosts) != 1:
        raise Invalid("The request must have exactly one Host header.")
    return hosts[0].decode("latin-1").strip(" \t")


def _split_target(target: str, authority: Authority) -> tuple[str, str | None]:
    if match := _ABSOLUTE.match(target):
        _check_same(match[1].lower(), match[2], authority)
        target = match[3] if match[3].startswith("/") else "/" + match[3]
    if "#" in target:
        raise Invalid("The address of a request has no fragment.")
    raw_path, mark, query = target.partition("?")
    return raw_path, _clean(query) if mark else None


def _check_same(scheme: str, target_authority: str, authority: Authority) -> None:
    asked = parse_authority(target_authority)
    default = _DEFAULT_PORTS[scheme]
    if (asked.host, asked.port or default) != (authority.host, authority.port or default):
        raise Invalid("The address of the request and its Host header name different sites.")


def _clean(query: str) -> str:
    """The same query in characters that a header may hold."""
    return urllib.parse.quote(query, safe=_QUERY_LETTERS, errors="surrogateescape")
