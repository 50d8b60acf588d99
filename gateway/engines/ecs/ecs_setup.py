"""Checks what a task on ECS needs: the cluster, the task definition and its container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import config
from gateway.engines.ecs.ecs_api import EcsApi, EcsRefusal
from gateway.errors import Unavailable


async def check_cluster(api: EcsApi, settings: config.Ecs, *, is_patient: bool = True) -> None:
    """Raises Unavailable unless the cluster exists and is active."""
    try:
        answer = await api.call("describe_clusters", clusters=[settings.cluster], is_patient=is_patient)
    except EcsRefusal as error:
        raise Unavailable(f"ECS does not show the cluster {settings.cluster} to the gateway ({error}).") from error
    statuses = [cluster.get("status") for cluster in answer.get("clusters", [])]
    if statuses != ["ACTIVE"]:
        state = f"is {statuses[0]}" if statuses else "does not exist"
        raise Unavailable(
            f"The ECS cluster {settings.cluster} {state} in {api.region}. Check ecs.cluster (CLUSTER_ARN)."
        )


async def check_definition(api: EcsApi, settings: config.Ecs) -> None:
    """Raises Unavailable if tasks would not start. Does nothing if the gateway's role may not read the definition."""
    try:
        definition = await find_definition(api, settings, is_patient=False)
    except Unavailable as error:
        if isinstance(error.__cause__, EcsRefusal) and error.__cause__.code == "AccessDeniedException":
            return
        raise
    if wrong := find_faults(definition, settings):
        raise Unavailable(" ".join(wrong))


async def find_definition(api: EcsApi, settings: config.Ecs, *, is_patient: bool = True) -> Mapping[str, Any]:
    """Raises Unavailable if ECS does not return it."""
    try:
        answer = await api.call(
            "describe_task_definition", taskDefinition=settings.task_definition, is_patient=is_patient
        )
    except EcsRefusal as error:
        raise Unavailable(
            f"ECS does not show the task definition {settings.task_definition}: register it, set ecs.task_definition"
            f" (TASK_ARN), and let the gateway's role call ecs:DescribeTaskDefinition ({error})."
        ) from error
    definition: Mapping[str, Any] = answer.get("taskDefinition", {})
    return definition


def find_faults(definition: Mapping[str, Any], settings: config.Ecs) -> list[str]:
    """Why tasks of this definition would not start, or would have too many rights. One sentence for each reason."""
    wrong: list[str] = []
    containers = definition.get("containerDefinitions", [])
    names = [container.get("name") for container in containers]
    if settings.container not in names:
        wrong.append(
            f"ecs.container is {settings.container}, and the task definition has none: it has {', '.join(names)}."
        )
    if definition.get("status", "ACTIVE") != "ACTIVE":
        wrong.append("The task definition is not active: register it again, and set ecs.task_definition (TASK_ARN).")
    if definition.get("networkMode") != "awsvpc":
        wrong.append('The task definition\'s networkMode must be "awsvpc".')
    if "FARGATE" not in (definition.get("compatibilities") or definition.get("requiresCompatibilities") or []):
        wrong.append('The task definition\'s requiresCompatibilities must hold "FARGATE".')
    if definition.get("taskRoleArn"):
        wrong.append("The task definition has a taskRoleArn, so every build could use that role: remove it.")
    if any((container.get("linuxParameters") or {}).get("initProcessEnabled") for container in containers):
        wrong.append(
            "The task definition has initProcessEnabled, and that process would show the builder's token to its build:"
            " remove it."
        )
    return wrong
