"""A deployment's life on real stores, with the builder's own client."""

import asyncio
import datetime
import hashlib

import pytest

from builder.errors import BuildFailed, Ended
from builder.logs import LineSender
from builder.protocol.calls import Facts, Finish, Manifest, ManifestFile
from builder.protocol.steps import Stream
from gateway import consumer
from gateway.config import Builder, Retention
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from gateway.models.object_keys import blob_key, release_key
from tests.engines.stores import deploy_again
from tests.integration.control_parts import open_parts
from tests.unit.control.outputs import sha256_of

SITE = {"index.html": b"<h1>Hello</h1>", "assets/app.js": b"console.log(1)" * 50_000}


@pytest.fixture(autouse=True)
def _quick_stops(monkeypatch):
    monkeypatch.setattr(consumer, "FETCH_SECONDS", 0.01)


@pytest.fixture
async def parts(postgres, tmp_path):
    async with open_parts(await postgres.create_database(), tmp_path) as parts:
        yield parts


def manifest_of(files):
    return Manifest(tuple(ManifestFile(path, sha256_of(body), len(body)) for path, body in files.items()))


async def chunks_of(body):
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


async def upload(api, files):
    """Send what is missing; how many blobs that were."""
    missing = await api.send_manifest(manifest_of(files))
    bodies = {sha256_of(body): body for body in files.values()}
    for sha256 in missing:
        await api.put_blob(sha256, len(bodies[sha256]), lambda body=bodies[sha256]: chunks_of(body))
    return len(missing)


async def write_log(api, deployment, folder, count):
    """Send so many lines as a builder does; the last seq."""
    folder.mkdir(exist_ok=True)
    sender = LineSender(
        api.send_lines,
        project=deployment.project_slug,
        deployment_id=deployment.id,
        attempt=deployment.attempt,
        spool_directory=folder,
        limit_bytes=10**7,
    )
    for number in range(count):
        await sender.write(Stream.STDOUT, f"line {number}")
    sender.close()
    await sender.run()
    return sender.last_seq


async def test_a_build_becomes_a_live_site_with_a_whole_log(parts, tmp_path):
    building = await parts.launch()
    async with parts.builder(building.id) as api:
        job = await api.fetch_job()
        await api.start_step("clone", 1000)
        await api.add_facts(Facts(commit_sha="abc", commit_message="First", framework="vite", node_version="22"))
        await api.heartbeat()
        last_seq = await write_log(api, building, tmp_path / "spool", 5000)
        assert await upload(api, SITE) == 2
        await api.finish(Finish("ok", last_seq))
    await parts.look()
    found = await parts.deployments.get(OWNER, building.id)
    assert job.git_url == building.source.url
    assert (found.status, found.is_live, found.files, found.bytes) == (Status.READY, True, 2, 700014)
    assert (found.source.commit, found.commit_message, found.framework) == ("abc", "First", "vite")
    assert (found.log_complete, found.log_missing, found.last_seq) == (True, (), 5000)
    assert await parts.texts(building.id) == [f"line {number}" for number in range(5000)]
    assert await parts.objects.exists(release_key(building.project_id, building.id))


async def test_a_second_deployment_uploads_only_what_changed(parts):
    first = await parts.launch()
    async with parts.builder(first.id) as api:
        await upload(api, SITE)
        await api.finish(Finish("ok", 0))
    second = await deploy_again(parts.deployments, first.project_slug)
    await parts.dispatcher.dispatch()
    async with parts.builder(second.id) as api:
        assert await upload(api, SITE | {"new.html": b"new"}) == 1
        await api.finish(Finish("ok", 0))
    assert (await parts.deployments.get(OWNER, second.id)).is_live
    assert not (await parts.deployments.get(OWNER, first.id)).is_live


async def test_a_build_that_fails_keeps_the_old_site(parts):
    first = await parts.launch()
    async with parts.builder(first.id) as api:
        await upload(api, SITE)
        await api.finish(Finish("ok", 0))
    second = await deploy_again(parts.deployments, first.project_slug)
    await parts.dispatcher.dispatch()
    async with parts.builder(second.id) as api:
        await upload(api, {"index.html": b"broken"})
        await api.finish(Finish("failed", 0, "npm run build ended with 1.", "build", 1))
    found = await parts.deployments.get(OWNER, second.id)
    assert (found.status, found.reason, found.exit_code) == (Status.FAILED, "npm run build ended with 1.", 1)
    assert (await parts.deployments.get(OWNER, first.id)).is_live


async def test_a_killed_builder_is_replaced_by_another_attempt_that_succeeds(parts):
    building = await parts.launch()
    parts.launcher.kill(building.handle)
    await parts.look()
    await parts.look(3)
    await parts.dispatcher.dispatch()
    again = await parts.deployments.get(OWNER, building.id)
    assert (again.status, again.attempt) == (Status.BUILDING, 2)
    async with parts.builder(building.id, 1) as late, parts.builder(building.id, 2) as api:
        with pytest.raises(Ended):
            await late.finish(Finish("ok", 0))
        await upload(api, SITE)
        await api.finish(Finish("ok", 0))
    assert (await parts.deployments.get(OWNER, building.id)).status is Status.READY


