"""Finds out where a git URL leads before git connects: addresses, redirects, and whether a repository answers."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import re
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from builder.errors import BuildFailed, Lost
from builder.protocol.giturls import Address, GitUrl, is_allowed_address, known_addresses, parse_git_url

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
ANSWER_SECONDS = 30.0
TRIES = 3
CHUNK_BYTES = 64 * 1024
START_BYTES = 64
SERVICE = "/info/refs?service=git-upload-pack"
GIT_TYPE = "application/x-git-upload-pack-advertisement"
WEB_PAGES = ("text/html", "application/xhtml+xml")
_FILTER = re.compile(rb"version 2\n(?s:.*)fetch=[^\n]*\bfilter\b")
CERTIFICATE_NAMES = ("GIT_SSL_CAINFO", "SSL_CERT_FILE")


LoginFor = Callable[[GitUrl], Mapping[str, str]]
"""The headers of a login for a URL; none for other servers than the one that it belongs to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Remote:
    """Where to clone from: the URL after all redirects, and the only addresses that its host may have.

    `can_filter`: the server can leave out file contents. `has_moved`: all redirects were permanent.
    """

    url: GitUrl
    addresses: tuple[Address, ...]
    can_filter: bool = False
    has_moved: bool = False

    @property
    def settings(self) -> list[str]:
        """Git's options that let it connect to these addresses only."""
        if self.url.scheme == "ssh" or ":" in self.url.host or self.url.host.replace(".", "").isdigit():
            return []
        addresses = ",".join(f"[{address}]" if address.version == 6 else str(address) for address in self.addresses)
        return ["-c", f"http.curloptResolve={self.url.host}:{self.url.port}:{addresses}"]


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    """What the server said: the target of a redirect, or what it can do."""

    location: str | None = None
    is_permanent: bool = False
    can_filter: bool = False


async def find_remote(
    url: GitUrl, allow_private_hosts: Sequence[str], environ: Mapping[str, str], login_for: LoginFor
) -> Remote:
    """Follow redirects by hand, checking each URL like the first one. Raises BuildFailed with a sentence."""
    asked, has_moved = url, True
    for _ in range(MAX_REDIRECTS + 1):
        addresses = await resolve(url, allow_private_hosts)
        if url.scheme == "ssh":
            return Remote(url, addresses, can_filter=True)  # git says so in the log if this server can't
        answer = await _ask(Remote(url, addresses), environ, login_for(url))
        if answer.location is None:
            return Remote(url, addresses, answer.can_filter, has_moved and url != asked)
        has_moved = has_moved and answer.is_permanent
        url = _redirected(url, answer.location, allow_private_hosts)
    raise BuildFailed(f"The git server redirects more than {MAX_REDIRECTS} times.")


