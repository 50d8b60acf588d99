"""Moving from the embedded engines to real ones: what `buildspace copy` takes along, and what it refuses."""

import asyncio
import contextlib
import datetime
import functools
import hashlib
import re
import uuid

import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.config import Clickhouse, Config, Data, Postgres, Secret
from gateway.errors import ConfigError, Conflict, Invalid, Unavailable
from gateway.models import BuildSettings, LogPosition
from gateway.moving.logs import copy_logs
from gateway.moving.objects import ObjectCopy, copy_objects
from gateway.moving.projects import copy_projects
from gateway.sites.keys import blob_key, release_key
from gateway.stores import tables
from gateway.stores.blobs_directory import DirectoryObjectStore
from gateway.stores.blobs_s3 import open_s3
from gateway.stores.deployments import DeploymentStore
from gateway.stores.installation import InstallationStore
from gateway.stores.logs_postgres import PostgresLogStore
from gateway.stores.postgres import open_pool
from gateway.stores.projects import ProjectStore
from scripts.git_server import commit_files, serve_git
from tests.engines.clickhouse import running_clickhouse
from tests.engines.gateway import running_gateway
from tests.engines.postgres import running_postgres
from tests.engines.s3 import environment_of, running_s3
from tests.integration.test_api_start import run

PROJECT, OTHER_PROJECT = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with running_s3("moto", tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory):
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server.settings


# Objects


@pytest.fixture
async def bucket(s3):
    async with open_s3(await asyncio.to_thread(s3.make_bucket)) as objects:
        yield objects


@pytest.fixture
def directory(tmp_path):
    return DirectoryObjectStore(tmp_path / "objects")


async def chunks_of(body):
    yield body


async def put(objects, key, body):
    await objects.put(key, chunks_of(body), size=len(body))


async def read(objects, key):
    async with objects.open(key) as reader:
        return b"".join([chunk async for chunk in reader.chunks()])


async def put_blob(objects, body, project=PROJECT):
    key = blob_key(project, hashlib.sha256(body).hexdigest())
    await put(objects, key, body)
    return key


async def keys_of(objects):
    return {info.key async for info in objects.list("")}


async def copy(source, target):
    """What was said."""
    said = []
    await ObjectCopy(source, target, said.append).run()
    return said


async def test_every_kind_of_object_moves_and_the_source_stays(directory, bucket):
    blobs = [await put_blob(directory, f"file {number}".encode(), OTHER_PROJECT) for number in range(40)]
    big = await put_blob(directory, b"x" * 20_000_000)
    await put(directory, release_key(PROJECT, uuid.UUID(int=9)), b"release")
    await put(directory, "__outputs/blog/a/index.html", b"plain")
    await put(directory, "doctor/left", b"not ours to move")
    said = await copy(directory, bucket)
    assert said[0].startswith("41 objects of __blobs/ copied (20.0 MB)")
    assert await keys_of(directory) - {"doctor/left"} == {info.key async for info in bucket.list("__")}
    assert await read(bucket, big) == b"x" * 20_000_000
    assert await read(bucket, blobs[7]) == b"file 7"
    assert await read(bucket, "__outputs/blog/a/index.html") == b"plain"


async def test_a_copy_that_is_run_again_copies_only_what_is_new(directory, bucket):
    await put_blob(directory, b"one")
    await copy(directory, bucket)
    await put_blob(directory, b"two")
    assert (await copy(directory, bucket))[0] == "1 objects of __blobs/ copied (3 bytes), 1 were there already."


async def test_what_was_written_anew_since_is_copied_anew(directory, bucket, tmp_path):
    await put(directory, "__outputs/blog/index.html", b"old")
    await copy(directory, bucket)
    await put(directory, "__outputs/blog/index.html", b"new")
    await copy(directory, bucket)
    assert await read(bucket, "__outputs/blog/index.html") == b"new"


async def test_a_damaged_blob_is_named_and_the_rest_is_copied(directory, bucket):
    damaged = blob_key(PROJECT, hashlib.sha256(b"right").hexdigest())
    await put(directory, damaged, b"wrong")
    whole = await put_blob(directory, b"whole")
    with pytest.raises(Invalid, match=f"1 blobs are damaged where they were, and were not copied: {damaged}"):
        await copy(directory, bucket)
    assert await keys_of(bucket) == {whole}


class Failing(DirectoryObjectStore):
    """Takes so many objects, then is away."""

    def __init__(self, root, left):
        super().__init__(root)
        self.left = left

    async def put(self, key, chunks, *, size, sha256=None):
        if self.left == 0:
            raise Unavailable("The store is away.")
        self.left -= 1
        await super().put(key, chunks, size=size, sha256=sha256)


async def test_a_copy_that_broke_off_goes_on_where_it_was(directory, tmp_path):
    for number in range(30):
        await put_blob(directory, f"{number}".encode())
    target = Failing(tmp_path / "target", 10)
    with pytest.raises(Unavailable, match=r"The store is away. Run the command again: it goes on from here"):
        await copy(directory, target)
    arrived = len(await keys_of(target))
    target.left = 1000
    assert (await copy(directory, target))[0].endswith(f"{arrived} were there already.")
    assert await keys_of(target) == await keys_of(directory)


