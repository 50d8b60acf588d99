"""How addresses look: those of sites and deployments, and the authority that a call names."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import uuid

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """What users are told. `sites_url` is `sites.url`: the only place that knows how the address of a site looks."""

    sites_url: str

    def site(self, slug: str) -> str:
        return self.sites_url.replace("{slug}", slug).rstrip("/")

    def deployment(self, slug: str, deployment_id: uuid.UUID) -> str:
        """The deployment's own host, whether it is live or not."""
        return self.site(f"{slug}-{str(deployment_id)[:8]}")

    def log(self, deployment_id: uuid.UUID) -> str:
        return f"/logs/{deployment_id}"

    def page(self, deployment_id: uuid.UUID) -> str:
        return f"/d/{deployment_id}"


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """The host that a call names, lower case and without brackets or port."""

    name: str

    @property
    def is_address(self) -> bool:
        return _address(self.name) is not None

    @property
    def is_loopback(self) -> bool:
        """Exactly `localhost` or a loopback address: names under localhost are sites, other people's code."""
        return self.name == "localhost" or is_loopback_address(self.name)


def parse_authority(text: str) -> Authority | None:
    """`name`, `name:port`, `1.2.3.4:port`, `[::1]:port`. None for anything that is not exactly this."""
    if text.startswith("["):
        inside, closing, rest = text[1:].partition("]")
        valid = closing and _is_port(rest) and "%" not in inside and isinstance(_address(inside), ipaddress.IPv6Address)
        return Authority(str(_address(inside))) if valid else None
    name, colon, port = text.partition(":")
    valid = _NAME.match(name) is not None and _is_port(colon + port)
    return Authority(name.lower().removesuffix(".")) if valid else None


def is_loopback_address(text: str) -> bool:
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def is_unspecified(text: str) -> bool:
    """0.0.0.0 and ::, which mean every address of the machine."""
    address = _address(text)
    return address is not None and address.is_unspecified


def _is_port(text: str) -> bool:
    """Nothing, or a colon and a port."""
    return not text or (text[0] == ":" and _PORT.match(text[1:]) is not None and int(text[1:]) <= 65535)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
