"""Sends line batches to Kafka, each signed with the build token."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid

from builder.protocol.calls import KafkaTarget
from builder.protocol.kafka import NotSent, RecordProducer, TooLargeToSend
from builder.protocol.tokens import SIGNATURE_HEADER, sign

FIRST_DELAY_SECONDS = 0.2
LAST_DELAY_SECONDS = 2.0

logger = logging.getLogger(__name__)


class KafkaSender:
    """The `send` of a LineSender. One batch at a time, so the topic holds an attempt's lines in order."""

    def __init__(self, target: KafkaTarget, token: str, deployment_id: uuid.UUID) -> None:
        self._topic = target.topic
        self._token = token
        self._key = str(deployment_id).encode()
        self._producer = RecordProducer(target)
        self._is_away = False

    async def send(self, record: bytes) -> None:
        """Returns once Kafka has acknowledged the record. Repeated without end; the build does not wait for it.

        A record that Kafka will never accept is left out: the gateway then reports its lines as missing.
        """
        headers = [(SIGNATURE_HEADER, sign(self._token, record))]
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                await self._producer.send(self._topic, record, key=self._key, headers=headers)
            except TooLargeToSend as error:
                logger.error("log lines dropped, Kafka refuses them: %s", error)
                return
            except NotSent as error:
                self._complain(error)
            else:
                self._is_away = False
                return
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads the tries, nothing secret
            delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def close(self) -> None:
        """Ends within a few seconds, even if Kafka is away."""
        await self._producer.close()

    def _complain(self, error: NotSent) -> None:
        if not self._is_away:
            self._is_away = True
            logger.warning("Kafka does not accept log lines, which wait on disk: %s", error)
