"""Host names: the strict syntax of an authority, and the label in the place of a slug."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse

from gateway.errors import ConfigError, Invalid
from gateway.models.slugs import LABEL

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,254})(?::([0-9]{0,5}))?\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """`host` is in lower case, without a trailing dot. `port` is None if there is none."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority:
    """Raises Invalid for anything but `name` or `name:port`, or an address in the place of the name."""
    match = _AUTHORITY.match(text)
    if not match:
        raise Invalid("The Host is not a host name with an optional port.")
    host = match[1].lower()
    port = int(match[2]) if match[2] else None
    if host.startswith("["):
        return Authority(_address(host), port)
    host = host.removesuffix(".")
    if len(host) > 253 or not all(LABEL.match(label) for label in host.split(".")):
        raise Invalid("The Host is not a host name: letters, digits and hyphens between single dots.")
    return Authority(host, port)


def is_address(host: str) -> bool:
    """An IP address never names a site."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


class SiteNames:
    """The form of the addresses of sites, such as `http://{slug}.localhost:8000`."""

    def __init__(self, url_template: str) -> None:
        host = _host_of(url_template)
        self._before, _, self._after = host.partition("{slug}")

    def label_of(self, host: str) -> str | None:
        """The label in the place of the slug. None if this is not one of our names."""
        label = host.removeprefix(self._before).removesuffix(self._after)
        return label if self._before + label + self._after == host and LABEL.match(label) else None


def _host_of(url_template: str) -> str:
    authority = urllib.parse.urlsplit(url_template).netloc.lower()
    host = re.sub(":[0-9]*$", "", authority).removesuffix(".")
    try:
        parse_authority(host.replace("{slug}", "slug"))
    except Invalid as error:
        raise ConfigError(f"sites.url: {url_template!r} is not an address.") from error
    if host.count("{slug}") != 1:
        raise ConfigError("sites.url: the host name must hold {slug} once, as in http://{slug}.localhost:8000")
    return host


def _address(host: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError as error:
        raise Invalid("The Host is not an IPv6 address.") from error