async def test_one_store_cannot_be_copied_onto_itself(tmp_path):
    config = Config(data=Data(str(tmp_path)))
    with pytest.raises(ConfigError, match="there is nothing to copy"):
        await copy_objects(config, config, print)


# What PostgreSQL holds


def at(url):
    return Config(postgres=Postgres(url=Secret(url)))


@pytest.fixture
async def old(postgres):
    return await postgres.create_database()


@pytest.fixture
async def new(postgres):
    return await postgres.create_empty_database()


def silent(_):
    """Nobody listens."""


async def rows_of(url, table):
    async with open_pool(url, 2, application_name="test") as database:
        rows = await database.pool.fetch(f"SELECT to_jsonb(each) AS row FROM {table} AS each")
        return sorted(row["row"] for row in rows)


async def fill(url):
    """Two projects, with a live release, a running build, a key, a token and logs of two days."""
    async with open_pool(url, 4, application_name="test") as database:
        projects, deployments = ProjectStore(database), DeploymentStore(database)
        settings = BuildSettings(branch="tab\tback\\slash\nümlaut")
        live = await projects.create("Blog", "https://e.com/b", settings, idempotency=("key", b"\0\xff"))
        await deployments.claim("process", 60)
        await deployments.publish(live.id, 1, 1, 1, 3)
        await projects.create("Shop", "https://e.com/s", BuildSettings())
        building = await deployments.create_again(live.project_slug)
        await database.pool.execute(
            "INSERT INTO users (first_name, last_name, email, password) VALUES ('A','B','c','d')"
        )
        await InstallationStore(database).install_key()
        await InstallationStore(database).set_token_hash(b"hash")
        for day in (1, 2):
            logs = PostgresLogStore(database, functools.partial(in_march, day))
            lines = tuple(Line(1, "stdout", "build", f"{text}\0\\N\t") for text in ("a", "b"))
            await logs.append([LineBatch("blog", live.id, 1, 2 * day - 1, lines)])
        return live, building


async def in_march(day):
    return datetime.date(2026, 3, day)


async def test_every_table_moves_row_by_row(old, new):
    live, building = await fill(old)
    await copy_projects(at(old), at(new), silent)
    everything = (*(table for table in tables.TABLES if table != "mirrors"), "log_batches")
    assert [await rows_of(new, table) for table in everything] == [await rows_of(old, table) for table in everything]
    async with open_pool(new, 4) as database:
        assert (await ProjectStore(database).get(live.project_slug)).live_deployment_id == live.id
        assert (await DeploymentStore(database).create_again(live.project_slug)).number == building.number + 1
        assert [line.seq for line in await PostgresLogStore(database).read(live.id, LogPosition(), 9)] == [1, 2, 3, 4]


async def test_no_table_is_forgotten(postgres):
    url = await postgres.create_database()
    async with open_pool(url, 2) as database:
        found = await database.pool.fetch(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND NOT relispartition"
        )
    # The other two are facts of a server: what was applied to it.
    known = {*tables.TABLES, tables.LOG_TABLE, "migrations", "clickhouse_migrations"}
    assert {row["relname"] for row in found} - known == set()


async def test_a_target_that_has_projects_is_refused_and_stays_as_it_was(old, postgres):
    await fill(old)
    target = await postgres.create_database()
    await fill(target)
    before = await rows_of(target, "deployments")
    with pytest.raises(Conflict, match="not empty"):
        await copy_projects(at(old), at(target), silent)
    assert await rows_of(target, "deployments") == before


@pytest.mark.parametrize("which", ["old", "new"])
async def test_a_database_that_a_gateway_uses_is_refused(old, new, which, request):
    await fill(old)
    async with open_pool({"old": old, "new": new}[which], 2) as database, database.acquire() as connection:
        await connection.execute("SELECT 1")
        with pytest.raises(Conflict, match=f"A gateway is at work on the {which} database.* Stop it first"):
            await copy_projects(at(old), at(new), silent)
    assert await rows_of(new, "projects") == []


async def test_a_copy_that_fails_half_way_leaves_nothing(old, new, monkeypatch):
    await fill(old)
    real = tables.copy_table

    async def fail_at_keys(source, target, table, left_out=()):
        if table == "idempotency_keys":
            raise Unavailable("The connection was lost.")
        return await real(source, target, table, left_out)

    monkeypatch.setattr(tables, "copy_table", fail_at_keys)
    with pytest.raises(Unavailable):
        await copy_projects(at(old), at(new), silent)
    assert await rows_of(new, "projects") == []


async def test_an_old_database_of_another_version_is_refused(old, new):
    async with open_pool(old, 2, application_name="test") as database:
        await database.pool.execute("DELETE FROM migrations WHERE name LIKE '0011%'")
    with pytest.raises(Conflict, match=r"of another version.*buildspace migrate"):
        await copy_projects(at(old), at(new), silent)


