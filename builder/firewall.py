"""The firewall of the builders' network on a Docker engine. Both commands run in the builder image.

    python -m builder.firewall close BRIDGE API_URL [PRIVATE_HOST...]
        In the engine's own network, with CAP_NET_ADMIN: make the rules, then listen on all of the machine's addresses
        for a while. Prints one line of JSON: {"listening": ["172.18.0.1:40001", ...]}.
    python -m builder.firewall reach HOST:PORT...
        In the builders' network: prints {"reached": [...]}, those that answered.

The rules are a table of our own that comes before all others. Changes by Docker, firewalld or an operator to their
tables do not open it, and its rules are replaced atomically. A packet that it accepts must still pass the other tables.
Packets are refused, not dropped, so that a connection of a build fails at once.
"""

from __future__ import annotations

import ipaddress
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from builder.sandbox.addresses import PRIVATE, RESERVED, networks_of, own_addresses, port_of

LISTEN_SECONDS = 30.0
REACH_SECONDS = 2.0
NFT_SECONDS = 20.0
NFT = "/usr/sbin/nft"
DEFAULT_PORTS = {"http": 80, "https": 443}
_BRIDGE = re.compile(r"[A-Za-z0-9_.-]{1,15}\Z")


def make_rules(bridge: str, api_url: str, private_hosts: Sequence[str], name_servers: Sequence[str]) -> str:
    """The table for nft. Builders reach the builders' API, name servers, hosts that the operator allows, and the
    public.

    APIs are added to a set, because gateways of one engine may have different addresses. An address that is not renewed
    within a day expires.
    """
    if not _BRIDGE.match(bridge):
        raise ValueError(f"{bridge!r} is not the name of a bridge.")
    table = f"inet buildspace-{bridge}"
    openings = "\n        ".join(_openings(private_hosts, name_servers))
    # Adding an existing element does not renew its timeout, so it is deleted and added again.
    elements = [f"element {table} apis {{ {place} }}" for place in _api_places(api_url)]
    apis = "\n".join(f"{verb} {element}" for element in elements for verb in ("add", "delete", "add"))
    closed = [ipaddress.ip_network(network) for network in (*PRIVATE, *RESERVED)]
    return f"""
add table {table}
add set {table} apis {{ type ipv4_addr . inet_service ; flags timeout ; timeout 1d ; }}
flush table {table}
{apis}
table {table} {{
    chain refused {{
        reject with icmpx admin-prohibited
        drop
    }}
    chain openings {{
        ct state established,related accept
        # As it was asked for: Docker gives a published port another address and number on its way.
        meta l4proto tcp ct original ip daddr . ct original proto-dst @apis accept
        {openings}
    }}
    chain to_machine {{
        jump openings
        jump refused
    }}
    chain beyond {{
        jump openings
        oifname "{bridge}" jump refused
        ip daddr {{ {", ".join(str(each) for each in closed if each.version == 4)} }} jump refused
        meta nfproto ipv6 jump refused
    }}
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname "{bridge}" jump to_machine
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname "{bridge}" jump beyond
    }}
}}
"""


def _api_places(api_url: str) -> Iterable[str]:
    """IPv4 addresses only, because the builders' network has no IPv6."""
    api = urlsplit(api_url)
    port = api.port or DEFAULT_PORTS.get(api.scheme, 0)
    for network in networks_of([str(api.hostname)] if ":" not in str(api.hostname) else []):
        if network.version == 4:
            yield f"{network.network_address} . {port}"


def _openings(private_hosts: Sequence[str], name_servers: Sequence[str]) -> Iterable[str]:
    for server in name_servers:
        yield f"{_family(ipaddress.ip_network(server))} daddr {server} meta l4proto {{ tcp, udp }} th dport 53 accept"
    for entry in private_hosts:
        only = f" tcp dport {number}" if (number := port_of(entry)) is not None else ""
        for network in networks_of([entry]):
            yield f"{_family(network)} daddr {network}{only} accept"


def _family(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return "ip" if network.version == 4 else "ip6"


def name_servers_of(resolv_conf: str) -> list[str]:
    """The name servers that a packet can reach. The engine itself queries one on loopback."""
    found = []
    for fields in map(str.split, resolv_conf.splitlines()):
        if len(fields) > 1 and fields[0] == "nameserver":
            try:
                address = ipaddress.ip_address(fields[1].partition("%")[0])
            except ValueError:
                continue
            if not address.is_loopback:
                found.append(str(address))
    return found


def close(bridge: str, api_url: str, private_hosts: Sequence[str]) -> None:
    """Make the rules. Raises OSError and CalledProcessError if that fails."""
    rules = make_rules(bridge, api_url, private_hosts, name_servers_of(Path("/etc/resolv.conf").read_text()))
    subprocess.run([NFT, "-f", "-"], input=rules.encode(), check=True, capture_output=True, timeout=NFT_SECONDS)


def listen(seconds: float = LISTEN_SECONDS) -> None:
    """Listen on every address of the machine, and answer every connection that gets past the rules."""
    with socket.create_server(("0.0.0.0", 0)) as server, selectors.DefaultSelector() as selector:
        port = server.getsockname()[1]
        addresses = sorted({each for each in own_addresses() if ":" not in each})
        _say({"listening": [f"{address}:{port}" for address in addresses]})
        selector.register(server, selectors.EVENT_READ)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                server.accept()[0].close()


def reach(places: Iterable[str]) -> list[str]:
    return [place for place in places if _answers(place)]


def _answers(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS):
            return True
    except OSError:
        return False


def _say(words: dict[str, list[str]]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["close", bridge, api_url, *private_hosts]:
            try:
                close(bridge, api_url, private_hosts)
            except subprocess.CalledProcessError as error:
                sys.stdout.write(f"nft refuses the rules: {error.stderr.decode(errors='replace').strip()[:400]}\n")
                return 1
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                sys.stdout.write(f"{error}\n")
                return 1
            listen()
        case ["reach", *places]:
            _say({"reached": reach(places)})
        case _:
            sys.stdout.write("usage: python -m builder.firewall close BRIDGE API_URL [HOST...] | reach HOST:PORT...\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
