"""Reads the forms of the pages, and no others."""

from __future__ import annotations

import urllib.parse

from aiohttp import web

from gateway.access.middlewares import describe
from gateway.errors import Forbidden, Invalid
from gateway.routes.bodies import read_body
from gateway.services import SERVICES

MAX_FIELDS = 50


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a form that one of these pages sent. Raises Forbidden for a form from elsewhere."""
    caller = describe(request)
    if not caller.header("Origin") and caller.header("Sec-Fetch-Site") != "same-origin":
        raise Forbidden("Forms are accepted from this gateway's own pages only. Programs call the API with JSON.")
    body = await read_body(request, request.app[SERVICES].config.api.body_bytes)
    try:
        fields = urllib.parse.parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError as error:
        raise Invalid("The body is not a form.") from error
    return dict(fields)