@pytest.mark.parametrize("command", [copy_projects, copy_logs])
async def test_one_database_cannot_be_copied_onto_itself(old, command):
    with pytest.raises(ConfigError):
        await command(at(old), at(old), silent)


async def test_logs_are_not_copied_before_the_projects_that_they_are_of(old, new, clickhouse):
    await fill(old)
    in_clickhouse = Config(postgres=Postgres(url=Secret(new)), clickhouse=clickhouse)
    with pytest.raises(ConfigError, match="Run `buildspace copy projects` first"):
        await copy_logs(at(old), in_clickhouse, silent)


async def test_each_table_is_told_once_it_is_copied(old, new):
    said = []
    await fill(old)
    await copy_projects(at(old), at(new), said.append)
    assert said[1:3] == ["users: 1 rows", "projects: 2 rows"]
    assert said[-2] == "log_batches: 2 rows"


async def test_one_clickhouse_cannot_be_copied_onto_itself_however_it_is_written():
    by_name = Config(clickhouse=Clickhouse(host="logs.example.com"))
    by_url = Config(clickhouse=Clickhouse(host="http://logs.example.com:8123"))
    with pytest.raises(ConfigError, match="same log store"):
        await copy_logs(by_name, by_url, silent)


# All of it, as its users do it

SITE = {"index.html": "<h1>moved</h1>", "style.css": "body {}"}
ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}


@contextlib.asynccontextmanager
async def repository(folder):
    commit_files(SITE, folder / "site.git")
    async with serve_git(folder) as url:
        yield f"{url}/site.git"


async def etag_of(gateway, slug, path):
    async with gateway.session.get(
        f"http://127.0.0.1:{gateway.sites_port}{path}", headers={"Host": f"{slug}.localhost:{gateway.sites_port}"}
    ) as response:
        return response.status, response.headers["ETag"], await response.read()


async def seen(gateway, answer, token):
    """What a user can see of a gateway with one project."""
    slug, deployment = answer["projectSlug"], answer["deploymentId"]
    authorized = {**ELSEWHERE, "Authorization": f"Bearer {token}"}
    return {
        "files": [await etag_of(gateway, slug, path) for path in ("/", "/style.css")],
        "token": (await gateway.call("GET", "/project", headers=authorized))[0],
        "history": [
            (row["id"], row["number"], row["status"], row["createdAt"])
            for row in (await gateway.get(f"/project/{slug}/deployments"))["deployments"]
        ],
        "log": [(line["seq"], line["log"]) for line in (await gateway.log(deployment))["rawLogs"]],
    }


async def test_after_the_move_the_same_sites_token_history_and_logs_are_there(tmp_path, postgres, s3, clickhouse):
    settings = await asyncio.to_thread(s3.make_bucket)
    url = await postgres.create_empty_database()
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "old.toml").write_text(f'[data]\ndirectory = "{tmp_path}/old/data"\n')
    target = {
        "DATABASE_URL": url,
        **environment_of(settings),
        "CLICKHOUSE_HOST": clickhouse.host,
        "BUILDSPACE_CLICKHOUSE_PORT": str(clickhouse.port),
        "CLICKHOUSE_DATABASE": "moved",
    }
    async with repository(tmp_path / "git") as git_url:
        async with running_gateway(tmp_path / "old") as gateway:
            (token,) = re.findall(r"Access token: (\S+)", gateway.output.read_text())
            answer = await gateway.deploy(git_url)
            assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
            before = await seen(gateway, answer, token)
            code, _, complained = await asyncio.to_thread(copy_by_hand, tmp_path, "projects", target)
            assert (code, "Stop it first" in complained) == (1, True)
            await gateway.terminate()
            gateway.process = None
        for what in ("objects", "projects", "logs"):
            code, printed, complained = await asyncio.to_thread(copy_by_hand, tmp_path, what, target)
            assert (code, printed) == (0, ""), complained
        async with running_gateway(tmp_path / "new", **target) as gateway:
            assert "Access token" not in gateway.output.read_text()
            assert await seen(gateway, answer, token) == before
            _, again = await gateway.call("POST", f"/project/{answer['projectSlug']}/deployments", {})
            assert (await gateway.ended(again["deploymentId"]))["number"] == 2


@pytest.mark.parametrize("what", ["objects", "projects", "logs"])
def test_a_copy_in_the_wrong_folder_is_refused_and_leaves_nothing_behind(tmp_path, what):
    (tmp_path / "old.toml").touch()
    target = {"S3_BUCKET": "b", "DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "CLICKHOUSE_HOST": "127.0.0.1"}
    code, printed, complained = copy_by_hand(tmp_path, what, target)
    assert (code, printed) == (2, "")
    assert f"in {tmp_path}/buildspace-data." in complained
    assert "data.directory" in complained
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.toml"]


def copy_by_hand(tmp_path, what, target):
    return run(tmp_path, "copy", what, "--from", "old.toml", BUILDSPACE_DATA_DIRECTORY=f"{tmp_path}/new/data", **target)
