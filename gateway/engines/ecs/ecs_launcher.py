"""Builders as tasks on ECS Fargate. The gateways of a cluster share them, and they outlive each gateway."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from builder.protocol.calls import Isolation
from gateway import config
from gateway.engines.builder_environment import isolation_inside, order_environment
from gateway.engines.ecs import ecs_words
from gateway.engines.ecs.ecs_api import EcsApi, EcsRefusal, open_ecs_api
from gateway.engines.ecs.ecs_examination import examine_ecs
from gateway.engines.ecs.ecs_setup import check_cluster, check_definition
from gateway.errors import LaunchRefused, Unavailable
from gateway.models.lifecycle import CONTAINER_START_SECONDS
from gateway.roles import BuilderState, LaunchOrder

CHECK_SECONDS = 7.0
DEFINITION_SECONDS = 60.0
"""How long a successful check of the task definition is trusted."""
DESCRIBE_LIMIT = 100
REASON_LIMIT = 255
MISSING_SECONDS = 60.0
"""ECS may not show a task that it has just started, so a missing task counts as running for this long."""
_NOT_RUNNING = ("DEPROVISIONING", "STOPPED", "DELETED")
"""States in which the containers have ended:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html"""

Task = Mapping[str, Any]


class EcsLauncher:
    """A handle is the ARN of a task."""

    needs_sandbox = False
    start_seconds = CONTAINER_START_SECONDS

    def __init__(
        self, api: EcsApi, settings: config.Ecs, isolation: Isolation, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster_name = settings.cluster.rpartition("/")[2]
        self.name = f"ecs:{api.region}/{self._cluster_name}"
        self._api = api
        self._settings = settings
        self._isolation = isolation
        self._clock = clock
        self._missing_since: dict[str, float] = {}
        self._definition_until = float("-inf")

    async def launch(self, order: LaunchOrder) -> str:
        """The same order makes an identical request, so ECS answers with the task that it started before."""
        try:
            answer = await self._api.call("run_task", **task_request(order, self._settings, self._isolation))
        except EcsRefusal as error:
            if error.code == "ConflictException":
                return _started_before(error)
            raise ecs_words.refusal(error, self._settings) from error
        tasks: list[Task] = answer.get("tasks", [])
        if not tasks:
            raise ecs_words.no_room(answer.get("failures", []))
        return str(tasks[0]["taskArn"])

    async def find(self, handles: Sequence[str]) -> dict[str, BuilderState]:
        own = list(dict.fromkeys(each for each in handles if self._is_own(each)))
        states: dict[str, BuilderState] = {}
        for start in range(0, len(own), DESCRIBE_LIMIT):
            for handle, task in (await self._describe(own[start : start + DESCRIBE_LIMIT])).items():
                states[handle] = self._state_of(handle, task)
        return states

    async def stop(self, handle: str, reason: str) -> None:
        try:
            await self._api.call(
                "stop_task", cluster=self._settings.cluster, task=self._own(handle), reason=reason[:REASON_LIMIT]
            )
        except EcsRefusal as error:
            if error.code != "InvalidParameterException" or "not found" not in error.message:
                raise Unavailable(f"ECS does not stop the task {handle} ({error}).") from error
        self._missing_since.pop(handle, None)

    async def tidy(self) -> None:
        """A task leaves nothing."""

    async def last_words(self, handle: str) -> str:
        task = (await self._describe([self._own(handle)])).get(handle)
        return ecs_words.last_words(task, self._settings.container) if task is not None else ""

    async def check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check_cluster(self._api, self._settings, is_patient=False)
                if self._clock() >= self._definition_until:
                    await check_definition(self._api, self._settings)
                    self._definition_until = self._clock() + DEFINITION_SECONDS
        except TimeoutError as error:
            raise Unavailable(f"ECS does not answer within {CHECK_SECONDS:.0f} s. Check the network.") from error

    async def examine(self) -> str:
        return await examine_ecs(self._api, self._settings, self._isolation)

    async def close(self) -> None:
        """Tasks continue, and the next gateway finds them."""

    async def _describe(self, handles: list[str]) -> dict[str, Task | None]:
        """The tasks, None for those that ECS does not know. Tasks about which it says nothing are left out."""
        try:
            answer = await self._api.call("describe_tasks", cluster=self._settings.cluster, tasks=handles)
        except EcsRefusal as error:
            raise Unavailable(f"ECS does not describe the builders' tasks ({error}).") from error
        missing = {str(each.get("arn")): None for each in answer.get("failures", []) if each.get("reason") == "MISSING"}
        return missing | {str(task["taskArn"]): task for task in answer.get("tasks", [])}

    def _state_of(self, handle: str, task: Task | None) -> BuilderState:
        if task is None:
            return BuilderState.GONE if self._missing_seconds(handle) >= MISSING_SECONDS else BuilderState.RUNNING
        self._missing_since.pop(handle, None)
        return BuilderState.GONE if task.get("lastStatus") in _NOT_RUNNING else BuilderState.RUNNING

    def _missing_seconds(self, handle: str) -> float:
        now = self._clock()
        # Forget tasks that are no longer asked about.
        self._missing_since = {each: since for each, since in self._missing_since.items() if now - since < 3600}
        return now - self._missing_since.setdefault(handle, now)

    def _is_own(self, handle: str) -> bool:
        """ECS would refuse the whole call because of one handle of another launcher."""
        kind, _, name = handle.partition(":task/")
        is_task = kind.startswith("arn:") and ":ecs:" in kind
        return is_task and name.rpartition("/")[0] in ("", self._cluster_name)

    def _own(self, handle: str) -> str:
        if not self._is_own(handle):
            raise Unavailable(f"{handle!r} is not a task of the ECS cluster {self._cluster_name}.")
        return handle


@contextlib.asynccontextmanager
async def open_ecs(configuration: config.Config) -> AsyncIterator[EcsLauncher]:
    """Makes no call yet. Raises ConfigError for an isolation that Fargate does not have, and for an unknown region."""
    isolation = choose_isolation(configuration.builder.isolation)
    async with open_ecs_api(configuration.ecs) as api:
        yield EcsLauncher(api, configuration.ecs, isolation)


def choose_isolation(wanted: str) -> Isolation:
    """The isolation of the builder in the container. Raises ConfigError for a grade that is not available there."""
    return isolation_inside(wanted, "Each task has a machine of its own on Fargate")


def task_request(order: LaunchOrder, settings: config.Ecs, isolation: Isolation) -> dict[str, Any]:
    """Depends only on its arguments, byte for byte, because `clientToken` is accepted only for an identical request."""
    environment = order_environment(order, isolation)
    return {
        "cluster": settings.cluster,
        "taskDefinition": settings.task_definition,
        "launchType": "FARGATE",
        "count": 1,
        "clientToken": f"{order.deployment_id}-{order.attempt}",
        "startedBy": str(order.deployment_id),
        "enableExecuteCommand": False,
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(settings.subnets),
                "securityGroups": list(settings.security_groups),
                "assignPublicIp": "ENABLED" if settings.is_public else "DISABLED",
            }
        },
        "overrides": {
            "containerOverrides": [
                {
                    "name": settings.container,
                    "environment": [{"name": name, "value": value} for name, value in environment.items()],
                }
            ]
        },
    }


def _started_before(error: EcsRefusal) -> str:
    """This attempt's task was started with other settings. It is still this attempt's builder."""
    known = error.details.get("resourceIds") or []
    if not known:
        raise LaunchRefused(
            "ECS has started this attempt before, with other settings, and does not name the task."
            f" Deploy again ({error}).",
            final=True,
        ) from error
    return str(known[0])
