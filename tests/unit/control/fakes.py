"""A clock, and the tables of the database in memory, which keep the promises of the real ones."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import uuid

from builder.protocol.settings import Settings
from gateway.errors import Conflict, NotFound, Unavailable
from gateway.models import lifecycle
from gateway.models.actor import OWNER
from gateway.models.attempt import EndedBuilder, StepTiming
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.source import GitRef
from gateway.models.variable import PRODUCTION

START = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> datetime.datetime:
        return START + datetime.timedelta(seconds=self.seconds)


async def until(condition) -> None:
    """Return as soon as it is so."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def make_deployment(**changes) -> Deployment:
    found = {field.name: None for field in dataclasses.fields(Deployment)}
    found |= {
        "id": uuid.uuid4(),
        "project_id": uuid.uuid4(),
        "project_slug": "crimson-elephant",
        "project_name": "Blog",
        "number": 1,
        "status": Status.QUEUE,
        "attempt": 1,
        "source": GitRef("https://example.com/blog.git", None),
        "cause": Cause(CauseKind.API, OWNER.kind),
        "settings": Settings(),
        "created_at": datetime.datetime.now(datetime.UTC),
        "steps": (),
        "log_missing": (),
        "is_live": False,
    }
    return Deployment(**(found | changes))


async def no_login(deployment: Deployment) -> tuple[str, None, None]:
    return deployment.source.url, None, None


async def no_variables(_: Deployment) -> tuple[str, tuple[()]]:
    return PRODUCTION, ()


class MemoryLock:
    """`is_lost`: as when the server has ended its connection."""

    is_lost = False

    async def check(self) -> None:
        if self.is_lost:
            raise Unavailable("The connection to the database was lost.")


@dataclasses.dataclass
class EarlierAttempt:
    """What is left of an attempt that was followed by another one."""

    reason: str
    handle: str | None


