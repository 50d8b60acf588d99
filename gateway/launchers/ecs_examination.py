"""What `buildspace doctor` looks at on ECS: the cluster, the task definition and the container in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import config
from gateway.errors import Unavailable
from gateway.launchers.ecs import check_cluster, choose_isolation
from gateway.launchers.ecs_api import EcsApi, EcsRefusal, open_ecs_api


async def examine(configuration: config.Config) -> str:
    """What is there, in a sentence. Starts nothing. Raises ConfigError, and Unavailable with what is wrong."""
    settings = configuration.ecs
    isolation = choose_isolation(configuration.builder.isolation)
    async with open_ecs_api(settings) as api:
        await check_cluster(api, settings)
        definition = await _find_definition(api, settings)
    if wrong := find_faults(definition, settings):
        raise Unavailable(" ".join(wrong))
    name = f"{definition.get('family')}:{definition.get('revision')}"
    return f"tasks of {name} on the ECS cluster {settings.cluster}, isolation {isolation}."


def find_faults(definition: Mapping[str, Any], settings: config.Ecs) -> list[str]:
    """Why tasks of this definition would not start, or would hold too much; a sentence for each."""
    wrong: list[str] = []
    names = [container.get("name") for container in definition.get("containerDefinitions", [])]
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
        wrong.append("The task definition has a taskRoleArn, so every build could act for it: take it out.")
    return wrong


async def _find_definition(api: EcsApi, settings: config.Ecs) -> Mapping[str, Any]:
    try:
        answer = await api.call("describe_task_definition", taskDefinition=settings.task_definition)
    except EcsRefusal as error:
        raise Unavailable(
            f"ECS does not show the task definition {settings.task_definition}: register it, set ecs.task_definition"
            f" (TASK_ARN), and let the gateway's role call ecs:DescribeTaskDefinition ({error})."
        ) from error
    definition: Mapping[str, Any] = answer.get("taskDefinition", {})
    return definition
