"""The client of the builders' API (builder/protocol/calls.py)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from builder.errors import BuildFailed, Ended, Lost
from builder.masking import NO_SECRETS
from builder.proof import ProvenTcp, ProvenUnix
from builder.protocol.calls import DIGEST_HEADER, LEASE_SECONDS, Facts, Finish, Job, Manifest, StepStarted
from builder.protocol.steps import Step

FIRST_DELAY_SECONDS = 0.2
LAST_DELAY_SECONDS = 5.0
CALL_SECONDS = 30.0
HEARTBEAT_TIMEOUT_SECONDS = 10.0
BLOB_SILENCE_SECONDS = 120.0
CHUNK_BYTES = 1024 * 1024
FOR_EVER = float("inf")
UNIX = "unix:"

MakeBody = Callable[[], AsyncIterator[bytes]]


@contextlib.asynccontextmanager
async def open_api(
    url: str, token: str, deployment_id: uuid.UUID, attempt: int, *, patience_seconds: float = LEASE_SECONDS
) -> AsyncIterator[BuildersApi]:
    """Calls for one attempt, over connections on which the gateway has proven itself (builder/proof.py).

    `url` is an HTTP address, or `unix:` and the path of a socket.
    """
    unix = url.removeprefix(UNIX) if url.startswith(UNIX) else None
    root = f"{'http://localhost' if unix else url.rstrip('/')}/builds/{deployment_id}/{attempt}/"
    build = (urlsplit(root).path, token, deployment_id, attempt)
    with contextlib.ExitStack() as stack:
        connections = ProvenUnix(*build, path=_short(Path(unix), stack)) if unix else ProvenTcp(*build)
        async with aiohttp.ClientSession(connector=connections, trust_env=False) as session:
            yield BuildersApi(session, root, token, patience_seconds)


def _short(path: Path, stack: contextlib.ExitStack) -> str:
    """The socket by a descriptor of its folder, because its path may be longer than the address of a socket can be."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, folder)
    return f"/proc/self/fd/{folder}/{path.name}"


class BuildersApi:
    """Repeats a call if the gateway is unreachable, unproven or answers 5xx. 409 and 401 raise Ended."""

    def __init__(self, session: aiohttp.ClientSession, root: str, token: str, patience_seconds: float) -> None:
        self._session = session
        self._root = root
        self._headers = {"Authorization": f"Bearer {token}"}
        self._patience_seconds = patience_seconds
        self.masker = NO_SECRETS
        """Hides the secrets of the job in every text that is sent."""

    async def fetch_job(self) -> Job:
        """What to build. Raises Lost when the gateway does not answer."""
        return Job.from_json(await self._call("GET", "job"))

    async def heartbeat(self) -> None:
        """One try. Raises Ended for a canceled or replaced attempt, Lost if the gateway does not answer."""
        await self._call("POST", "heartbeat", seconds=HEARTBEAT_TIMEOUT_SECONDS, patience=0.0)

    async def start_step(self, step: Step, at: int) -> None:
        await self._call("POST", "step", StepStarted(step, at).to_json())

    async def add_facts(self, facts: Facts) -> None:
        await self._call("POST", "facts", self.masker.mask_message(facts).to_json())

    async def send_lines(self, record: bytes) -> None:
        """Returns once the batch is stored. Repeated without end; the heartbeats decide when to stop."""
        await self._call("POST", "lines", record, patience=FOR_EVER)

    async def send_manifest(self, manifest: Manifest) -> list[str]:
        """Returns the sha256 values whose bytes the gateway does not have yet."""
        missing = _field(await self._call("POST", "manifest", manifest.to_json(), seconds=4 * CALL_SECONDS), "missing")
        if not isinstance(missing, list):
            raise Lost("The gateway did not say which files are missing.")
        return [str(sha256) for sha256 in missing]

    async def put_blob(self, sha256: str, size: int, make_body: MakeBody) -> None:
        await self._call("PUT", f"blobs/{sha256}", make_body=make_body, size=size)

    async def fetch_cache(self, key: str, write: Callable[[bytes], Awaitable[object]]) -> str | None:
        """Passes on the bytes of a saved installation. Returns the digest that they should have; None: there is none.

        One try. Raises Lost.
        """
        timeout = aiohttp.ClientTimeout(sock_connect=HEARTBEAT_TIMEOUT_SECONDS, sock_read=CALL_SECONDS)
        try:
            async with self._session.get(
                f"{self._root}cache/{key}", headers=self._headers, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status == 404:
                    return None
                if response.status != 200:
                    raise Lost(f"The gateway answered {response.status}.")
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    await write(chunk)
                return response.headers.get(DIGEST_HEADER, "")
        except aiohttp.ClientError as error:
            raise Lost(f"The gateway did not send it: {error}") from error

    async def put_cache(self, key: str, sha256: str, size: int, make_body: MakeBody) -> None:
        await self._call("PUT", f"cache/{key}/{sha256}", make_body=make_body, size=size)

    async def finish(self, finish: Finish) -> None:
        """Returns once the gateway has decided. Repeated without end, as `send_lines`."""
        await self._call(
            "POST", "finish", self.masker.mask_message(finish).to_json(), seconds=4 * CALL_SECONDS, patience=FOR_EVER
        )

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        make_body: MakeBody | None = None,
        size: int = 0,
        seconds: float = CALL_SECONDS,
        patience: float | None = None,
    ) -> bytes:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._patience_seconds if patience is None else patience)
        delay = FIRST_DELAY_SECONDS
        headers = dict(self._headers)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=HEARTBEAT_TIMEOUT_SECONDS)
        if make_body is not None:
            headers |= {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            timeout = aiohttp.ClientTimeout(sock_connect=HEARTBEAT_TIMEOUT_SECONDS, sock_read=BLOB_SILENCE_SECONDS)
        elif body is not None:
            headers["Content-Type"] = "application/json"
        while True:
            try:
                return await self._try(method, path, headers, body if make_body is None else make_body(), timeout)
            except _Away as error:
                if loop.time() + delay > deadline:
                    raise Lost(f"The gateway did not take the call {path.split('/')[0]}: {error}.") from error
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the tries, nothing secret
            delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def _try(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | AsyncIterator[bytes] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> bytes:
        try:
            async with self._session.request(
                method, self._root + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _Away(str(error) or type(error).__name__) from error
        if status >= 500 or status in (408, 425, 429):
            raise _Away(f"it answered {status} {_details(content)}".rstrip(" ."))
        if status in (401, 403, 409):
            raise Ended(_details(content) or f"The gateway answered {status}.")
        if not 200 <= status < 300:
            raise BuildFailed(_details(content) or f"The gateway refused the call {path} with {status}.")
        return content


class _Away(Exception):
    """No answer came, or a 5xx."""


def _field(body: bytes, name: str) -> Any:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(body).get(name)
    return None


def _details(body: bytes) -> str:
    found = _field(body, "details")
    return found if isinstance(found, str) else ""
