"""All addresses of the API and the pages in one place."""

from __future__ import annotations

from aiohttp import web

from gateway.routes import deployments, health, logs, projects
from gateway.routes.pages import setup_pages


def setup_routes(app: web.Application) -> None:
    app.add_routes(
        [
            web.post("/project", projects.create_project),
            web.get("/project", projects.list_projects),
            web.get("/project/{slug}", projects.show_project),
            web.get("/project/{slug}/deployments", projects.list_deployments),
            web.post("/project/{slug}/deployments", projects.deploy_again),
            web.get("/deployment/{id}", deployments.show_deployment),
            web.post("/deployment/{id}/cancel", deployments.cancel_deployment),
            web.post("/deployment/{id}/promote", deployments.promote_deployment),
            web.get("/logs/{id}", logs.show_log),
            web.get("/health", health.health),
            web.get("/ready", health.ready),
            web.get("/metrics", health.metrics),
            web.get("/openapi.json", health.openapi),
        ]
    )
    setup_pages(app)
