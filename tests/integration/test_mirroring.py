"""storage.mirror_outputs: what is live stands in the plain layout, too, whatever happens on the way."""

import asyncio
import datetime
import hashlib

import pytest

from gateway.background import Health, kept_running
from gateway.commands.copying.objects import ObjectCopy
from gateway.config import Retention
from gateway.control import mirroring
from gateway.control.mirroring import Mirror
from gateway.control.retention import Sweeper
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.engines.s3.s3_objects import open_s3
from gateway.errors import Unavailable
from gateway.models.actor import OWNER
from gateway.models.object_keys import blob_key, release_key
from gateway.sites.release_format import encode_release
from gateway.stores.mirrors import MirrorStore
from gateway.stores.projects import ProjectStore
from gateway.stores.sweeps import SweepStore
from tests.engines.gateway import eventually
from tests.engines.s3 import S3_SERVERS
from tests.engines.stores import LifeStore, deploy_again, new_project
from tests.unit.control.fakes import no_caches
from tests.unit.sites.fakes import make_release, sha256_of

FIRST = {"index.html": b"one", "assets/app.js": b"script", "old.html": b"old"}
ODD_NAMES = (
    *("a b.txt", "50%25 %2e%2e.txt", "q?x#y&z=+.txt", "\u00fcber.txt", "u\u0308ber.txt", "\U0001f40b.txt"),
    *("'\"<>.txt", "trailing.", "~(1)!*;:@,$.txt", ".hidden", f"{'long' * 40}/{'name' * 60}"),
)
SECOND = {"index.html": b"two", "assets/app.js": b"script", "new.html": b"new"}


@pytest.fixture(params=["directory", *S3_SERVERS])
async def objects(request, tmp_path, s3_servers):
    if request.param == "directory":
        yield DirectoryObjectStore(tmp_path / "objects")
    else:
        async with open_s3(s3_servers(request.param).make_bucket()) as store:
            yield store


@pytest.fixture
async def url(postgres):
    return await postgres.create_database()


@pytest.fixture
async def database(url):
    async with open_pool(url, 6) as database:
        yield database


@pytest.fixture
def gateway(database, objects):
    return Gateway(database, objects)


@pytest.fixture(params=S3_SERVERS)
async def bucket(request, database, s3_servers):
    """A gateway whose store has etags that say something of the bytes."""
    async with open_s3(s3_servers(request.param).make_bucket()) as objects:
        yield Gateway(database, objects)


class Gateway:
    """What a gateway with mirrors needs, and a short way to publish."""

    def __init__(self, database, objects):
        self.database = database
        self.objects = objects
        self.projects = ProjectStore(database)
        self.deployments = LifeStore(database)
        self.mirrors = MirrorStore(database, "here")
        self.mirror = Mirror(self.mirrors, objects, look_seconds=0.02)

    async def create(self, files):
        """A new project with these files live."""
        return await self._publish(await new_project(self.projects), files)

    async def deploy(self, slug, files):
        return await self._publish(await deploy_again(self.deployments, slug), files)

    async def _publish(self, deployment, files):
        await self.deployments.claim("process", 60)
        for body in files.values():
            await put(self.objects, blob_key(deployment.project_id, sha256_of(body)), body)
        release = make_release(files, project_id=deployment.project_id, deployment_id=deployment.id)
        await put(self.objects, release_key(deployment.project_id, deployment.id), encode_release(release))
        return await self.deployments.publish(deployment.id, 1, len(files), 1, 0)

    async def delete_project(self, slug):
        async with self.database.acquire() as connection:
            await connection.execute("UPDATE projects SET live_deployment_id = NULL WHERE subdomain = $1", slug)
            await connection.execute("DELETE FROM projects WHERE subdomain = $1", slug)

    async def outputs(self, slug):
        """What other readers of the bucket see of this site."""
        prefix = f"__outputs/{slug}/"
        found = [info.key async for info in self.objects.list(prefix)]
        return {key.removeprefix(prefix): await get(self.objects, key) for key in found}

    async def outdated(self):
        return await self.mirrors.outdated("", 100)


