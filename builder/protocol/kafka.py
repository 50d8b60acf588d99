"""Kafka for both sides: the settings of a connection, a producer that recovers, a stop that ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from builder.protocol.calls import KafkaTarget

START_SECONDS = 10.0
REQUEST_SECONDS = 10.0
SEND_SECONDS = 15.0
STOP_SECONDS = 3.0
MOST_BYTES = 1024 * 1024
"""Brokers with default settings refuse larger records."""

# aiokafka logs each of its many tries as an error; the caller logs once what is wrong.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class NotSent(Exception):
    """Kafka did not acknowledge the record, which may be stored or not. Sending it again may succeed."""


class TooLargeToSend(Exception):
    """Kafka will never accept this record."""


class _Client(Protocol):
    async def stop(self) -> None: ...


def connection_settings(target: KafkaTarget) -> dict[str, Any]:
    """The arguments of every aiokafka client. Reads the system's authorities, so call it in a thread.

    Raises ssl.SSLError if `ca` is no certificate.
    """
    settings: dict[str, Any] = {
        "bootstrap_servers": list(target.brokers),
        "client_id": "buildspace",
        "security_protocol": target.security_protocol,
    }
    if target.security_protocol.endswith("SSL"):
        settings["ssl_context"] = ssl.create_default_context(cadata=target.ca or None)
    if target.security_protocol.startswith("SASL"):
        settings |= {
            "sasl_mechanism": target.sasl_mechanism,
            "sasl_plain_username": target.username,
            "sasl_plain_password": target.password,
        }
    return settings


class RecordProducer:
    """One idempotent producer, made for the first record and replaced after a failure."""

    def __init__(self, target: KafkaTarget) -> None:
        self._target = target
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """Return once every in-sync replica has the record. Raises NotSent or TooLargeToSend.

        `timestamp_ms`: milliseconds since 1970. None: now.
        """
        producer = await self._opened()
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await producer.send_and_wait(topic, value, key=key, headers=list(headers), timestamp_ms=timestamp_ms)
        except MessageSizeTooLargeError as error:
            raise TooLargeToSend(str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            # An idempotent producer that lost a record refuses those after it, so the next record gets a new producer.
            await self._forget(producer)
            raise NotSent(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Always ends within a few seconds."""
        if self._producer is not None:
            await self._forget(self._producer)

    async def _opened(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                self._producer = await self._open()
            return self._producer

    async def _open(self) -> AIOKafkaProducer:
        try:
            settings = await asyncio.to_thread(connection_settings, self._target)
        except OSError as error:
            raise NotSent(f"the certificate authority can't be read: {error}") from error
        producer = AIOKafkaProducer(
            **settings,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            max_request_size=2 * MOST_BYTES,
        )
        await start_in_time(producer.start(), producer)
        return producer

    async def _forget(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
        await stop_in_time(producer)


async def start_in_time(starting: Awaitable[None], client: _Client, seconds: float = START_SECONDS) -> None:
    """Start a client; stop it if that fails. Raises NotSent, because aiokafka raises one error for all causes."""
    try:
        async with asyncio.timeout(seconds):
            await starting
    except (KafkaError, OSError, TimeoutError) as error:
        await stop_in_time(client)
        raise NotSent(str(error) or type(error).__name__) from error
    except BaseException:
        await stop_in_time(client)
        raise


async def stop_in_time(client: Any, seconds: float = STOP_SECONDS) -> None:
    """Stop a client of aiokafka. Its own stop waits for brokers that are away, sometimes for ever (#773)."""
    if await _ends(client.stop(), seconds):
        return
    # A connection that an interrupted stop leaves behind would keep trying to connect.
    sender = getattr(client, "_sender", None)
    if sender is not None and sender.sender_task is not None:
        sender.sender_task.cancel()
    for name in ("_coordinator", "_fetcher", "client", "_client"):
        part = getattr(client, name, None)
        if part is not None:
            await _ends(part.close(), 1.0)


async def _ends(closing: Awaitable[None], seconds: float) -> bool:
    """Whether it ended by itself. Its errors are ignored, because the client is discarded."""
    task = asyncio.ensure_future(closing)
    _, pending = await asyncio.wait([task], timeout=seconds)
    if not pending and not task.cancelled():
        task.exception()
    task.cancel()
    return not pending