class MemoryDeployments:
    """The rows, each with the fences of the real store. `is_away`: every call raises Unavailable."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.rows: dict[uuid.UUID, Deployment] = {}
        self.manifests: dict[uuid.UUID, bytes] = {}
        self.facts: dict[uuid.UUID, object] = {}
        self.refusals: collections.Counter[uuid.UUID] = collections.Counter()
        self.due: dict[uuid.UUID, float] = {}
        self.replaced_at: dict[uuid.UUID, float | None] = {}
        self.released: set[uuid.UUID] = set()
        self.floors: collections.Counter[uuid.UUID] = collections.Counter()
        self.earlier: dict[tuple[uuid.UUID, int], EarlierAttempt] = {}
        self.refused_attempts: set[tuple[uuid.UUID, int]] = set()
        self.is_away = False
        self.lock = MemoryLock()
        self.lock_waiters = 0
        self._locks: dict[uuid.UUID, asyncio.Lock] = collections.defaultdict(asyncio.Lock)

    def add(self, **changes) -> Deployment:
        deployment = make_deployment(**changes)
        self.rows[deployment.id] = deployment
        return deployment

    def add_building(self, **changes) -> Deployment:
        lease = self.clock.now() + datetime.timedelta(seconds=60)
        now = self.clock.now()
        settled = {"status": Status.BUILDING, "launcher": "fake", "started_at": now, "lease_until": lease}
        return self.add(**(settled | changes))

    async def building(self) -> list[Deployment]:
        self._reach()
        return [row for row in self.rows.values() if row.status is Status.BUILDING]

    async def get(self, actor, deployment_id) -> Deployment:
        self._reach()
        if deployment_id not in self.rows:
            raise NotFound("There is no such deployment.")
        return self.rows[deployment_id]

    async def known(self, ids) -> set[uuid.UUID]:
        self._reach()
        return self.rows.keys() & set(ids)

    async def newest(self, actor, project_ids) -> dict[uuid.UUID, Deployment]:
        return {row.project_id: row for row in self.rows.values() if row.project_id in project_ids}

    async def count_building(self, launcher) -> int:
        return len([row for row in await self.building() if row.launcher == launcher])

    async def claim(self, launcher, lease_seconds, limit=1, *, concurrency=1000) -> list[Deployment]:
        self._reach()
        limit = min(limit, max(0, concurrency - await self.count_building(launcher)))
        due = [
            row
            for row in sorted(self.rows.values(), key=lambda row: row.created_at)
            if row.status is Status.QUEUE and self.due.get(row.id, 0) <= self.clock.seconds
        ]
        return [self._claim(row, launcher, lease_seconds) for row in due[:limit]]

    def _claim(self, row, launcher, lease_seconds) -> Deployment:
        if row.handle is not None:
            row = self._next_attempt(row, "It was refused.")
        self.refused_attempts.discard((row.id, row.attempt))
        return self._set(
            row,
            status=Status.BUILDING,
            launcher=launcher,
            queue_reason=None,
            started_at=self.clock.now(),
            lease_until=self._later(lease_seconds),
        )

    def _next_attempt(self, row, reason) -> Deployment:
        self.earlier[row.id, row.attempt] = EarlierAttempt(reason, row.handle)
        return self._set(row, attempt=row.attempt + 1, handle=None, steps=(), started_at=None, lease_until=None)

    async def launched(self, deployment_id, attempt, handle) -> None:
        row = self.rows.get(deployment_id)
        if earlier := self.earlier.get((deployment_id, attempt)):
            earlier.handle = handle
        elif row is not None and row.attempt == attempt and self._was_claimed(row):
            self._set(row, handle=handle)
        self._fenced(deployment_id, attempt)

    def _was_claimed(self, row) -> bool:
        return row.started_at is not None or (row.id, row.attempt) in self.refused_attempts

    async def refused(self, deployment_id, attempt, reason, *, final=False) -> Status:
        row = self._fenced(deployment_id, attempt)
        if row.handle is not None or row.steps:
            raise Conflict("Its builder runs.")
        self.refusals[row.id] += 1
        self.due[row.id] = self.clock.seconds + 2.0 ** self.refusals[row.id]
        is_last_try = final or self.refusals[row.id] >= lifecycle.REFUSALS
        status = Status.FAILED if is_last_try else Status.QUEUE
        self.refused_attempts.add((row.id, attempt))
        row = self._set(row, status=status, started_at=None, lease_until=None, **_reason(status, reason))
        return row.status

    async def heartbeat(self, deployment_id, attempt, lease_seconds) -> None:
        row = self._fenced(deployment_id, attempt)
        self._set(row, lease_until=self._later(lease_seconds))

    async def start_step(self, deployment_id, attempt, step, at_ms) -> None:
        row = self._fenced(deployment_id, attempt)
        ended = tuple(_ended(each, at_ms) for each in row.steps)
        if step not in [each.name for each in row.steps]:
            self._set(row, steps=(*ended, StepTiming(step, at_ms, None)))

    async def add_facts(self, deployment_id, attempt, facts) -> None:
        self.facts[self._fenced(deployment_id, attempt).id] = facts

    async def set_manifest(self, deployment_id, attempt, manifest) -> None:
        self.manifests[self._fenced(deployment_id, attempt).id] = manifest

    async def get_manifest(self, deployment_id, attempt) -> bytes:
        row = self._fenced(deployment_id, attempt)
        if row.id not in self.manifests:
            raise NotFound("It announced no manifest.")
        return self.manifests[row.id]

    async def fail(
        self, deployment_id, attempt, reason, step=None, exit_code=None, last_seq=None, failure=None
    ) -> None:
        row = self._fenced(deployment_id, attempt)
        self.manifests.pop(row.id, None)
        if step is not None:
            await self.start_step(deployment_id, attempt, step, int(self.clock() * 1000))
        self._end(self.rows[row.id], status=Status.FAILED, reason=reason, exit_code=exit_code, last_seq=last_seq)

    async def lost(self, deployment_id, attempt, reason, attempts_limit) -> Status:
        row = self._fenced(deployment_id, attempt)
        self.manifests.pop(row.id, None)
        refused = [number for build, number in self.refused_attempts if build == row.id]
        is_last = attempt - len(refused) >= attempts_limit
        status = Status.FAILED if is_last else Status.QUEUE
        if not is_last:
            row = self._next_attempt(row, reason)
        self._end(row, status=status, **_reason(status, reason))
        return status

    async def cancel(self, actor, deployment_id) -> Deployment:
        row = await self.get(actor, deployment_id)
        if row.status.is_final:
            raise Conflict("It has ended already.")
        self.manifests.pop(row.id, None)
        return self._end(row, status=Status.CANCELED, reason="It was canceled.", queue_reason=None)

    async def publish(self, deployment_id, attempt, files, bytes, last_seq) -> Deployment:  # noqa: A002
        row = self._fenced(deployment_id, attempt)
        self.manifests.pop(row.id, None)
        row = self._end(row, status=Status.READY, files=files, bytes=bytes, last_seq=last_seq)
        self.released.add(row.id)
        self.replaced_at[row.id] = self.clock.seconds
        live = self._live(row.project_id)
        if row.number > max(self.floors[row.project_id], live.number if live else 0):
            self._make_live(row.id)
        return self.rows[row.id]

    def go_live(self, deployment_id) -> None:
        """As `promote`: nothing that is older than this call goes live by itself afterwards."""
        project_id = self.rows[deployment_id].project_id
        self.floors[project_id] = max(row.number for row in self.rows.values() if row.project_id == project_id)
        self._make_live(deployment_id)

    def _make_live(self, deployment_id) -> None:
        row = self.rows[deployment_id]
        if row.id not in self.released:
            raise Conflict("The files were cleaned up.")
        if live := self._live(row.project_id):
            self._set(live, is_live=False)
            self.replaced_at[live.id] = self.clock.seconds
        self._set(row, is_live=True)
        self.replaced_at[row.id] = None

    async def set_log_end(self, deployment_id, attempt, complete, missing=()) -> None:
        row = await self.get(OWNER, deployment_id)
        if row.attempt != attempt:
            raise Conflict("Another attempt.")
        if row.log_complete is not True:
            self._set(row, log_complete=complete, log_missing=tuple(missing))

    async def undecided_logs(self, after, limit) -> list[Deployment]:
        self._reach()
        undecided = [row for row in self.rows.values() if row.status.is_final and row.log_complete is None]
        return sorted((row for row in undecided if row.id > after), key=lambda row: row.id)[:limit]

    async def now(self) -> datetime.datetime:
        self._reach()
        return self.clock.now()

    async def overdue(self, seconds) -> list[Deployment]:
        bound = self.clock.now() - datetime.timedelta(seconds=seconds)
        return [row for row in await self.building() if row.started_at < bound]

    async def expired(self) -> list[Deployment]:
        return [row for row in await self.building() if row.lease_until < self.clock.now()]

    async def builders_to_stop(self, launcher) -> list[EndedBuilder]:
        self._reach()
        ours = {row.id: row for row in self.rows.values() if row.launcher == launcher}
        earlier = [
            EndedBuilder(build, number, each.handle, each.reason, ours[build].status is Status.CANCELED, False, False)
            for (build, number), each in self.earlier.items()
            if build in ours and each.handle
        ]
        ended = [row for row in ours.values() if row.status is not Status.BUILDING and row.handle]
        return earlier + [_ended_builder(row) for row in ended]

    async def builder_gone(self, builder) -> None:
        if earlier := self.earlier.get((builder.deployment_id, builder.attempt)):
            earlier.handle = None
        else:
            self._set(await self.get(OWNER, builder.deployment_id), handle=None)

    @contextlib.asynccontextmanager
    async def project_lock(self, project_id):
        self._reach()
        self.lock_waiters += 1
        async with self._locks[project_id]:
            self.lock_waiters -= 1
            yield self.lock

    async def releases_to_sweep(self, keep, replaced_days) -> list[Deployment]:
        self._reach()
        return [row for row in self.rows.values() if self._may_go(row, keep, replaced_days)]

    def _may_go(self, row, keep, replaced_days) -> bool:
        if row.id not in self.released or row.is_live:
            return False
        newer = [other for other in self._releases(row.project_id) if other.number > row.number]
        return len(newer) >= keep and self.replaced_at[row.id] < self.clock.seconds - replaced_days * 86400

    async def mark_swept(self, deployment_id) -> None:
        if (await self.get(OWNER, deployment_id)).is_live:
            raise Conflict("It is live.")
        self.released.discard(deployment_id)

    async def kept_releases(self, project_id) -> list[uuid.UUID]:
        self._reach()
        return [row.id for row in self._releases(project_id)]

    async def pending_manifests(self, project_id) -> list[bytes]:
        return [self.manifests[row.id] for row in await self.building() if row.id in self.manifests]

    def _releases(self, project_id) -> list[Deployment]:
        return [row for row in self.rows.values() if row.project_id == project_id and row.id in self.released]

    def _live(self, project_id) -> Deployment | None:
        return next((row for row in self._releases(project_id) if row.is_live), None)

    def _fenced(self, deployment_id, attempt) -> Deployment:
        self._reach()
        row = self.rows.get(deployment_id)
        if row is None:
            raise NotFound("There is no such deployment.")
        if not lifecycle.is_running(row, attempt):
            raise Conflict("That attempt has ended.")
        return row

    def _set(self, row, **changes) -> Deployment:
        self.rows[row.id] = dataclasses.replace(row, **changes)
        return self.rows[row.id]

    def _end(self, row, **changes) -> Deployment:
        return self._set(row, lease_until=None, **changes)

    def _later(self, seconds) -> datetime.datetime:
        return self.clock.now() + datetime.timedelta(seconds=seconds)

    def _reach(self) -> None:
        if self.is_away:
            raise Unavailable("The database is away.")


async def no_caches(_) -> set[str]:
    """What a project without saved installations has."""
    return set()


def _ended(step, at_ms) -> StepTiming:
    seconds = max(0, at_ms - step.started_at) / 1000 if step.seconds is None else step.seconds
    return StepTiming(step.name, step.started_at, seconds)


def _ended_builder(row) -> EndedBuilder:
    reason, is_canceled = row.reason or "Its attempt has ended.", row.status is Status.CANCELED
    may_bring_lines = row.last_seq is not None and row.log_complete is None
    return EndedBuilder(
        row.id, row.attempt, row.handle, reason, is_canceled, may_bring_lines, row.status is Status.READY
    )


def _reason(status, reason) -> dict[str, str | None]:
    return {"reason": reason, "queue_reason": None} if status.is_final else {"queue_reason": reason}


class MemorySweeps:
    """The sweep of all projects that have a deployment."""

    def __init__(self, deployments: MemoryDeployments, clock: Clock) -> None:
        self._deployments = deployments
        self._clock = clock
        self.after = uuid.UUID(int=0)
        self.ended_at: float | None = float("-inf")

    async def begin(self, every_seconds, silent_seconds) -> bool:
        if self.ended_at is not None and self._clock() - self.ended_at < every_seconds:
            return False
        self.after = self.after if self.ended_at is None else uuid.UUID(int=0)
        self.ended_at = None
        return True

    async def projects(self, limit) -> list[uuid.UUID]:
        known = {row.project_id for row in self._deployments.rows.values()}
        return sorted(project for project in known if project > self.after)[:limit]

    async def advance(self, after) -> None:
        self.after = after

    async def end(self) -> None:
        self.ended_at = self._clock()
