"""Turns ECS's answers into sentences: why it starts no task, and why a task ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import config
from gateway.engines.ecs.ecs_api import EcsRefusal
from gateway.errors import LaunchRefused

_PASSES = ("capacity is unavailable", "reached the limit", "limit exceeded", "try again")
"""Parts of messages that mean a temporary lack of room. Fargate has the same codes for wrong calls."""
_NO_ROOM = {
    "RESOURCE:ENI": "no network interface is left; check the quota and the free addresses of ecs.subnets",
    "RESOURCE:CPU": "there are not enough processors",
    "RESOURCE:MEMORY": "there is not enough memory",
    "AGENT": "the agent of the cluster is not connected",
}

_UNFORESEEN = "it refuses the call, which will be repeated"


def refusal(error: EcsRefusal, settings: config.Ecs) -> LaunchRefused:
    """Why RunTask was refused. Final if only another configuration helps. New rights may take a while to work."""
    said = f"({error.code}: {error.message})"
    if error.code == "AccessDeniedException":
        return LaunchRefused(
            "ECS denies the gateway RunTask: its role needs ecs:RunTask on the task definition and iam:PassRole on the"
            f" execution role, as docs/aws.md shows {said}."
        )
    if any(word in error.message.lower() for word in _PASSES):
        return LaunchRefused(f"ECS has no capacity for a builder now and is asked again {said}.")
    advice = _advice(error, settings)
    return LaunchRefused(f"ECS does not start the builder: {advice} {said}.", final=advice != _UNFORESEEN)


def _advice(error: EcsRefusal, settings: config.Ecs) -> str:
    if error.code == "ClusterNotFoundException":
        return f"there is no cluster {settings.cluster}; set ecs.cluster (CLUSTER_ARN) to one of this region"
    if error.code == "ClientException" and "task" in error.message.lower():
        return (
            f"the task definition {settings.task_definition} cannot be used; register it, and set"
            " ecs.task_definition (TASK_ARN)"
        )
    if error.code in ("PlatformUnknownException", "PlatformTaskDefinitionIncompatibilityException"):
        return f"the task definition {settings.task_definition} does not fit Fargate; compare it with deploy/"
    if error.code in ("InvalidParameterException", "ClientException", "UnsupportedFeatureException"):
        return "check ecs.subnets, ecs.security_groups, ecs.container and ecs.task_definition"
    if error.code == "BlockedException":
        return "the AWS account is blocked; contact AWS"
    return _UNFORESEEN


def no_room(failures: list[Mapping[str, Any]]) -> LaunchRefused:
    """The sentence for the `failures` of an answer that started no task."""
    first = failures[0] if failures else {}
    reason, detail = str(first.get("reason", "")), str(first.get("detail", ""))
    words = _NO_ROOM.get(reason, "there is no room" if reason.startswith("RESOURCE") else "")
    said = "; ".join(part.rstrip(".") for part in (words, detail, reason and f"ECS says {reason}") if part)
    return LaunchRefused(f"ECS could not start the builder and will try again: {said or 'no reason was given'}.")


def last_words(task: Mapping[str, Any], container_name: str) -> str:
    """Why a task ended, as far as ECS knows: the container's reason first, then the task's."""
    containers = [each for each in task.get("containers", ()) if each.get("name") == container_name]
    container = containers[0] if containers else {}
    parts: list[str] = []
    if container.get("reason"):
        parts.append(str(container["reason"]).rstrip("."))
    if container.get("exitCode") is not None:
        parts.append(f"the builder's exit code is {container['exitCode']}")
    if task.get("stoppedReason"):
        parts.append(str(task["stoppedReason"]).rstrip("."))
    if task.get("stopCode"):
        parts.append(str(task["stopCode"]))
    return f"{'; '.join(dict.fromkeys(parts))}." if parts else ""
