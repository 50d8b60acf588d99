"""Deployments: look at one, cancel it, make it live."""

from __future__ import annotations

from aiohttp import web

from gateway.routes.answers import DeploymentHistory, answer
from gateway.routes.projects import expect_nothing
from gateway.routes.schemas import read_deployment_id
from gateway.services import SERVICES


async def show_deployment(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    deployment = await services.deployments.get(read_deployment_id(request.match_info["id"]))
    return answer(request, DeploymentHistory(deployment, await services.deployments.attempts(deployment.id)))


async def cancel_deployment(request: web.Request) -> web.Response:
    """From now on nothing of it will be published; its builder is stopped within seconds."""
    services = request.app[SERVICES]
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    deployment = await services.deployments.cancel(deployment_id)
    services.dispatcher.wake()
    services.reconciler.wake()
    return answer(request, deployment)


async def promote_deployment(request: web.Request) -> web.Response:
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    return answer(request, await request.app[SERVICES].releases.promote(deployment_id))
