"""A server of Git LFS: which objects it has, and their bytes, from checked addresses.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import urllib.parse
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import yarl

from builder.errors import BuildFailed, Lost
from builder.protocol.giturls import GitUrl
from builder.sources.remote import MAX_REDIRECTS, REDIRECTS, Remote, check_place, opened_session, resolve
from builder.sources.repository import Opener

SILENCE_SECONDS = 60.0
MAX_ANSWER_BYTES = 2**20
CHUNK_BYTES = 256 * 1024
JSON = "application/vnd.git-lfs+json"

Object = tuple[str, int]
"""The sha256 of its bytes, and how many they are."""


class Trouble(Exception):
    """Why an object can't be fetched: a sentence."""


class LfsServer:
    def __init__(self, opener: Opener, url: GitUrl) -> None:
        self._opener = opener
        self._url = url

    async def find(self, objects: Sequence[Object]) -> dict[str, dict[str, Any]]:
        """What the server says about each object. Raises Trouble."""
        wanted = [{"oid": oid, "size": size} for oid, size in objects]
        asked = {"operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": wanted}
        headers = {"Accept": JSON, "Content-Type": JSON, **self._opener.logins.headers_for(self._url)}
        async with self._answer(
            "POST", f"{self._url}/objects/batch", headers, data=json.dumps(asked).encode()
        ) as response:
            body = bytearray()
            while (chunk := await response.content.read(CHUNK_BYTES)) and len(body) < MAX_ANSWER_BYTES:
                body += chunk
        try:
            return {str(found["oid"]): dict(found) for found in json.loads(body)["objects"]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Trouble(f"{self._url} does not answer as a server of Git LFS.") from error

    async def download(self, wanted: Object, found: Mapping[str, Any], target: Path) -> None:
        """Writes exactly the wanted bytes, or raises Trouble."""
        oid, size = wanted
        if "error" in found:
            raise Trouble(f"The server says: {_message(found)}.")
        try:
            action = found["actions"]["download"]
            url, given = str(action["href"]), dict(action.get("header", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise Trouble("The server does not say where it is.") from error
        headers = {str(name): str(text) for name, text in given.items()}
        digest, left = hashlib.sha256(), size
        async with self._followed(url, headers) as response:
            with target.open("wb") as file:
                while left >= 0 and (chunk := await response.content.read(CHUNK_BYTES)):
                    digest.update(chunk)
                    left -= len(chunk)
                    file.write(chunk)
        if left != 0 or digest.hexdigest() != oid:
            raise Trouble("The server sent other bytes than the pointer names.")

    @contextlib.asynccontextmanager
    async def _followed(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer after all redirects, each checked like the first URL. Another server gets no headers."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(MAX_REDIRECTS + 1):
                response = await stack.enter_async_context(self._answer("GET", url, headers))
                if response.status not in REDIRECTS:
                    yield response
                    return
                target = urllib.parse.urljoin(url, response.headers.get("Location", ""))
                if urllib.parse.urlsplit(target)[:2] != urllib.parse.urlsplit(url)[:2]:
                    headers = {}
                url = target
            raise Trouble(f"The server redirects more than {MAX_REDIRECTS} times.")

    @contextlib.asynccontextmanager
    async def _answer(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer 200, or a redirect of a GET, from an accepted address. Raises Trouble."""
        try:
            place = check_place(url, self._opener.allow_private_hosts)
            addresses = await resolve(place, self._opener.allow_private_hosts)
        except (ValueError, BuildFailed, Lost) as error:
            raise Trouble(f"The server names an address that is not accepted. {error}") from error
        timeout = aiohttp.ClientTimeout(sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            async with (
                opened_session(Remote(place, addresses), self._opener.environ, timeout) as session,
                session.request(
                    method, yarl.URL(url, encoded=True), headers=headers, data=data, allow_redirects=False
                ) as response,
            ):
                if response.status != 200 and (method != "GET" or response.status not in REDIRECTS):
                    raise Trouble(_refusal(place, response.status))
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Trouble(f"{place.host} could not be reached, or broke off.") from error


def _message(found: Mapping[str, Any]) -> str:
    error = found["error"]
    text = error.get("message") if isinstance(error, dict) else None
    return " ".join(str(text or "the object is not there").split())[:200].rstrip(".")


def _refusal(place: GitUrl, status: int) -> str:
    if status in (401, 403):
        return f"{place.host} asks for a login, or its quota of Git LFS is used up (status {status})."
    if status == 404:
        return f"{place.host} has no Git LFS for this repository, or not this object."
    return f"{place.host} answered {status}."
