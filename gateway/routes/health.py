"""Liveness, readiness, metrics, and the description of the API."""

from __future__ import annotations

from aiohttp import web

from gateway.access.middlewares import describe
from gateway.config.resources import version
from gateway.routes.answers import answer, json_response
from gateway.routes.openapi import describe_api
from gateway.routes.table import ROUTES
from gateway.services import SERVICES

HIDDEN = "Not ready. Call /ready with the access token to see why."
"""Shown without a token, because the sentences name addresses and accounts."""


async def show_health(request: web.Request) -> web.Response:
    """200 while the process answers, whatever the state of the engines."""
    return answer(request, {"status": "ok", "version": version()})


async def show_ready(request: web.Request) -> web.Response:
    """200 if nothing is in trouble, else 503 and the troubles by name. Callers without a token get no sentences."""
    services = request.app[SERVICES]
    troubles = dict(sorted(services.health.troubles.items()))
    if troubles and not await services.access.is_admitted(describe(request)):
        troubles = dict.fromkeys(troubles, HIDDEN)
    body = {"ready": not troubles, "troubles": troubles, "isolation": services.isolation.name}
    return answer(request, body, 503 if troubles else 200)


async def show_metrics(request: web.Request) -> web.Response:
    text = await request.app[SERVICES].metrics.collect()
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def show_openapi(request: web.Request) -> web.Response:
    return json_response(describe_api(version(), tuple(request.app[ROUTES].values())))
