"""The one S3 client of the process, its limits, and its calls with a deadline and errors in our words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from aiohttp.abc import AbstractResolver
from botocore.exceptions import BotoCoreError, ClientError

from gateway.config import S3
from gateway.engines.s3.s3_words import NO_KEYS, explain
from gateway.errors import GatewayError, Unavailable

CONNECT_SECONDS = 2.0
READ_SECONDS = 15.0
CALL_SECONDS = 20.0
TRIES = 2
"""With the pause in between, two tries to connect detect within five seconds that a store is away."""
LEAST_CONNECTIONS = 4
KEEPALIVE_SECONDS = 12.0


class S3Client:
    """Made at the first call, so that missing credentials or an unreachable store do not stop the start."""

    def __init__(self, config: S3, resolver: AbstractResolver | None = None) -> None:
        self.config = config
        self.connections = max(config.connections, LEAST_CONNECTIONS)
        self._resolver = resolver
        self._client: Any = None
        self._making = asyncio.Lock()
        self._open = contextlib.AsyncExitStack()

    async def call(self, operation: str, *, seconds: float = CALL_SECONDS, **parameters: Any) -> Any:
        """One operation on the bucket. Raises NotFound, NoSuchRange, Conflict and Unavailable."""
        with self.in_our_words(operation):
            async with asyncio.timeout(seconds):
                client = self._client or await self._make()
                return await getattr(client, operation)(Bucket=self.config.bucket, **parameters)

    @contextlib.contextmanager
    def in_our_words(self, operation: str) -> Iterator[None]:
        try:
            yield
        except GatewayError:
            raise
        # RuntimeError: raised by botocore if a role gives expired keys, and by aiohttp while it closes.
        except (ClientError, BotoCoreError, aiohttp.ClientError, OSError, TimeoutError, RuntimeError) as error:
            raise explain(error, operation, self.config) from error

    async def close(self) -> None:
        await self._open.aclose()

    async def _make(self) -> Any:
        async with self._making:
            if self._client is None:
                session = get_session()
                keys = await self._find_keys(session)
                # Parsing the service model is slow: this loader keeps it for the client.
                loader = session.get_component("data_loader")
                await asyncio.to_thread(loader.load_service_model, "s3", "service-2")
                creating = session.create_client(
                    "s3",
                    region_name=self.config.region,
                    endpoint_url=self.config.endpoint or None,
                    config=_limits(self.config, self.connections, self._resolver),
                    **keys,
                )
                self._client = await self._open.enter_async_context(creating)
                self._client.meta.events.register_last("before-call.s3.DeleteObjects", _add_md5)
        return self._client

    async def _find_keys(self, session: AioSession) -> dict[str, str]:
        """The keys of the settings. Without them the session uses AWS's provider chain, and renews those it finds."""
        if self.config.access_key_id:
            return {
                "aws_access_key_id": self.config.access_key_id,
                "aws_secret_access_key": self.config.secret_access_key.reveal(),
            }
        if await session.get_credentials() is None:
            raise Unavailable(NO_KEYS)
        return {}


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Some compatible stores require it, and do not support the checksum that botocore sends instead."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


def _limits(config: S3, connections: int, resolver: AbstractResolver | None) -> AioConfig:
    style = config.addressing
    if style == "auto":
        style = "path" if config.endpoint else "virtual"
    return AioConfig(
        signature_version="s3v4",
        # TLS already protects the bytes; without it their hash is part of the signature.
        s3={"addressing_style": style, "payload_signing_enabled": config.endpoint.startswith("http://")},
        # Otherwise botocore sends trailers, which many compatible stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": TRIES},
        ignore_configured_endpoint_urls=True,
        connector_args={"keepalive_timeout": KEEPALIVE_SECONDS} | ({"resolver": resolver} if resolver else {}),
    )
