"""Makes the addresses of sites and deployments, and tells which addresses mean this machine."""

from __future__ import annotations

import dataclasses
import ipaddress
import uuid

from gateway.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that users are shown. Only this class makes addresses of sites from `sites.url`."""

    sites_url: str
    api_url: str = ""

    def site(self, slug: str) -> str:
        return self.sites_url.replace("{slug}", slug).rstrip("/")

    def deployment(self, slug: str, deployment_id: uuid.UUID) -> str:
        """The deployment's own host, whether it is live or not."""
        return self.site(deployment_label(slug, deployment_id))

    def link(self, path: str) -> str:
        """A link to be sent out, never made from a request's Host. Raises ConfigError if `api.url` is not set."""
        if not self.api_url:
            raise ConfigError(
                "No link can be made, because api.url is not set: set it to the address where people reach the pages,"
                " such as https://deploy.example.com."
            )
        return self.api_url + path

    def log(self, deployment_id: uuid.UUID) -> str:
        return f"/logs/{deployment_id}"

    def page(self, deployment_id: uuid.UUID) -> str:
        return f"/d/{deployment_id}"


def deployment_label(slug: str, deployment_id: uuid.UUID) -> str:
    """The label that stands in the place of the slug in the address of one deployment."""
    return f"{slug}-{str(deployment_id)[:8]}"


def is_loopback_address(text: str) -> bool:
    """Accepts addresses in brackets, and 127.0.0.1 wrapped in IPv6."""
    address = _address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address is not None and address.is_loopback


def is_unspecified(text: str) -> bool:
    """0.0.0.0 and ::, which mean every address of the machine."""
    address = _address(text)
    return address is not None and address.is_unspecified


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
