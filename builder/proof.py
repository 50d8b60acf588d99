"""Connections to the builders' API. On each one the gateway proves itself before a call uses it."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from builder.protocol.tokens import NONCE_BYTES, PROOF_BYTES, is_proof

PROOF_SECONDS = 10.0


class Unproven(aiohttp.ClientConnectionError):
    """A program answers at the address of the builders' API, but has not proven to be the gateway."""


class _Proven(aiohttp.BaseConnector):
    """Gives calls only connections over which the gateway has proven that it knows the build token.

    While no gateway runs, any program of the machine can listen on the port, and the listener may change between two
    connections. So the proof belongs to the connection, not to the address: a new one sends deployment, attempt and a
    fresh nonce, and enters the pool once HMAC(build token, ...) has come back over it. The other end of a pooled
    connection stays the same until it is closed.

    This does not protect from a program that forwards the nonce to a gateway and returns the answer, or that changes
    packets in between. Such a program needs a gateway that it can reach while it has the port, or a place on the
    network path. Use an `https` address in `builders.url`, or a separate network, against these. Builders on the
    gateway's machine call a Unix socket in a folder of the gateway's account, where no such program can be.
    """

    def __init__(self, calls: str, token: str, deployment_id: uuid.UUID, attempt: int, **options: Any) -> None:
        """`calls`: the path of this attempt's calls, with a slash at its end."""
        super().__init__(**options)
        self._calls = calls
        self._token = token
        self._deployment_id = deployment_id
        self._attempt = attempt

    # aiohttp's documented hook for custom connectors: `connect` calls it for each connection that is not pooled.
    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[aiohttp.tracing.Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        connection = await super()._create_connection(req, traces, timeout)
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                await self._prove(connection, req.url.host_port_subcomponent or "")
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _prove(self, connection: ResponseHandler, host: str) -> None:
        assert connection.transport is not None  # noqa: S101 - it was connected a moment ago
        nonce = secrets.token_hex(NONCE_BYTES)
        # Written by hand, because a request of aiohttp's session would need a connection from this pool.
        connection.set_response_params(auto_decompress=False)
        connection.transport.write(f"GET {self._calls}proof/{nonce} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        proof = await _read_proof(connection)
        if not is_proof(proof, self._token, self._deployment_id, self._attempt, nonce):
            raise Unproven(f"what listens on {host} does not know the build token, so it is not this build's gateway")


class ProvenTcp(_Proven, aiohttp.TCPConnector):
    pass


class ProvenUnix(_Proven, aiohttp.UnixConnector):
    pass


async def _read_proof(connection: ResponseHandler) -> bytes:
    """PROOF_BYTES, however long the answer is. Raises Unproven, or aiohttp's errors for a connection that breaks."""
    try:
        message, body = await connection.read()
    except HttpProcessingError as error:
        raise Unproven("it does not speak HTTP") from error
    if message.code != 200 or message.headers.get("Content-Length") != str(PROOF_BYTES):
        raise Unproven(f"it answered {message.code} and no proof that it is the gateway")
    return await body.read()
