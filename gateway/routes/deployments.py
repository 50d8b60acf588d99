"""Deployments: look at one, cancel it, make it live."""

from __future__ import annotations

from aiohttp import web

from gateway.access.guard import ACTOR
from gateway.routes.answers import DeploymentHistory, answer
from gateway.routes.projects import expect_nothing
from gateway.routes.requests import read_deployment_id
from gateway.services import SERVICES


async def show_deployment(request: web.Request) -> web.Response:
    deployments, actor = request.app[SERVICES].deployments, request[ACTOR]
    deployment = await deployments.get(actor, read_deployment_id(request.match_info["id"]))
    return answer(request, DeploymentHistory(deployment, await deployments.attempts(actor, deployment.id)))


async def cancel_deployment(request: web.Request) -> web.Response:
    """From now on nothing of it will be published; its builder is stopped within seconds."""
    services = request.app[SERVICES]
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    deployment = await services.deployments.cancel(request[ACTOR], deployment_id)
    services.dispatcher.wake()
    services.leases.wake()
    return answer(request, deployment)


async def promote_deployment(request: web.Request) -> web.Response:
    deployment_id = read_deployment_id(request.match_info["id"])
    await expect_nothing(request)
    return answer(request, await request.app[SERVICES].releases.promote(request[ACTOR], deployment_id))
