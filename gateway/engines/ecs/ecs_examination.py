"""The doctor's examination of ECS: the cluster, the task definition and its container."""

from __future__ import annotations

from gateway import config
from gateway.engines.ecs.ecs_api import EcsApi
from gateway.engines.ecs.ecs_setup import check_cluster, find_definition, find_faults
from gateway.errors import Unavailable


async def examine_ecs(api: EcsApi, settings: config.Ecs, isolation: str) -> str:
    """Starts nothing."""
    await check_cluster(api, settings)
    definition = await find_definition(api, settings)
    if wrong := find_faults(definition, settings):
        raise Unavailable(" ".join(wrong))
    name = f"{definition.get('family')}:{definition.get('revision')}"
    return (
        f"tasks of {name} on the ECS cluster {settings.cluster}, isolation {isolation} (the first line of each build's"
        " log says what it does not hold)."
    )
