"""Names the engine when a background task of its driver fails, in one line, where asyncio would print a traceback."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

ENGINES = {"aiokafka": "Kafka", "asynch": "ClickHouse", "asyncpg": "PostgreSQL", "aiobotocore": "S3 or ECS"}
"""By package. When their server goes away, tasks of these drivers fail, and no caller receives that error; the call
that needed the server fails with an error of its own."""


def name_lost_errors(loop: asyncio.AbstractEventLoop) -> None:
    """From now on. Errors of other tasks are shown as before."""
    loop.set_exception_handler(_handle)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    engine = _engine_of(error) if isinstance(error, Exception) else None
    if engine is None:
        loop.default_exception_handler(context)
        return
    log.warning("a background task of the driver of %s failed: %s: %s", engine, type(error).__name__, error)


def _engine_of(error: Exception) -> str | None:
    """The engine whose driver the innermost of its frames belongs to."""
    frame, found = error.__traceback__, None
    while frame is not None:
        package = str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        found = ENGINES.get(package, found)
        frame = frame.tb_next
    return found
