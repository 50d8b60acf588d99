"""Git URLs: which ones a project may use, and which addresses they may lead to."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import urllib.parse
from collections.abc import Sequence

import idna

MAX_URL_LENGTH = 2048
DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})+\Z")
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_SCP_LIKE = re.compile(r"(?:[^/@\s:]+@)?([^/@\s:]+):(?!//)([^\s]+)\Z")
_USER = re.compile(r"[a-z0-9_][a-z0-9_-]{0,31}\Z")
_LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
EVERY_HOST = ("0.0.0.0/0", "::/0")
"""Allows private hosts too: for a URL that is only looked at, not connected to."""
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")


@dataclasses.dataclass(frozen=True, slots=True)
class GitUrl:
    """A checked git URL. `host` is lower-case ASCII without brackets. `str()` is the URL to use. `user` is ssh's."""

    scheme: str
    host: str
    port: int
    path: str
    user: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        user = f"{self.user}@" if self.user else ""
        return f"{self.scheme}://{user}{host}{port}{self.path}"

    def without_ssh(self) -> GitUrl:
        """The same place over https, if this is an ssh URL: a deploy key opens one repository only."""
        return self if self.scheme != "ssh" else GitUrl("https", self.host, DEFAULT_PORTS["https"], self.path)


def parse_git_url(text: str, allow_private_hosts: Sequence[str] = ()) -> GitUrl:
    """The URL in this text. Raises ValueError with a sentence for everything that may not be cloned.

    A name is not resolved here: the code that connects must call `is_allowed_address` for each address of it.
    """
    _refuse_odd_text(text)
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in ("https", "http") or not rest:
        raise ValueError(_wrong_scheme(text, scheme))
    authority, slash, path = rest.partition("/")
    host, port = _parse_authority(authority, DEFAULT_PORTS[scheme])
    url = GitUrl(scheme, host, port, _parse_path(slash + path))
    _refuse_private(url, allow_private_hosts)
    return url


def parse_ssh_url(text: str, allow_private_hosts: Sequence[str] = ()) -> GitUrl:
    """As parse_git_url, for a URL to which a deploy key belongs: ssh://git@host/path or git@host:path."""
    _refuse_odd_text(text)
    found = _SCP_LIKE.match(text) if "://" not in text else None
    rest = f"{text.partition(':')[0]}/{found[2].lstrip('/')}" if found else text.removeprefix("ssh://")
    if found is None and rest == text:
        raise ValueError("A deploy key needs an ssh URL, such as git@github.com:owner/repository.git.")
    authority, slash, path = rest.partition("/")
    user, at, host_port = authority.rpartition("@")
    if not _USER.match(user or "git"):
        raise ValueError("The user of an ssh URL has letters, digits, - and _; most servers call it git.")
    host, port = _parse_authority(host_port if at else authority, DEFAULT_PORTS["ssh"])
    url = GitUrl("ssh", host, port, _parse_path(slash + path), user or "git")
    _refuse_private(url, allow_private_hosts)
    return url


def is_allowed_address(url: GitUrl, address: Address, allow_private_hosts: Sequence[str]) -> bool:
    """Whether a connection for this URL may go to this address."""
    return (
        is_public(address)
        or _is_named(url.host, url.port, allow_private_hosts)
        or _is_in(address, url.port, allow_private_hosts)
    )


