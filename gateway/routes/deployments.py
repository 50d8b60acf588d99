"""Deployments: show one, cancel it, make it live."""

from __future__ import annotations

from aiohttp import web

from gateway.routes.answers import attempt_json, deployment_json, json_response
from gateway.routes.projects import expect_nothing
from gateway.routes.schemas import read_deployment_id
from gateway.services import SERVICES


async def show_deployment(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    deployment = await services.deployments.get(read_deployment_id(request.match_info["id"]))
    attempts = [attempt_json(attempt) for attempt in await services.deployments.attempts(deployment.id)]
    return json_response(deployment_json(deployment, services.addresses) | {"attempts": attempts})


async def cancel_deployment(request: web.Request) -> web.Response:
    """Nothing of it is published from now on; its builder is stopped within seconds."""
    services = request.app[SERVICES]
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    deployment = await services.deployments.cancel(deployment_id)
    services.dispatcher.wake()
    services.reconciler.wake()
    return json_response(deployment_json(deployment, services.addresses))


async def promote_deployment(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    deployment = await services.releases.promote(deployment_id)
    return json_response(deployment_json(deployment, services.addresses))
