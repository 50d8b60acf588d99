"""Connections to the builders' API. Each one proves that the gateway is at its other end before a call uses it."""

from __future__ import annotations

import asyncio
import secrets
import uuid

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from builder.protocol.tokens import NONCE_BYTES, PROOF_BYTES, is_proof

PROOF_SECONDS = 10.0


class Unproven(aiohttp.ClientConnectionError):
    """Something listens on the address of the builders' API, and has not shown that it is the gateway."""


class ProvenConnections(aiohttp.TCPConnector):
    """Gives calls only connections over which the gateway has proven that it knows the build token.

    Any program of the machine can listen on the port while no gateway does, and what listens may change between two
    connections. So the proof belongs to the connection, not to the address: a new one sends deployment, attempt and a
    fresh nonce, and enters the pool once HMAC(build token, ...) has come back over it. A pooled connection keeps its
    other end until it is closed.

    What this does not hold: a program that passes the nonce on to a gateway and the answer back is taken for the
    gateway, and so is one that changes packets in between. It needs a gateway that it can reach while it has the port,
    or a place on the network path. Against those: an `https` address in `builders.url`, or a network of their own.
    """

    def __init__(self, path: str, token: str, deployment_id: uuid.UUID, attempt: int) -> None:
        """`path`: under which the calls of this attempt are, with a slash at its end."""
        super().__init__()
        self._path = path
        self._token = token
        self._deployment_id = deployment_id
        self._attempt = attempt

    # aiohttp's documented place for connectors of one's own: `connect` calls it for each connection that is not pooled.
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
        # Written by hand: a request of aiohttp's session would need a connection from this very pool.
        connection.set_response_params(auto_decompress=False)
        connection.transport.write(f"GET {self._path}proof/{nonce} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        proof = await _read_proof(connection)
        if not is_proof(proof, self._token, self._deployment_id, self._attempt, nonce):
            raise Unproven(f"what listens on {host} does not know the build token, so it is not this build's gateway")


async def _read_proof(connection: ResponseHandler) -> bytes:
    """PROOF_BYTES, whatever the other end sends. Raises Unproven, or as aiohttp does for connections that break."""
    try:
        message, body = await connection.read()
    except HttpProcessingError as error:
        raise Unproven("it does not speak HTTP") from error
    if message.code != 200 or message.headers.get("Content-Length") != str(PROOF_BYTES):
        raise Unproven(f"it answered {message.code} and no proof that it is the gateway")
    return await body.read()
