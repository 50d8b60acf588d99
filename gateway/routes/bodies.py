"""Reads the bodies of calls: whole, within a time limit, as JSON that no two parsers read differently."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any, NoReturn

from aiohttp import web

from gateway.errors import Invalid, TooLarge, TooSlow, Unsupported

BODY_SECONDS = 10.0
MAX_DIGITS = 40


async def read_json(request: web.Request, limit_bytes: int) -> dict[str, Any]:
    """Raises Unsupported, TooLarge, TooSlow, or Invalid with a sentence."""
    if request.content_type != "application/json":
        raise Unsupported("Send the body as JSON, with the header `Content-Type: application/json`.")
    return parse_object(await read_body(request, limit_bytes))


async def read_body(request: web.Request, limit_bytes: int, limit_seconds: float | None = None) -> bytes:
    """The whole body. Raises Unsupported, TooLarge (without reading on) and TooSlow (after BODY_SECONDS by default)."""
    seconds = BODY_SECONDS if limit_seconds is None else limit_seconds
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Unsupported("Send the body without Content-Encoding.")
    if request.content_length is not None and request.content_length > limit_bytes:
        raise TooLarge(f"The body has {request.content_length} bytes; the limit is {limit_bytes}.")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise TooLarge(f"The body has more than {limit_bytes} bytes.")
    except TimeoutError as error:
        raise TooSlow(f"The body did not arrive within {seconds:.0f} seconds.") from error
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object. Raises Invalid for other JSON, for duplicate names, NaN, huge numbers and deep nesting."""
    if not body:
        raise Invalid("The body is empty; send a JSON object.")
    try:
        found = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_read_int,
            parse_float=_read_float,
        )
    except UnicodeDecodeError as error:
        raise Invalid("The body is not UTF-8.") from error
    except RecursionError as error:
        raise Invalid("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise Invalid(f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}.") from error
    if not isinstance(found, dict):
        raise Invalid("The body must be a JSON object, in braces.")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Invalid(f"The name {twice[:60]!a} appears twice in the body.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise Invalid(f"{name} is not JSON.")


def _read_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Invalid("A number in the body has too many digits.")
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Invalid("A number in the body is too large.")
    return number
