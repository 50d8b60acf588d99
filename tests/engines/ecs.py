"""ECS for tests: moto, and before it a server of ours that does what moto does not.

It keeps the promise of `clientToken`, refuses, has no room, is slow, loses answers and forgets tasks when told to, and
starts the real builder with the environment that RunTask says, and no other.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import boto3
from aiohttp import web

from gateway.config import Ecs, Secret
from tests.engines.gateway import ROOT
from tests.engines.ports import free_ports
from tests.engines.s3 import running_s3

TASK_DEFINITION = ROOT / "deploy" / "task-definition.json"
REGION = "eu-central-1"
KEYS = {"aws_access_key_id": "buildspace-tests", "aws_secret_access_key": "a-secret-for-the-tests"}
PASSED_ON = ("PATH", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "npm_config_registry")
"""What the image of a builder has by itself on this machine: programs, and the certificates that it trusts."""

Json = dict[str, Any]


@dataclasses.dataclass(slots=True)
class Call:
    """What came in, to the byte."""

    operation: str
    body: bytes

    @property
    def request(self) -> Json:
        return json.loads(self.body)


@dataclasses.dataclass(slots=True)
class Task:
    """A task that moto took, and how it is. `process` is its builder, where builders are started."""

    answer: Json
    request: Json
    stop_seconds: float
    status: str = "RUNNING"
    stop_code: str | None = None
    stopped_reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None
    process: asyncio.subprocess.Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        (override,) = self.request["overrides"]["containerOverrides"]
        return {pair["name"]: pair["value"] for pair in override["environment"]}

    def describe(self) -> Json:
        container = {**self.answer["containers"][0], "lastStatus": self.status, "reason": self.container_reason}
        container.pop("exitCode", None)
        if self.exit_code is not None:
            container["exitCode"] = self.exit_code
        found = {"stopCode": self.stop_code, "stoppedReason": self.stopped_reason, "lastStatus": self.status}
        return {**self.answer, **found, "containers": [container]}


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call: an answer of ours in ECS's place, or what comes after its effect."""

    answer: tuple[int, Json] | None = None
    is_lost: bool = False
    held: asyncio.Event | None = None


