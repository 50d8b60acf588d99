"""Services that behave, in memory: what the pages and the log need of a gateway, without engines."""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import types
import uuid
from collections.abc import Collection, Sequence

from builder.protocol.lines import Line, LineBatch
from builder.protocol.settings import Settings
from gateway.access.guard import Access
from gateway.config import Builder, Config, Secret
from gateway.errors import Conflict, NotFound, Unavailable
from gateway.models.actor import OWNER, Actor
from gateway.models.addresses import Addresses
from gateway.models.attempt import Attempt, StepTiming
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.log import LogLine, LogPosition
from gateway.models.project import Project
from gateway.models.source import GitRef, Source
from gateway.models.variable import StoredVariable, Variable

TOKEN = "correct-horse-battery-staple"
STEP_SECONDS = {
    "prepare": 0.1,
    "clone": 0.5,
    "detect": 0.1,
    "install": 7.0,
    "build": 10.5,
    "collect": 0.2,
    "upload": 1.8,
}


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def timings(began: datetime.datetime, last: str = "upload", *, is_running: bool = False) -> tuple[StepTiming, ...]:
    """The steps of a build until `last`, one after the other."""
    names = list(STEP_SECONDS)[: list(STEP_SECONDS).index(last) + 1]
    starts = [sum(list(STEP_SECONDS.values())[:place]) for place in range(len(names))]
    return tuple(
        StepTiming(
            name,
            int((began.timestamp() + start) * 1000),
            None if is_running and name == last else STEP_SECONDS[name],
        )
        for name, start in zip(names, starts, strict=True)
    )


class FakeProjects:
    def __init__(self) -> None:
        self.all: list[Project] = []
        self.deployments: FakeDeployments
        self.is_away = False
        self.keys: dict[str, Deployment] = {}

    async def create(
        self,
        actor: Actor,
        name: str,
        source: Source,
        settings: Settings,
        cause: Cause,
        *,
        idempotency: tuple[str, bytes] | None = None,
        first: object = None,
    ) -> Deployment:
        if idempotency and idempotency[0] in self.keys:
            return self.keys[idempotency[0]]
        slug = name.lower().replace(" ", "-")
        project = self.add(name=name, slug=slug, git_url=source.url, branch=source.ref, settings=settings)
        deployment = self.deployments.add(project, cause=cause)
        if idempotency:
            self.keys[idempotency[0]] = deployment
        return deployment

    async def get(self, actor: Actor, slug: str) -> Project:
        self._answer()
        for project in self.all:
            if project.slug == slug:
                return project
        raise NotFound(f"No project is called '{slug}'.")

    async def list(self, actor: Actor, limit: int, cursor: str | None = None) -> tuple[list[Project], str | None]:
        self._answer()
        newest_first = list(reversed(self.all))
        start = int(cursor or 0)
        return newest_first[start : start + limit], str(start + limit) if len(self.all) > start + limit else None

    def add(self, **given: object) -> Project:
        values: dict[str, object] = {
            "id": uuid.uuid4(),
            "name": "design-system",
            "slug": "design-system",
            "git_url": "https://git.example.com/team/design-system.git",
            "branch": "main",
            "settings": Settings(),
            "live_deployment_id": None,
            "activation_floor": 0,
            "created_at": now(),
        }
        project = Project(**{**values, **given})  # type: ignore[arg-type]
        self.all.append(project)
        return project

    def change(self, project_id: uuid.UUID, **changes: object) -> None:
        self.all = [
            dataclasses.replace(project, **changes) if project.id == project_id else project  # type: ignore[arg-type]
            for project in self.all
        ]

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("PostgreSQL is away. The sites are served all the same.")