END_LOCKS = """
    SELECT pg_terminate_backend(pid)
    FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class Killed(BaseException):
    """Nobody catches it, as nobody catches kill -9."""


class Copies:
    """An object store that notes what is copied, and fails from copy number `last` on."""

    def __init__(self, objects, last=1_000_000, error=Killed):
        self._objects = objects
        self._last = last
        self._error = error
        self.targets = []

    def __getattr__(self, name):
        return getattr(self._objects, name)

    async def copy(self, source, target, **options):
        if len(self.targets) >= self._last:
            raise self._error
        self.targets.append(target)
        await self._objects.copy(source, target, **options)


@pytest.fixture
def _one_by_one(monkeypatch):
    monkeypatch.setattr(mirroring, "FILES_AT_ONCE", 1)
    monkeypatch.setattr(mirroring, "COPIES_AT_ONCE", 1)


async def put(objects, key, body):
    async def once():
        yield body

    await objects.put(key, once(), size=len(body), sha256=hashlib.sha256(body).hexdigest())


async def get(objects, key):
    async with objects.open(key) as reader:
        return b"".join([piece async for piece in reader.chunks()])


async def test_what_is_live_is_in_the_plain_layout(gateway):
    live = await gateway.create(FIRST)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(live.project_slug) == FIRST
    assert await gateway.outdated() == []


async def test_names_of_every_kind_are_in_the_plain_layout_as_they_are(gateway):
    live = await gateway.create({name: name.encode() for name in ODD_NAMES})
    await gateway.mirror.catch_up()
    found = await gateway.outputs(live.project_slug)
    assert sorted(found) == sorted(ODD_NAMES)
    assert all(body == name.encode() for name, body in found.items())


async def test_what_a_release_no_longer_has_goes(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    await gateway.mirror.catch_up()
    await gateway.deploy(slug, SECOND)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == SECOND


async def test_a_rollback_is_followed(gateway):
    first = await gateway.create(FIRST)
    await gateway.deploy(first.project_slug, SECOND)
    await gateway.mirror.catch_up()
    await gateway.deployments.promote(OWNER, first.id)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(first.project_slug) == FIRST


async def test_the_mirror_of_a_deleted_project_goes_and_no_other(gateway):
    gone, stays = await gateway.create(FIRST), await gateway.create(SECOND)
    await put(gateway.objects, "__outputs/of-another-tool/index.html", b"theirs")
    await gateway.mirror.catch_up()
    await gateway.delete_project(gone.project_slug)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(gone.project_slug) == {}
    assert await gateway.outputs(stays.project_slug) == SECOND
    assert await gateway.outputs("of-another-tool") == {"index.html": b"theirs"}
    assert await gateway.outdated() == []


@pytest.mark.usefixtures("_one_by_one")
async def test_the_unfinished_mirror_of_a_deleted_project_goes_too(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    with pytest.raises(Killed):
        await Mirror(gateway.mirrors, Copies(gateway.objects, 2)).catch_up()
    await gateway.delete_project(slug)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == {}


async def test_a_mirror_is_written_anew_in_another_store(gateway, tmp_path):
    """The copy of the objects has brought what stood there at that time, without its types."""
    slug = (await gateway.create(FIRST)).project_slug
    await gateway.mirror.catch_up()
    await gateway.deploy(slug, SECOND)
    await gateway.mirror.catch_up()
    moved = DirectoryObjectStore(tmp_path / "moved")
    await ObjectCopy(gateway.objects, moved, str).run()
    await put(moved, f"__outputs/{slug}/old.html", b"from an earlier copy")
    copies, elsewhere = Copies(moved), MirrorStore(gateway.database, "elsewhere")
    await Mirror(elsewhere, copies).catch_up()
    assert len(copies.targets) == len(SECOND)
    assert {info.key async for info in moved.list("__outputs/")} == {f"__outputs/{slug}/{path}" for path in SECOND}
    assert await elsewhere.outdated("", 100) == []


@pytest.mark.usefixtures("_one_by_one")
async def test_an_unfinished_mirror_begins_from_nothing_in_another_store(gateway, tmp_path):
    await gateway.create(FIRST)
    with pytest.raises(Killed):
        await Mirror(gateway.mirrors, Copies(gateway.objects, 2)).catch_up()
    moved = DirectoryObjectStore(tmp_path / "moved")
    await ObjectCopy(gateway.objects, moved, str).run()
    copies = Copies(moved)
    await Mirror(MirrorStore(gateway.database, "elsewhere"), copies).catch_up()
    assert len(copies.targets) == len(FIRST)


async def test_a_mirror_moves_with_the_slug(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    await gateway.mirror.catch_up()
    async with gateway.database.acquire() as connection:
        await connection.execute("UPDATE projects SET subdomain = 'another-name' WHERE subdomain = $1", slug)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == {}
    assert await gateway.outputs("another-name") == FIRST


async def test_the_files_of_a_project_that_has_published_nothing_are_left_alone(gateway):
    slug = (await new_project(gateway.projects)).project_slug
    await put(gateway.objects, f"__outputs/{slug}/index.html", b"theirs")
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == {"index.html": b"theirs"}


async def test_a_file_may_become_a_folder_and_a_folder_a_file(gateway):
    slug = (await gateway.create({"a": b"file", "b/c/d": b"below"})).project_slug
    await gateway.mirror.catch_up()
    await gateway.deploy(slug, {"a/x": b"below", "b": b"file"})
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == {"a/x": b"below", "b": b"file"}


@pytest.mark.usefixtures("_one_by_one")
async def test_what_a_killed_gateway_began_is_brought_to_its_end(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    with pytest.raises(Killed):
        await Mirror(gateway.mirrors, Copies(gateway.objects, 2)).catch_up()
    assert await gateway.outdated() == [slug]
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == FIRST
    assert await gateway.outdated() == []


@pytest.mark.usefixtures("_one_by_one")
async def test_in_a_bucket_what_a_killed_gateway_copied_is_not_copied_again(bucket):
    slug = (await bucket.create(FIRST)).project_slug
    with pytest.raises(Killed):
        await Mirror(bucket.mirrors, Copies(bucket.objects, 2)).catch_up()
    rest = Copies(bucket.objects)
    await Mirror(bucket.mirrors, rest).catch_up()
    assert rest.targets == [f"__outputs/{slug}/old.html"]
    assert await bucket.outputs(slug) == FIRST


async def test_in_a_bucket_only_what_differs_is_copied(bucket):
    slug = (await bucket.create(FIRST)).project_slug
    await bucket.mirror.catch_up()
    await bucket.deploy(slug, SECOND)
    copies = Copies(bucket.objects)
    await Mirror(bucket.mirrors, copies).catch_up()
    assert sorted(copies.targets) == [f"__outputs/{slug}/{path}" for path in ("index.html", "new.html")]
    assert await bucket.outputs(slug) == SECOND


async def test_what_another_tool_wrote_over_a_file_is_written_over_at_the_next_release(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    await gateway.mirror.catch_up()
    await put(gateway.objects, f"__outputs/{slug}/assets/app.js", b"theirs")
    await gateway.deploy(slug, SECOND)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == SECOND


@pytest.mark.usefixtures("_one_by_one")
async def test_what_went_live_meanwhile_is_mirrored_from_its_beginning(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    with pytest.raises(Killed):
        await Mirror(gateway.mirrors, Copies(gateway.objects, 2)).catch_up()
    await gateway.deploy(slug, SECOND)
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == SECOND


@pytest.mark.usefixtures("_one_by_one")
async def test_a_stop_ends_after_the_batch_and_the_rest_follows(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    stopping = asyncio.Event()
    copies = Copies(gateway.objects)
    copies.copy = lambda source, target, **options: _stop_and_copy(stopping, gateway.objects, source, target, options)
    await Mirror(gateway.mirrors, copies).catch_up(stopping)
    assert await gateway.outputs(slug) == {"assets/app.js": FIRST["assets/app.js"]}
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == FIRST


async def _stop_and_copy(stopping, objects, source, target, options):
    stopping.set()
    await objects.copy(source, target, **options)


@pytest.mark.usefixtures("_one_by_one")
async def test_pages_come_after_what_they_refer_to(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    copies = Copies(gateway.objects)
    await Mirror(gateway.mirrors, copies).catch_up()
    assert copies.targets == [f"__outputs/{slug}/{path}" for path in ("assets/app.js", "index.html", "old.html")]


async def test_two_gateways_share_the_work_and_copy_nothing_twice(gateway, url):
    for _ in range(4):
        await gateway.create(FIRST)
    mine, other = Copies(gateway.objects), Copies(gateway.objects)
    async with open_pool(url, 4) as database:
        await asyncio.gather(
            Mirror(gateway.mirrors, mine).catch_up(), Mirror(MirrorStore(database, "here"), other).catch_up()
        )
    await gateway.mirror.catch_up()
    copied = mine.targets + other.targets
    assert len(copied) == len(set(copied)) == 4 * len(FIRST)
    assert await gateway.outdated() == []


@pytest.mark.usefixtures("_one_by_one")
async def test_a_mirror_that_two_have_written_is_written_again(gateway, url):
    """The first has lost its lock with its connection, and learns it after the second has come to the end."""
    slug = (await gateway.create(FIRST)).project_slug
    async with open_pool(url, 4) as database:
        second = Mirror(MirrorStore(database, "here"), gateway.objects)

        class Frozen(Copies):
            async def copy(self, source, target, **options):
                if not self.targets:
                    await gateway.database.pool.execute(END_LOCKS)
                    await second.catch_up()
                await super().copy(source, target, **options)

        with pytest.raises(Unavailable):
            await Mirror(gateway.mirrors, Frozen(gateway.objects)).catch_up()
    assert await gateway.outdated() == [slug]
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == FIRST


async def test_nothing_is_done_about_a_mirror_that_is_whole(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    await gateway.mirror.catch_up()
    assert await gateway.mirrors.begin(slug) is None
    await gateway.mirrors.doubt(slug)
    assert await gateway.outdated() == [slug]


async def test_a_release_that_cannot_be_read_does_not_hold_up_the_others(gateway):
    broken, well = await gateway.create(FIRST), await gateway.create(SECOND)
    await gateway.objects.delete([blob_key(broken.project_id, sha256_of(FIRST["old.html"]))])
    with pytest.raises(Unavailable, match=f"A file of the live release of '{broken.project_slug}' is not stored"):
        await gateway.mirror.catch_up()
    assert await gateway.outputs(well.project_slug) == SECOND
    assert await gateway.outdated() == [broken.project_slug]


async def test_a_release_that_was_replaced_and_swept_meanwhile_is_no_trouble(gateway):
    first = await gateway.create({"index.html": b"one"})

    class Late(Copies):
        async def copy(self, source, target, **options):
            await gateway.deploy(first.project_slug, {"index.html": b"two"})
            await gateway.objects.delete([source])
            await super().copy(source, target, **options)

    await Mirror(gateway.mirrors, Late(gateway.objects)).catch_up()
    await gateway.objects.delete([release_key(first.project_id, first.id)])
    await gateway.mirror.catch_up()
    assert await gateway.outputs(first.project_slug) == {"index.html": b"two"}


async def test_a_store_that_is_away_is_told_and_what_was_missed_is_made_up(gateway):
    slug = (await gateway.create(FIRST)).project_slug
    with pytest.raises(Unavailable, match="away"):
        await Mirror(gateway.mirrors, Copies(gateway.objects, 1, Unavailable("The store is away."))).catch_up()
    await gateway.mirror.catch_up()
    assert await gateway.outputs(slug) == FIRST


async def test_the_job_follows_and_is_well(gateway):
    health = Health()
    async with kept_running("mirror", gateway.mirror.run, health):
        live = await gateway.create(FIRST)
        await eventually(_is(gateway, live.project_slug, FIRST), "the first release is mirrored", 30)
        await gateway.deploy(live.project_slug, SECOND)
        await eventually(_is(gateway, live.project_slug, SECOND), "the second release is mirrored", 30)
    assert health.troubles == {}


def _is(gateway, slug, files):
    async def look():
        return await gateway.outdated() == [] and await gateway.outputs(slug) == files

    return look


async def test_the_sweep_leaves_the_plain_layout_alone(gateway):
    live = await gateway.create(FIRST)
    await gateway.mirror.catch_up()
    await put(gateway.objects, "__outputs/of-another-tool/index.html", b"theirs")
    logs = PostgresLogStore(gateway.database)
    sweeps = SweepStore(gateway.database)
    await Sweeper(
        gateway.deployments, gateway.deployments, gateway.objects, logs, sweeps, Retention(), no_caches, now=_in_a_year
    ).sweep()
    assert await gateway.outputs(live.project_slug) == FIRST
    assert await gateway.outputs("of-another-tool") == {"index.html": b"theirs"}


async def _in_a_year():
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365)