class EcsServer:
    """One cluster with one task definition. `stop` and `start` take it away and bring it back with all it knows."""

    def __init__(self, moto: str, folder: Path, *, starts_builders: bool) -> None:
        self.calls: list[Call] = []
        self.tasks: dict[str, Task] = {}
        self.forgotten: set[str] = set()
        (self.port,) = free_ports(1)
        self._moto = moto
        self._folder = folder
        self._starts_builders = starts_builders
        self._faults: dict[str, collections.deque[Fault]] = collections.defaultdict(collections.deque)
        self._by_token: dict[str, tuple[Json, str]] = {}
        self._runs = asyncio.Lock()
        self._watching: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **others: Any) -> Ecs:
        return Ecs(
            cluster=self.cluster,
            task_definition=self.task_definition,
            endpoint=self.endpoint,
            subnets=[self.subnet],
            security_groups=[self.security_group],
            access_key_id=KEYS["aws_access_key_id"],
            secret_access_key=Secret(KEYS["aws_secret_access_key"]),
            **others,
        )

    def variables(self) -> dict[str, str]:
        """The same settings for a gateway process."""
        return {
            "CLUSTER_ARN": self.cluster,
            "TASK_ARN": self.task_definition,
            "BUILDSPACE_ECS_ENDPOINT": self.endpoint,
            "BUILDSPACE_ECS_SUBNETS": self.subnet,
            "BUILDSPACE_ECS_SECURITY_GROUPS": self.security_group,
            "BUILDSPACE_ECS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "BUILDSPACE_ECS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        }

    def called(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    # What goes wrong with the next call of an operation.

    def refuse(self, operation: str, code: str, message: str, *, status: int = 400, **more: Any) -> None:
        self._faults[operation].append(Fault((status, {"__type": code, "message": message, **more})))

    def have_no_room(self, reason: str, detail: str = "") -> None:
        failure = {"reason": reason, "detail": detail}
        self._faults["RunTask"].append(Fault((200, {"tasks": [], "failures": [failure]})))

    def lose_answer(self, operation: str) -> None:
        """It has its effect, and then the connection breaks."""
        self._faults[operation].append(Fault(is_lost=True))

    def hold_answer(self, operation: str) -> asyncio.Event:
        """It has its effect, and is answered once the event is set."""
        event = asyncio.Event()
        self._faults[operation].append(Fault(held=event))
        return event

    def end(self, arn: str, *, reason: str, code: str = "EssentialContainerExited", **found: Any) -> None:
        """The task ends by itself. `found`: exit_code, container_reason."""
        task = self.tasks[arn]
        task.status, task.stop_code, task.stopped_reason = "STOPPED", code, reason
        for name, value in found.items():
            setattr(task, name, value)

    # The server.

    async def prepare(self) -> None:
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        """A cluster of its own, so that tests may share one moto."""
        name = f"buildspace-{uuid.uuid4().hex[:8]}"
        with (
            contextlib.closing(boto3.client("ecs", endpoint_url=self._moto, region_name=REGION, **KEYS)) as ecs,
            contextlib.closing(boto3.client("ec2", endpoint_url=self._moto, region_name=REGION, **KEYS)) as ec2,
        ):
            self.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
            self.security_group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
            self.cluster = ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
            self._definition = json.loads(TASK_DEFINITION.read_text())
            self._definition["containerDefinitions"][0]["memory"] = 512  # Fargate does without, moto does not
            registered = ecs.register_task_definition(**self._definition)
            self.task_definition = registered["taskDefinition"]["taskDefinitionArn"]

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        """Nobody listens any more. Builders go on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def close(self) -> None:
        await self.stop()
        for task in self.tasks.values():
            if task.process is not None and task.process.returncode is None:
                task.process.kill()
        await asyncio.gather(*self._watching)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.headers["X-Amz-Target"].rpartition(".")[2], await request.read())
        self.calls.append(call)
        faults = self._faults[call.operation]
        fault = faults.popleft() if faults else Fault()
        status, answer = fault.answer or await self._do(call, request)
        if fault.held is not None:
            await fault.held.wait()
        if fault.is_lost:
            assert request.transport is not None
            request.transport.close()
        return web.json_response(answer, status=status, content_type="application/x-amz-json-1.1")

    async def _do(self, call: Call, request: web.Request) -> tuple[int, Json]:
        match call.operation:
            case "RunTask":
                async with self._runs:
                    return await self._run_task(call, request)
            case "DescribeTasks":
                return self._describe_tasks(call.request)
            case "StopTask":
                return self._stop_task(call.request)
        return await self._ask_moto(call, request)

    async def _ask_moto(self, call: Call, request: web.Request) -> tuple[int, Json]:
        names = ("X-Amz-Target", "X-Amz-Date", "Authorization", "Content-Type")
        headers = {name: request.headers[name] for name in names}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._moto, data=call.body, headers=headers) as response,
        ):
            return response.status, await response.json(content_type=None)

    async def _run_task(self, call: Call, request: web.Request) -> tuple[int, Json]:
        asked = call.request
        token = asked.get("clientToken", str(uuid.uuid4()))
        if token in self._by_token:
            first, arn = self._by_token[token]
            if first != asked:
                message = "The provided clientToken is already in use with a different RunTask request."
                return 400, {"__type": "ConflictException", "message": message, "resourceIds": [arn]}
            return 200, {"tasks": [self.tasks[arn].describe()], "failures": []}
        status, answer = await self._ask_moto(call, request)
        if status == 200:
            (started,) = answer["tasks"]
            container = self._definition["containerDefinitions"][0]
            task = Task(started, asked, container.get("stopTimeout", 30))
            self.tasks[started["taskArn"]] = task
            self._by_token[token] = asked, started["taskArn"]
            if self._starts_builders:
                await self._start_builder(task, container)
        return status, answer

    async def _start_builder(self, task: Task, container: Json) -> None:
        folder = self._folder / task.answer["taskArn"].rpartition("/")[2]
        folder.mkdir(parents=True)
        with (folder / "builder.log").open("wb") as output:
            task.process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "builder"),
                cwd=folder,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
                | {"PYTHONPATH": str(ROOT)}
                | {pair["name"]: pair["value"] for pair in container.get("environment", ())}
                | {"BUILDSPACE_WORK": str(folder / "work")}
                | task.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._watch(self._await_end(task, task.process))

    async def _await_end(self, task: Task, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        task.exit_code = code if code >= 0 else 128 - code
        task.status = "STOPPED"
        task.stop_code = task.stop_code or "EssentialContainerExited"
        task.stopped_reason = task.stopped_reason or "Essential container in task exited"

    def _describe_tasks(self, asked: Json) -> tuple[int, Json]:
        known = [arn for arn in asked["tasks"] if arn in self.tasks and arn not in self.forgotten]
        missing = [{"arn": arn, "reason": "MISSING"} for arn in asked["tasks"] if arn not in known]
        return 200, {"tasks": [self.tasks[arn].describe() for arn in known], "failures": missing}

    def _stop_task(self, asked: Json) -> tuple[int, Json]:
        if asked["task"] not in self.tasks or asked["task"] in self.forgotten:
            return 400, {"__type": "InvalidParameterException", "message": "The referenced task was not found."}
        task = self.tasks[asked["task"]]
        if task.status != "STOPPED":
            task.stop_code, task.stopped_reason = "UserInitiated", asked.get("reason")
            if task.process is None:
                task.status = "STOPPED"
            else:
                self._watch(self._end_builder(task, task.process))
        return 200, {"task": task.describe()}

    async def _end_builder(self, task: Task, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), task.stop_seconds)
        except TimeoutError:
            process.kill()

    def _watch(self, work: Any) -> None:
        watching = asyncio.ensure_future(work)
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)


@contextlib.contextmanager
def running_moto(folder: Path) -> Iterator[str]:
    """moto's server as a process of its own, or the one that TEST_MOTO_ENDPOINT names; its address."""
    if named := os.environ.get("TEST_MOTO_ENDPOINT"):
        yield named
        return
    with running_s3("moto", folder) as moto:
        yield moto.endpoint


@contextlib.asynccontextmanager
async def running_ecs(moto: str, folder: Path, *, starts_builders: bool = False) -> AsyncIterator[EcsServer]:
    """A cluster of its own in this moto. Its builders' folders are below `folder`."""
    server = EcsServer(moto, folder, starts_builders=starts_builders)
    await server.prepare()
    await server.start()
    try:
        yield server
    finally:
        await server.close()