async def test_a_builder_that_is_always_killed_fails_at_last(parts):
    building = await parts.launch()
    for attempt in (1, 2, 3):
        parts.launcher.kill(f"fake:{building.id}/{attempt}")
        await parts.look()
        await parts.look(3)
        await parts.dispatcher.dispatch()
    found = await parts.deployments.get(OWNER, building.id)
    assert (found.status, found.attempt) == (Status.FAILED, 3)
    assert "ended without finishing" in found.reason


async def test_a_canceled_build_is_stopped_and_its_builder_hears_of_it(parts):
    building = await parts.launch()
    async with parts.builder(building.id) as api:
        await parts.deployments.cancel(OWNER, building.id)
        with pytest.raises(Ended):
            await api.heartbeat()
    await parts.look()
    assert parts.launcher.running == set()
    await parts.look(5)
    found = await parts.deployments.get(OWNER, building.id)
    assert (found.status, found.handle, found.log_complete) == (Status.CANCELED, None, False)


async def test_a_log_store_that_is_silent_delays_no_cancel(parts):
    canceled, ended = await parts.launch(), await parts.launch()
    parts.logs.missing = lambda *question: asyncio.Event().wait()
    await parts.deployments.fail(ended.id, 1, "It failed.", last_seq=5)
    await parts.deployments.cancel(OWNER, canceled.id)
    async with asyncio.timeout(5):
        await parts.leases.look()
    assert canceled.handle not in parts.launcher.running


async def test_an_expired_lease_is_noticed_by_the_databases_clock(parts):
    building = await parts.launch()
    await parts.database.pool.execute("UPDATE attempts SET lease_until = now() - interval '1 second'")
    await parts.look()
    assert (await parts.deployments.get(OWNER, building.id)).status is Status.BUILDING
    for _ in range(6):
        await parts.look(10)
    found = await parts.deployments.get(OWNER, building.id)
    assert (found.status, found.attempt) == (Status.QUEUE, 2)
    assert parts.launcher.running == set()


async def test_lines_that_never_came_are_named_in_the_end(parts, tmp_path):
    building = await parts.launch()
    async with parts.builder(building.id) as api:
        last_seq = await write_log(api, building, tmp_path / "spool", 10)
        await api.finish(Finish("failed", last_seq + 2, "It failed.", "build", 1))
    await parts.look()
    await parts.look(61)
    found = await parts.deployments.get(OWNER, building.id)
    assert (found.log_complete, found.log_missing) == (False, ((11, 12),))


async def test_what_the_gateway_refuses_is_the_reason_of_failure(parts):
    building = await parts.launch()
    async with parts.builder(building.id) as api:
        with pytest.raises(BuildFailed, match="segments"):
            await api.send_manifest(manifest_of({"../../etc/passwd": b""}))
        await api.send_manifest(manifest_of(SITE))
        with pytest.raises(BuildFailed, match="announces no file"):
            await api.put_blob(sha256_of(b"evil"), 4, lambda: chunks_of(b"evil"))
        other = sha256_of(SITE["index.html"])
        with pytest.raises(BuildFailed, match="sha256"):
            await api.put_blob(other, len(SITE["index.html"]), lambda: chunks_of(b"x" * len(SITE["index.html"])))
    assert not await parts.objects.exists(blob_key(building.project_id, other))


async def test_two_gateways_share_a_queue_and_launch_each_deployment_once(parts, postgres, tmp_path):
    await asyncio.gather(*(parts.create() for _ in range(20)))
    settings = Builder(concurrency=30)
    async with open_parts(parts.database.url, tmp_path, settings=settings, launcher=parts.launcher) as other:
        parts.settings = settings
        await asyncio.gather(parts.make_dispatcher().dispatch(), other.dispatcher.dispatch())
    launched = [order.deployment_id for order in parts.launcher.orders]
    assert len(launched) == len(set(launched)) == 20


async def test_the_sweep_removes_what_is_out_of_retention(parts, tmp_path):
    first = await parts.launch()
    ids = [first.id]
    for text in (b"one", b"two", b"three"):
        async with parts.builder(ids[-1]) as api:
            await upload(api, {"index.html": text, "same.css": b"same"})
            await api.finish(Finish("ok", 0))
        ids.append((await deploy_again(parts.deployments, first.project_slug)).id)
        await parts.dispatcher.dispatch()

    async def later():
        return await parts.deployments.now() + datetime.timedelta(hours=2)

    sweeper = parts.make_sweeper(Retention(releases=1, replaced_days=0), now=later)
    await sweeper.sweep()
    key = [blob_key(first.project_id, hashlib.sha256(text).hexdigest()) for text in (b"one", b"two", b"three", b"same")]
    assert [await parts.objects.exists(each) for each in key] == [False, False, True, True]
    releases = [await parts.objects.exists(release_key(first.project_id, each)) for each in ids[:3]]
    assert releases == [False, False, True]
