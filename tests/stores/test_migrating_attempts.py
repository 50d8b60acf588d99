"""A database of the version before the table of attempts: every site, log and history is there afterwards."""

import asyncio
import json
import shutil
import uuid

import asyncpg
import pytest

from builder.protocol.calls import Isolation
from builder.protocol.lines import Line, LineBatch
from builder.protocol.settings import Settings
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.models.actor import OWNER
from gateway.models.attempt import StepTiming
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Status
from gateway.models.log import LogPosition
from gateway.models.source import GitRef
from gateway.stores.hosts import HostStore
from gateway.stores.projects import ProjectStore
from tests.engines.postgres import MIGRATIONS
from tests.engines.stores import LifeStore

STEPS = [
    {"name": "clone", "startedAt": 1_000, "seconds": 2.5},
    {"name": "build", "startedAt": 3_500, "seconds": 7},
]
TIMINGS = tuple(StepTiming(step["name"], step["startedAt"], step["seconds"]) for step in STEPS)
BLOG = uuid.UUID(int=1)
ROWS = {
    "waiting": {"status": "QUEUE"},
    "refused": {"status": "QUEUE", "launcher": "ecs", "refusals": 2, "queue_reason": "No capacity."},
    "lost": {
        "status": "QUEUE",
        "attempt": 2,
        "launcher": "ecs",
        "handle": "arn:lost",
        "started_at": "now",
        "steps": json.dumps(STEPS),
        "queue_reason": "It vanished.",
    },
    "building": {
        "status": "BUILDING",
        "attempt": 2,
        "launcher": "ecs",
        "handle": "arn:building",
        "started_at": "now",
        "lease_until": "later",
        "steps": json.dumps(STEPS[:1]),
        "manifest": b"{}",
    },
    "launching": {"status": "BUILDING", "launcher": "process:here", "started_at": "now", "lease_until": "later"},
    "live": {
        "status": "READY",
        "launcher": "ecs",
        "started_at": "now",
        "completed_at": "now",
        "steps": json.dumps(STEPS),
        "released_at": "now",
        "files": 3,
        "bytes": 30,
        "last_seq": 2,
        "log_complete": True,
    },
    "replaced": {
        "status": "READY",
        "trigger": "form",
        "branch": "main",
        "commit_sha": "ab" * 20,
        "isolation": "strong",
        "launcher": "ecs",
        "started_at": "now",
        "completed_at": "now",
        "steps": json.dumps(STEPS),
        "released_at": "now",
        "replaced_at": "now",
    },
    "failed": {
        "status": "FAILED",
        "attempt": 3,
        "launcher": "ecs",
        "handle": "arn:failed",
        "started_at": "now",
        "completed_at": "now",
        "steps": json.dumps(STEPS),
        "reason": "npm ended with 1.",
        "exit_code": 1,
        "last_seq": 9,
    },
    "refused for good": {
        "status": "FAILED",
        "launcher": "ecs",
        "completed_at": "now",
        "reason": "No such image.",
        "refusals": 20,
    },
    "canceled": {
        "status": "CANCELED",
        "launcher": "ecs",
        "handle": "arn:canceled",
        "started_at": "now",
        "completed_at": "now",
        "cancel_requested_at": "now",
        "reason": "It was canceled.",
    },
    "canceled in the queue": {"status": "CANCELED", "completed_at": "now", "reason": "It was canceled."},
}
IDS = {name: uuid.UUID(int=1000 + number) for number, name in enumerate(ROWS, 1)}


async def upgrade(postgres, folder):
    """The URL of a database with all of the above, as it is after the upgrade."""
    before = shutil.copytree(
        MIGRATIONS, folder / "before", ignore=lambda _, names: [name for name in names if name[:4] > "0015"]
    )
    url = await postgres.create_empty_database()
    async with open_pool(url, 4) as database:
        await migrate(database, before)
        async with database.transaction() as connection:
            await fill(connection)
        await database.pool.execute("SELECT make_log_partition(current_date)")
        await PostgresLogStore(database).append(log_of(IDS["live"]))
        await migrate(database, MIGRATIONS)
    return url


async def fill(connection):
    await connection.execute(
        "INSERT INTO projects (id, name, git_url, subdomain) VALUES ($1, 'Blog', 'https://e.com/b', 'blog')", BLOG
    )
    for number, (name, values) in enumerate(ROWS.items(), 1):
        await insert(connection, IDS[name], number, values)
    await connection.execute("UPDATE projects SET build_command = 'make', node_version = '22'")
    await connection.execute("UPDATE deployments SET root_directory = 'a \"b\"' WHERE id = $1", IDS["live"])
    await connection.execute("UPDATE projects SET next_number = 12, live_deployment_id = $1", IDS["live"])
    await connection.executemany(
        "INSERT INTO leftover_builders (launcher, handle, deployment_id) VALUES ($1, $2, $3)",
        [("ecs", "arn:old", IDS["building"]), ("process:there", "process:1:2", IDS["building"])],
    )


@pytest.fixture(scope="module")
def url(postgres, tmp_path_factory):
    """For the tests that only look."""
    return asyncio.run(upgrade(postgres, tmp_path_factory.mktemp("migrations")))


@pytest.fixture
async def upgraded(url):
    async with open_pool(url, 4) as database:
        yield database


@pytest.fixture
async def in_use(postgres, tmp_path):
    """One of its own for a test that changes something."""
    async with open_pool(await upgrade(postgres, tmp_path), 4) as database:
        yield LifeStore(database)