class FakeDeployments:
    def __init__(self, projects: FakeProjects) -> None:
        self.all: dict[uuid.UUID, Deployment] = {}
        self.history: dict[uuid.UUID, list[Attempt]] = {}
        self._projects = projects
        projects.deployments = self

    async def get(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        if deployment_id not in self.all:
            raise NotFound(f"No deployment has the id {deployment_id}.")
        return self.all[deployment_id]

    async def attempts(self, actor: Actor, deployment_id: uuid.UUID) -> list[Attempt]:
        return self.history.get(deployment_id, [])

    async def list(
        self, actor: Actor, slug: str, limit: int, cursor: str | None = None
    ) -> tuple[list[Deployment], str | None]:
        ours = [deployment for deployment in self.all.values() if deployment.project_slug == slug]
        ours.sort(key=lambda deployment: -deployment.number)
        start = int(cursor or 0)
        return ours[start : start + limit], str(start + limit) if len(ours) > start + limit else None

    async def newest(self, actor: Actor, project_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Deployment]:
        by_number = sorted(self.all.values(), key=lambda deployment: deployment.number)
        return {deployment.project_id: deployment for deployment in by_number if deployment.project_id in project_ids}

    async def request(
        self, actor: Actor, slug: str, source: Source, cause: Cause, overrides: Settings, variables: object = ()
    ) -> Deployment:
        return self.add(await self._projects.get(actor, slug), source=source, cause=cause, overrides=overrides)

    async def cancel(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        if (await self.get(actor, deployment_id)).status.is_final:
            raise Conflict("This deployment has ended already.")
        return self.change(deployment_id, status=Status.CANCELED, completed_at=now())

    async def promote(self, actor: Actor, deployment_id: uuid.UUID) -> Deployment:
        chosen = await self.get(actor, deployment_id)
        for other in list(self.all.values()):
            if other.project_id == chosen.project_id:
                self.change(other.id, is_live=other.id == deployment_id)
        self._projects.change(chosen.project_id, live_deployment_id=deployment_id)
        return self.all[deployment_id]

    def add(self, project: Project, *, commit: str | None = None, **given: object) -> Deployment:
        values: dict[str, object] = {field.name: None for field in dataclasses.fields(Deployment)}
        values |= {
            "id": uuid.uuid4(),
            "project_id": project.id,
            "project_slug": project.slug,
            "project_name": project.name,
            "number": 1 + sum(other.project_id == project.id for other in self.all.values()),
            "status": Status.QUEUE,
            "attempt": 1,
            "source": GitRef(project.git_url, project.branch, commit),
            "cause": Cause(CauseKind.API, OWNER.kind),
            "settings": project.settings,
            "created_at": now(),
            "steps": (),
            "log_missing": (),
            "is_live": False,
        }
        deployment = Deployment(**{**values, **given})  # type: ignore[arg-type]
        self.all[deployment.id] = deployment
        if deployment.is_live:
            self._projects.change(project.id, live_deployment_id=deployment.id)
        return deployment

    def change(self, deployment_id: uuid.UUID, **changes: object) -> Deployment:
        self.all[deployment_id] = dataclasses.replace(self.all[deployment_id], **changes)  # type: ignore[arg-type]
        return self.all[deployment_id]


class FakeLogs:
    def __init__(self) -> None:
        self.lines: dict[uuid.UUID, list[LogLine]] = {}
        self.reads: list[LogPosition] = []
        self.is_away = False

    async def append(self, batches: Sequence[LineBatch]) -> None:
        for batch in batches:
            for place, line in enumerate(batch.lines):
                self._add(batch.deployment_id, batch.attempt, batch.first_seq + place, line)

    async def read(self, deployment_id: uuid.UUID, after: LogPosition, limit: int) -> list[LogLine]:
        if self.is_away:
            raise Unavailable("The log store is away.")
        self.reads.append(after)
        lines = self.lines.get(deployment_id, [])
        if not lines or (lines[-1].attempt == after.attempt == 1 and lines[-1].seq == len(lines)):
            return lines[after.seq : after.seq + limit]
        return [line for line in lines if (line.attempt, line.seq) > (after.attempt, after.seq)][:limit]

    async def missing(self, deployment_id: uuid.UUID, attempt: int, last_seq: int) -> list[tuple[int, int]]:
        raise NotImplementedError

    async def forget(self, deployment_ids: Collection[uuid.UUID]) -> None:
        pass

    async def drop_before(self, day: datetime.date) -> int:
        raise NotImplementedError

    def write(
        self, deployment: Deployment, *texts: str, stream: str = "stdout", step: str = "build", attempt: int = 1
    ) -> None:
        """The next lines of the log."""
        lines = self.lines.get(deployment.id, [])
        first = 1 + sum(line.attempt == attempt for line in lines)
        for place, text in enumerate(texts):
            self._add(deployment.id, attempt, first + place, Line(1_764_000_000_000, stream, step, text))

    def _add(self, deployment_id: uuid.UUID, attempt: int, seq: int, line: Line) -> None:
        found = LogLine(deployment_id, attempt, seq, line.at, line.stream, line.step, line.text)
        bisect.insort(self.lines.setdefault(deployment_id, []), found, key=lambda line: (line.attempt, line.seq))


class FakeJob:
    """The dispatcher or the leases: counts how often it is woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class FakeInstallation:
    async def install_key(self) -> bytes:
        return b"k" * 32

    async def token_hash(self) -> bytes | None:
        return None


class FakeHosts:
    async def renamed_to(self, actor: Actor, slug: str) -> str | None:
        return None


class FakeVariables:
    """One project's worth, and no encryption."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Variable] = {}

    async def show(self, actor: Actor, slug: str) -> list[StoredVariable]:
        now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        return [
            StoredVariable(
                v.name, v.context, None if v.is_secret else v.value, v.is_secret, v.is_public, now, "installation"
            )
            for _, v in sorted(self.kept.items())
        ]

    async def put(self, actor: Actor, slug: str, variables: list[Variable]) -> None:
        self.kept |= {(variable.name, variable.context): variable for variable in variables}

    async def copy(self, actor: Actor, slug: str, from_slug: str) -> list[Variable]:
        return list(self.kept.values())

    async def delete(self, actor: Actor, slug: str, name: str, context: str | None = None) -> None:
        if self.kept.pop((name, context or "all"), None) is None:
            raise NotFound(f"The project has no variable {name!r}.")

    async def seal_first(self, variables: list[Variable]) -> None:
        return None

    async def seal_overrides(self, project_id: uuid.UUID, variables: list[Variable]) -> list[Variable]:
        return variables


class FakeServices(types.SimpleNamespace):
    """The fields of gateway.services.Services that handlers use."""

    def __init__(self) -> None:
        projects = FakeProjects()
        deployments = FakeDeployments(projects)
        config = Config(builder=Builder(allow_private_hosts=["git.example.com"]))
        super().__init__(
            config=config,
            projects=projects,
            deployments=deployments,
            hosts=FakeHosts(),
            releases=deployments,
            logs=FakeLogs(),
            variables=FakeVariables(),
            dispatcher=FakeJob(),
            leases=FakeJob(),
            access=Access(config.api, FakeInstallation(), Secret(TOKEN)),  # type: ignore[arg-type]
            addresses=Addresses(config.sites.url),
            stopping=lambda: False,
        )
