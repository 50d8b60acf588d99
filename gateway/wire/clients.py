"""The address of the client that makes a request: one rule for logs and limits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from aiohttp import hdrs, web

MAX_HOPS = 32
UNKNOWN = "unknown"
"""The address of a connection that was closed before its address was read."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """The networks of the proxies in front of a listener. X-Forwarded-For counts only if one of them sent it."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def client_of(self, request: web.BaseRequest) -> str:
        transport = request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        return self.find_client(peer[0] if peer else UNKNOWN, request.headers.getall(hdrs.X_FORWARDED_FOR, ()))

    def find_client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The first address, from the right, that is not one of the proxies.

        Each proxy appends the address that called it, so the client itself may have written what stands further left.
        An entry that is no address ends the search at the proxy that passed it on.
        """
        client = _read(peer)
        if client is None:
            return peer
        hops = ",".join(forwarded).rsplit(",", MAX_HOPS)
        while hops and self._has(client) and (hop := _read_hop(hops.pop())) is not None:
            client = hop
        return str(client)

    def _has(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


NO_PROXIES = TrustedProxies()


def group_of(client: str) -> str:
    """What a limit counts as one client: an IPv4 address, or an IPv6 /64, which usually belongs to one customer."""
    address = _read(client)
    if not isinstance(address, ipaddress.IPv6Address):
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))


def _read_hop(text: str) -> _Address | None:
    """An address; a port behind it, which some proxies write, is dropped."""
    text = text.strip()
    if text.startswith("["):
        return _read(text[1:].partition("]")[0])
    return _read(text.partition(":")[0] if text.count(":") == 1 else text)


def _read(text: str) -> _Address | None:
    """The address, with IPv4 wrapped in IPv6 as IPv4. None if this is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
