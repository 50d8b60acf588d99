"""Values as the JSON that users see: camelCase, ISO 8601 with milliseconds and Z."""

from __future__ import annotations

import datetime
import json
from typing import Any

from aiohttp import web

from gateway.addresses import Addresses
from gateway.models import Attempt, BuildSettings, Deployment, Project, StepTiming


def json_response(body: object, status: int = 200, **headers: str) -> web.Response:
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def deployment_json(deployment: Deployment, addresses: Addresses) -> dict[str, Any]:
    return {
        "id": str(deployment.id),
        "project": deployment.project_slug,
        "number": deployment.number,
        "status": str(deployment.status),
        "attempt": deployment.attempt,
        "trigger": str(deployment.trigger),
        "reason": deployment.reason,
        "queueReason": deployment.queue_reason,
        "exitCode": deployment.exit_code,
        "isLive": deployment.is_live,
        "commit": _commit(deployment),
        "branch": deployment.settings.branch,
        "framework": deployment.framework,
        "nodeVersion": deployment.node_version,
        "isolation": deployment.isolation,
        "steps": [_step(step) for step in deployment.steps],
        "files": deployment.files,
        "bytes": deployment.bytes,
        "createdAt": iso(deployment.created_at),
        "startedAt": iso(deployment.started_at),
        "completedAt": iso(deployment.completed_at),
        "url": addresses.site(deployment.project_slug),
        "deploymentUrl": addresses.deployment(deployment.project_slug, deployment.id),
        "logsUrl": addresses.log(deployment.id),
        "pageUrl": addresses.page(deployment.id),
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "startedAt": iso(attempt.started_at),
        "steps": [_step(step) for step in attempt.steps],
        "reason": attempt.reason,
    }


def project_json(project: Project, newest: Deployment | None, addresses: Addresses) -> dict[str, Any]:
    return {
        "name": project.name,
        "slug": project.slug,
        "gitUrl": project.git_url,
        **_settings(project.settings),
        "url": addresses.site(project.slug),
        "createdAt": iso(project.created_at),
        "liveDeploymentId": str(project.live_deployment_id) if project.live_deployment_id else None,
        "newestDeployment": deployment_json(newest, addresses) if newest else None,
    }


def deployed_json(deployment: Deployment, addresses: Addresses) -> dict[str, str]:
    return {
        "deploymentId": str(deployment.id),
        "projectSlug": deployment.project_slug,
        "status": str(deployment.status),
        "url": addresses.site(deployment.project_slug),
    }


def iso(moment: datetime.datetime | None) -> str | None:
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of_milliseconds(milliseconds: int) -> str:
    """Computed in whole numbers, because a float would lose the last millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = datetime.datetime.fromtimestamp(min(seconds, 253402300799), datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


def _commit(deployment: Deployment) -> dict[str, str | None] | None:
    if deployment.commit_sha is None:
        return None
    return {"sha": deployment.commit_sha, "message": deployment.commit_message}


def _step(step: StepTiming) -> dict[str, Any]:
    return {"name": step.name, "startedAt": iso_of_milliseconds(step.started_at), "seconds": step.seconds}


def _settings(settings: BuildSettings) -> dict[str, str | None]:
    return {
        "branch": settings.branch,
        "rootDirectory": settings.root_directory,
        "installCommand": settings.install_command,
        "buildCommand": settings.build_command,
        "outputDirectory": settings.output_directory,
        "nodeVersion": settings.node_version,
    }