async def insert(connection, deployment_id, number, values):
    moments = {"now": "2030-01-01", "later": "2030-01-02"}
    given = {name: moments.get(value, value) for name, value in values.items() if name.endswith(("_at", "_until"))}
    values = {"git_url": "https://e.com/b", "project_id": BLOG, "id": deployment_id, "number": number} | values | given
    casts = dict.fromkeys(given, "::text::timestamptz")
    names = ", ".join(values)
    places = ", ".join(f"${place}{casts.get(name, '')}" for place, name in enumerate(values, 1))
    await connection.execute(f"INSERT INTO deployments ({names}) VALUES ({places})", *values.values())


def log_of(deployment_id):
    return [LineBatch("blog", deployment_id, 1, 1, (Line(1, "stdout", "build", "a"), Line(1, "stdout", "build", "b")))]


@pytest.fixture
def deployments(upgraded):
    return LifeStore(upgraded)


@pytest.mark.parametrize("name", ROWS)
async def test_every_deployment_keeps_its_state(deployments, name):
    found = await deployments.get(OWNER, IDS[name])
    wanted = ROWS[name]
    assert (found.status, found.attempt) == (wanted["status"], wanted.get("attempt", 1))
    assert (found.reason, found.queue_reason) == (wanted.get("reason"), wanted.get("queue_reason"))
    assert (found.exit_code, found.last_seq) == (wanted.get("exit_code"), wanted.get("last_seq"))
    assert (found.completed_at is None) == ("completed_at" not in wanted)


async def test_every_deployment_keeps_what_it_builds_and_why_it_was_requested(deployments):
    replaced, waiting = await deployments.get(OWNER, IDS["replaced"]), await deployments.get(OWNER, IDS["waiting"])
    assert replaced.source == GitRef("https://e.com/b", "main", "ab" * 20)
    assert replaced.cause == Cause(CauseKind.FORM, OWNER.kind, "main", None)
    assert waiting.source == GitRef("https://e.com/b", None, None)
    assert waiting.cause == Cause(CauseKind.API, OWNER.kind, None, None)


async def test_settings_are_kept(upgraded, deployments):
    project = await ProjectStore(upgraded).get(OWNER, "blog")
    assert project.settings == Settings(build_command="make", node_version="22")
    assert (await deployments.get(OWNER, IDS["live"])).settings == Settings(root_directory='a "b"')


async def test_grades_of_isolation_are_kept(deployments):
    assert (await deployments.get(OWNER, IDS["replaced"])).isolation is Isolation.STRONG


async def test_the_tables_refuse_unknown_steps_and_grades(upgraded):
    with pytest.raises(asyncpg.CheckViolationError, match="attempts_steps_check"):
        await upgraded.pool.execute('UPDATE attempts SET steps = \'[{"name": "bake"}]\'')
    with pytest.raises(asyncpg.CheckViolationError, match="deployments_isolation_check"):
        await upgraded.pool.execute("UPDATE deployments SET isolation = 'perfect'")


@pytest.mark.parametrize("name", ["building", "launching", "live", "replaced", "failed", "canceled"])
async def test_what_is_known_of_the_last_attempt_is_kept(deployments, name):
    found, wanted = await deployments.get(OWNER, IDS[name]), ROWS[name]
    assert (found.launcher, found.handle) == (wanted["launcher"], wanted.get("handle"))
    assert [step.name for step in found.steps] == [step["name"] for step in json.loads(wanted.get("steps", "[]"))]
    assert found.started_at.year == 2030
    assert (found.lease_until is None) == ("lease_until" not in wanted)


async def test_a_lost_attempt_keeps_its_steps_and_its_reason(deployments):
    (lost,) = await deployments.attempts(OWNER, IDS["lost"])
    assert (lost.number, lost.launcher, lost.steps, lost.reason) == (1, "ecs", TIMINGS, "It vanished.")


@pytest.mark.parametrize("name", ["waiting", "refused", "refused for good", "canceled in the queue"])
async def test_what_was_never_started_has_no_attempts(deployments, name):
    assert await deployments.attempts(OWNER, IDS[name]) == []


async def test_every_builder_that_may_still_run_is_to_be_stopped(deployments):
    ecs = {(builder.deployment_id, builder.handle) for builder in await deployments.builders_to_stop("ecs")}
    assert ecs == {
        (IDS["lost"], "arn:lost"),
        (IDS["failed"], "arn:failed"),
        (IDS["canceled"], "arn:canceled"),
        (IDS["building"], "arn:old"),
    }
    (left,) = await deployments.builders_to_stop("process:there")
    assert (left.deployment_id, left.handle) == (IDS["building"], "process:1:2")


async def test_builders_that_are_left_over_are_no_part_of_the_history(deployments):
    assert [attempt.number for attempt in await deployments.attempts(OWNER, IDS["building"])] == [2]


async def test_what_runs_and_what_waits_goes_on(in_use):
    claimed = {row.id: row.attempt for row in await in_use.claim("ecs", 60, limit=9)}
    assert claimed == {IDS["waiting"]: 1, IDS["refused"]: 1, IDS["lost"]: 2}
    assert await in_use.get_manifest(IDS["building"], 2) == b"{}"
    await in_use.heartbeat(IDS["building"], 2, 60)
    published = await in_use.publish(IDS["building"], 2, 1, 1, 1)
    assert (published.status, published.steps) == (Status.READY, TIMINGS[:1])
    assert (await in_use.promote(OWNER, IDS["replaced"])).is_live


async def test_the_site_and_what_it_can_go_back_to_are_kept(upgraded, deployments):
    assert (await HostStore(upgraded).find("blog")).deployment_id == IDS["live"]
    assert set(await deployments.kept_releases(BLOG)) == {IDS["live"], IDS["replaced"]}


async def test_the_log_is_kept(upgraded):
    lines = await PostgresLogStore(upgraded).read(IDS["live"], LogPosition(), 10)
    assert [line.text for line in lines] == ["a", "b"]
