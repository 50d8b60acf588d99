"""What a strong sandbox may reach: the public network, a name server, and the hosts that the operator allows."""

from __future__ import annotations

import dataclasses
import ipaddress
import itertools
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

PRIVATE = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
RESERVED = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")
"""Besides the private networks: addresses that no public machine has."""
CLOSED = (*PRIVATE, *RESERVED, "::1/128", "ff00::/8")
NAME_SERVERS = {4: "169.254.1.1", 6: "fd53::53"}
"""They exist only inside: pasta forwards queries to the machine's first name server of that IP version."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """Only port 53 of `name_server` is open. Its network is among the denied ones.

    An allowed network with a port, as in `10.0.0.7/32#8443`, has only this TCP port open.
    `unreachable`: the denied networks without those that an allowed network contains.
    """

    allowed: list[str]
    denied: list[str]
    unreachable: list[str]
    resolv_conf: str
    name_server: str


def find_reach(allow_private_hosts: Sequence[str]) -> Reach:
    """For the present state of this machine. Queries its name servers for names in `allow_private_hosts`."""
    resolv_conf, name_server = plan_name_server(Path("/etc/resolv.conf").read_text())
    allowed = [(network, port_of(entry)) for entry in allow_private_hosts for network in networks_of([entry])]
    denied = [*dict.fromkeys((*CLOSED, *own_addresses()))]
    networks = [ipaddress.ip_network(each) for each in denied]
    kept = [each for each in networks if not any(_holds(network, each) for network, _ in allowed)]
    return Reach(
        [str(network) if port is None else f"{network}#{port}" for network, port in allowed],
        [str(each) for each in networks],
        [str(each) for each in kept],
        resolv_conf,
        name_server,
    )


def plan_name_server(resolv_conf: str) -> tuple[str, str]:
    """The build's resolv.conf, and the name server in it.

    It is not one of the machine's own servers: a route to one opens all of its ports, and it may be a router or a
    cloud's metadata service.
    """
    lines = resolv_conf.splitlines()
    servers = [line.split()[1].partition("%")[0] for line in lines if re.match(r"nameserver\s+\S", line)]
    versions = {ipaddress.ip_address(server).version for server in servers if _is_address(server)}
    name_server = NAME_SERVERS[6 if versions == {6} else 4]
    others = [line for line in lines if not line.startswith("nameserver")]
    return "\n".join([*others, f"nameserver {name_server}", ""]), name_server


def networks_of(hosts: Iterable[str]) -> Iterable[Network]:
    """The networks that these entries mean: `host`, `host:port`, an address, a network. Loopback stays closed."""
    for entry in hosts:
        for text in _addresses_of(entry):
            network = ipaddress.ip_network(text, strict=False)
            if not network.is_loopback:
                yield network


def port_of(entry: str) -> int | None:
    """8443 for `registry.example:8443` and `[fd00::1]:8443`. None without a port."""
    host, colon, port = entry.rpartition(":")
    is_bare_ipv6 = ":" in host and not host.endswith("]")
    return int(port) if colon and port.isdigit() and not is_bare_ipv6 else None


def _addresses_of(entry: str) -> Iterable[str]:
    host = entry if port_of(entry) is None else entry.rpartition(":")[0]
    host = host.strip("[]")
    if _is_network(host):
        return [host]
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return []  # a name that does not resolve now opens nothing


def own_addresses() -> Iterable[str]:
    """The machine's own addresses except loopback. Services on them belong to the platform, not to the public."""
    trie = Path("/proc/net/fib_trie").read_text().splitlines()
    for before, line in itertools.pairwise(trie):
        if "/32 host LOCAL" in line and not (address := before.split()[-1]).startswith("127."):
            yield address
    six = Path("/proc/net/if_inet6")
    for line in six.read_text().splitlines() if six.exists() else ():
        own = ipaddress.IPv6Address(int(line.split()[0], 16))
        if not own.is_loopback and not own.is_link_local:
            yield str(own)


def _holds(outer: Network, inner: Network) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