def opened_session(remote: Remote, environ: Mapping[str, str], timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Connects to these addresses only, and trusts what git trusts."""
    connector = aiohttp.TCPConnector(resolver=_Pinned(remote), ssl=_trust(environ), use_dns_cache=False)
    headers = {"User-Agent": "git/2 buildspace"}
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers, trust_env=False)


def check_place(url: str, allow_private_hosts: Sequence[str]) -> GitUrl:
    """The scheme, host and port of any URL, under the rules of a git URL. Raises ValueError with a sentence."""
    parts = urllib.parse.urlsplit(url)
    return parse_git_url(f"{parts.scheme}://{parts.netloc}/any", allow_private_hosts)


async def resolve(url: GitUrl, allow_private_hosts: Sequence[str]) -> tuple[Address, ...]:
    """The addresses of the host. Raises BuildFailed if one of them is private and not allowed by the operator."""
    addresses = known_addresses(url.host) or await _look_up(url)
    for address in addresses:
        if not is_allowed_address(url, address, allow_private_hosts):
            raise BuildFailed(
                f"{url.host} resolves to the private address {address}. "
                "The operator can open it with builder.allow_private_hosts."
            )
    return addresses


async def _look_up(url: GitUrl) -> tuple[Address, ...]:
    loop = asyncio.get_running_loop()
    for tried in range(TRIES):
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
            return tuple(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
        except TimeoutError as error:
            raise Lost(f"The name {url.host} could not be looked up in time.") from error
        except socket.gaierror as error:
            if error.errno != socket.EAI_AGAIN:
                raise BuildFailed(f"There is no host called {url.host}.") from error
        await asyncio.sleep(tried + 1)
    raise BuildFailed(f"The name {url.host} could not be looked up: no name server answered.")


async def _ask(remote: Remote, environ: Mapping[str, str], login: Mapping[str, str]) -> _Answer:
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    headers = {"Accept": "*/*", "Git-Protocol": "version=2", **login}
    try:
        async with (
            opened_session(remote, environ, timeout) as session,
            session.get(f"{str(remote.url).rstrip('/')}{SERVICE}", headers=headers, allow_redirects=False) as response,
        ):
            if response.status in REDIRECTS:
                return _Answer(response.headers.get("Location", ""), response.status in (301, 308))
            _check_status(remote.url, response.status, has_login=bool(login))
            _check_type(remote.url, response.content_type)
            return _Answer(can_filter=_FILTER.search(await _start_of(response)) is not None)
    except aiohttp.ClientConnectorCertificateError as error:
        raise BuildFailed(f"The certificate of {remote.url.host} is not trusted: {error.certificate_error}.") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise BuildFailed(f"{remote.url.host} could not be reached on port {remote.url.port}.") from error


async def _start_of(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer of protocol version 2, which names capabilities alone; of others, which list all refs, less."""
    body = b""
    while chunk := await response.content.read(CHUNK_BYTES):
        body += chunk
        is_version_2 = b"version 2\n" in body[:START_BYTES]
        if len(body) >= (CHUNK_BYTES if is_version_2 else START_BYTES):
            break
    return body


def _check_type(url: GitUrl, content_type: str) -> None:
    if content_type == GIT_TYPE:
        return
    found = "a web page" if content_type in WEB_PAGES else f"{content_type[:80]!a}"
    raise BuildFailed(
        f"{url} answers with {found}, not with a git repository."
        " Use the URL that `git clone` takes, such as https://github.com/owner/repository. If it shows a login page,"
        " the repository is private."
    )


def _check_status(url: GitUrl, status: int, *, has_login: bool) -> None:
    if has_login and status in (401, 403, 404):
        raise BuildFailed(
            f"{url} does not exist, or the project's git token does not open it. Set a token that may read it."
        )
    if status in (401, 403):
        # Large hosts also answer like this for repositories that do not exist.
        raise BuildFailed(
            f"{url} is private or does not exist: the server asks for a login."
            " If it is private, give the project a git token or a deploy key."
        )
    if status in (404, 410):
        raise BuildFailed(f"There is no git repository at {url}.")
    if status >= 500 or status == 429:
        raise BuildFailed(f"The git server at {url.host} has a problem: it answered {status}. Try again later.")
    if status != 200:
        raise BuildFailed(f"The git server at {url.host} answered {status} where a repository was expected.")


def _redirected(url: GitUrl, location: str, allow_private_hosts: Sequence[str]) -> GitUrl:
    target = urllib.parse.urljoin(f"{str(url).rstrip('/')}{SERVICE}", location)
    if not target.endswith(SERVICE):
        raise BuildFailed(f"There is no git repository at {url}: the server redirects elsewhere.")
    try:
        return parse_git_url(target.removesuffix(SERVICE), allow_private_hosts)
    except ValueError as error:
        raise BuildFailed(f"The git server redirects to a URL that is not accepted. {error}") from error


def _trust(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The certificate authorities that git will trust."""
    file = next((environ[name] for name in CERTIFICATE_NAMES if environ.get(name)), None)
    return ssl.create_default_context(cafile=file)


class _Pinned(AbstractResolver):
    """Answers with the checked addresses, even if name servers give others by now."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._remote.addresses
        ]

    async def close(self) -> None:
        pass