def is_public(address: Address) -> bool:
    """False for private, loopback, link-local, reserved and multicast addresses, also if another address wraps them."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def check_allowed_hosts(entries: Sequence[str]) -> None:
    """Raises ValueError for an entry that is no host, host:port, address or network."""
    for entry in entries:
        if _network(entry) is None:
            _parse_authority(entry, 0)


def _refuse_odd_text(text: str) -> None:
    if not text:
        raise ValueError("A git URL is required, such as https://github.com/owner/repository.")
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"A git URL has at most {MAX_URL_LENGTH} characters.")
    if any(ord(letter) <= 0x20 or 0x7F <= ord(letter) <= 0xA0 or letter in "\u2028\u2029\ufeff" for letter in text):
        raise ValueError("A git URL must not contain spaces or control characters.")
    if text.startswith("-"):
        raise ValueError("A git URL does not begin with a dash. It looks like https://github.com/owner/repository.")
    if "\\" in text:
        raise ValueError("A git URL must not contain a backslash.")
    if "::" in text.partition("[")[0]:
        raise ValueError("A git URL with a transport helper (::) is not accepted. Use an https URL.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("The git URL is not valid Unicode text.") from error


def _wrong_scheme(text: str, scheme: str) -> str:
    found = _SCP_LIKE.match(text)
    if "://" not in text and found:
        return f"SSH addresses are not accepted. Use the https URL: https://{found[1]}/{found[2].lstrip('/')}"
    if "://" in text and scheme in ("ssh", "git", "git+ssh", "file", "ftp", "ftps"):
        return f"A git URL begins with https://, not {scheme}://."
    return "A git URL begins with https://, such as https://github.com/owner/repository."


def _parse_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise ValueError("A git URL must not contain a user name or a password: everyone who sees the project sees it.")
    if authority.startswith("["):
        inside, closing, port = authority[1:].partition("]")
        if not closing or (port and not port.startswith(":")):
            raise ValueError("The address in brackets is not closed.")
        return _parse_ipv6(inside), _parse_port(port[1:], default_port) if port else default_port
    host, colon, port = authority.partition(":")
    return _parse_host(host), _parse_port(port, default_port) if colon else default_port


def _parse_port(text: str, default_port: int) -> int:
    if not text:
        return default_port
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ValueError("The port of a git URL is a number from 1 to 65535.")
    return int(text)


def _parse_ipv6(text: str) -> str:
    if "%" in text:
        raise ValueError("An address with a zone (%) cannot be reached from a builder.")
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError as error:
        raise ValueError("What is in the brackets is not an IPv6 address.") from error


def _parse_host(text: str) -> str:
    if not text:
        raise ValueError("The git URL names no host. It looks like https://github.com/owner/repository.")
    if "%" in text:
        raise ValueError("The host of a git URL must not contain percent signs.")
    host = _to_ascii(text).removesuffix(".").lower()
    address = _parse_ipv4(host)
    if address is not None:
        return str(address)
    if not _HOST.match(host):
        raise ValueError("The host of the git URL is not a valid name.")
    return host


def _to_ascii(text: str) -> str:
    if text.isascii():
        return text
    try:
        return idna.encode(text, uts46=True).decode()
    except UnicodeError as error:
        # Digits and dots in other scripts are no valid name, but resolvers read them as an address.
        raise ValueError("The host of the git URL is not a valid name.") from error


def _parse_ipv4(host: str) -> ipaddress.IPv4Address | None:
    """An address in any notation that resolvers read: 127.0.0.1, 127.1, 0x7f.1, 017700000001, 2130706433."""
    parts = host.split(".")
    if not re.match(r"(?:0x[0-9a-f]*|[0-9]+)\Z", parts[-1]):
        return None
    try:
        numbers = [_parse_number(part) for part in parts]
        *heads, last = numbers
        if len(parts) > 4 or any(head > 255 for head in heads) or last >= 256 ** (5 - len(parts)):
            raise ValueError("out of range")
    except ValueError as error:
        raise ValueError("The host of the git URL looks like an IP address but is not one.") from error
    return ipaddress.IPv4Address(sum(head << (24 - 8 * place) for place, head in enumerate(heads)) + last)


def _parse_number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a number")
    return int(text, 8 if len(text) > 1 and text.startswith("0") else 10)


def _parse_path(path: str) -> str:
    if "?" in path or "#" in path:
        raise ValueError("A git URL must not contain ? or #: it names a repository, not a page.")
    path = _NOT_ASCII.sub(lambda found: urllib.parse.quote(found[0]), path)
    if path.strip("/") == "":
        raise ValueError("The git URL names a host but no repository.")
    if not _PATH.match(path):
        raise ValueError("The path of the git URL contains characters that are not allowed.")
    decoded = urllib.parse.unquote(path, errors="replace")
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F or letter == "\\" for letter in decoded):
        raise ValueError("The path of the git URL contains control characters.")
    if any(part in (".", "..") for part in decoded.split("/")):
        raise ValueError("The path of the git URL must not contain . or .. segments.")
    return path


def _refuse_private(url: GitUrl, allow_private_hosts: Sequence[str]) -> None:
    addresses = known_addresses(url.host)
    is_named = _is_named(url.host, url.port, allow_private_hosts)
    is_opened = is_named or any(_is_in(address, url.port, allow_private_hosts) for address in addresses)
    if addresses and not is_opened and not all(is_public(address) for address in addresses):
        raise ValueError(f"{url.host} is a private address. The operator can open it with builder.allow_private_hosts.")
    if url.scheme == "http" and not is_opened:
        raise ValueError("A git URL begins with https://, not http://: what is built must arrive unchanged.")


def known_addresses(host: str) -> tuple[Address, ...]:
    """The addresses of a host that needs no resolver."""
    if host in ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback") or host.endswith(".localhost"):
        return _LOOPBACK
    try:
        return (ipaddress.ip_address(host),)
    except ValueError:
        return ()


def _is_named(host: str, port: int, entries: Sequence[str]) -> bool:
    return any(_network(entry) is None and _parse_authority(entry, port) == (host, port) for entry in entries)


def _is_in(address: Address, port: int, entries: Sequence[str]) -> bool:
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    shown = address if inner is None else inner
    for entry in entries:
        network = _network(entry)
        if network is not None and shown.version == network.version and shown in network:
            return True
        if network is None and _parse_authority(entry, port) == (str(shown), port):
            return True
    return False


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address wraps: mapped, 6to4, Teredo, NAT64, or compatible."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    is_compatible = address in _COMPATIBLE and int(address) > 1
    if is_compatible or any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
