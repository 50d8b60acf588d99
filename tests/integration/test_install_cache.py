"""Saved installations over the builders' API and real stores: who may save, who may read, and what goes."""

import asyncio
import dataclasses
import datetime
import hashlib

import pytest

from builder.errors import BuildFailed, Ended
from builder.protocol.calls import Exit, Finish
from gateway.config import Builder, Retention
from gateway.models.actor import OWNER
from gateway.models.object_keys import cache_key, caches_prefix
from gateway.stores.install_caches import CacheEntry
from tests.engines.stores import deploy_again
from tests.integration.control_parts import open_parts
from tests.integration.test_control import chunks_of, upload

KEY, OTHER_KEY = "a" * 64, "b" * 64
BODY = b"packed" * 1000
SITE = {"index.html": b"<h1>Hello</h1>"}


@pytest.fixture
def opened(postgres, tmp_path):
    async def opened(cache_bytes=4 * 10**6):
        return open_parts(await postgres.create_database(), tmp_path, settings=Builder(cache_bytes=cache_bytes))

    return opened


@pytest.fixture
async def parts(opened):
    async with await opened() as parts:
        yield parts


async def publish(parts, deployment):
    async with parts.builder(deployment.id) as api:
        await upload(api, SITE)
        await api.finish(Finish(Exit.OK, 0))
    return await parts.deployments.get(OWNER, deployment.id)


async def save(parts, deployment, body=BODY, key=KEY, digest=None):
    sha256 = digest or hashlib.sha256(body).hexdigest()
    async with parts.builder(deployment.id) as api:
        await api.put_cache(key, sha256, len(body), lambda: chunks_of(body))


async def saved(parts, body=BODY, key=KEY):
    """A READY deployment of a new project that has saved this."""
    deployment = await publish(parts, await parts.launch())
    await save(parts, deployment, body, key)
    return deployment


async def read(parts, deployment, key=KEY):
    """What the builder of a running deployment gets: bytes and digest, or None."""
    found = bytearray()

    async def write(chunk):
        found.extend(chunk)

    async with parts.builder(deployment.id) as api:
        digest = await api.fetch_cache(key, write)
    return None if digest is None else (bytes(found), digest)


async def again(parts, deployment):
    """The next deployment of the same project, with its builder."""
    following = await deploy_again(parts.deployments, deployment.project_slug)
    await parts.dispatcher.dispatch()
    return await parts.deployments.get(OWNER, following.id)


async def objects(parts, deployment):
    return [info.key async for info in parts.objects.list(caches_prefix(deployment.project_id))]


async def sweep_tomorrow(parts, deployment):
    async def tomorrow():
        return await parts.deployments.now() + datetime.timedelta(days=1)

    await parts.make_sweeper(Retention(), now=tomorrow).sweep_project(deployment.project_id)


async def test_the_next_build_reads_what_a_published_one_saved(parts):
    following = await again(parts, await saved(parts))
    assert await read(parts, following) == (BODY, hashlib.sha256(BODY).hexdigest())
    assert await read(parts, following, OTHER_KEY) is None


async def test_another_project_never_sees_it(parts):
    await saved(parts)
    assert await read(parts, await parts.launch()) is None


async def test_a_build_that_is_not_ready_saves_nothing(parts):
    running = await parts.launch()
    with pytest.raises(Ended, match="Only a build that has just become READY"):
        await save(parts, running)
    async with parts.builder(running.id) as api:
        await api.finish(Finish(Exit.FAILED, 0, reason="It failed."))
    with pytest.raises(Ended, match="Only a build that has just become READY"):
        await save(parts, running)
    assert await objects(parts, running) == []


async def test_a_build_of_another_branch_reads_and_saves_nothing(parts):
    first = await saved(parts)
    other = dataclasses.replace(first.source, ref="feature")
    following = await deploy_again(parts.deployments, first.project_slug, source=other)
    await parts.dispatcher.dispatch()
    assert await read(parts, following) is not None
    following = await publish(parts, following)
    with pytest.raises(Ended, match="Only a build of the project's own branch"):
        await save(parts, following, key=OTHER_KEY)


async def test_a_token_saves_nothing_long_after_its_build(parts):
    deployment = await publish(parts, await parts.launch())
    await parts.database.pool.execute("UPDATE deployments SET completed_at = completed_at - interval '11 minutes'")
    with pytest.raises(Ended, match="Only a build that has just become READY"):
        await save(parts, deployment)


async def test_bytes_with_another_digest_are_not_saved(parts):
    deployment = await publish(parts, await parts.launch())
    with pytest.raises(BuildFailed, match="sha256"):
        await save(parts, deployment, digest="c" * 64)
    assert await read(parts, await again(parts, deployment)) is None


async def test_more_than_a_fourth_of_the_whole_is_refused(parts):
    deployment = await publish(parts, await parts.launch())
    with pytest.raises(BuildFailed, match="the limit is 1000000"):
        await save(parts, deployment, b"x" * 1_000_001)


async def test_an_upload_that_breaks_off_leaves_no_entry(parts):
    deployment = await publish(parts, await parts.launch())
    is_halfway, never = asyncio.Event(), asyncio.Event()

    async def half():
        yield BODY[:3000]
        is_halfway.set()
        await never.wait()

    async with parts.builder(deployment.id) as api:
        sending = asyncio.create_task(api.put_cache(KEY, hashlib.sha256(BODY).hexdigest(), len(BODY), half))
        await is_halfway.wait()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert await read(parts, await again(parts, deployment)) is None
    assert await objects(parts, deployment) == []


async def test_an_object_that_a_killed_gateway_left_is_swept(parts):
    deployment = await saved(parts)
    await parts.objects.put(cache_key(deployment.project_id, "d" * 64), chunks_of(b"left"), size=4)
    await parts.database.pool.execute("DELETE FROM install_caches")
    assert len(await objects(parts, deployment)) == 2
    await sweep_tomorrow(parts, deployment)
    assert await objects(parts, deployment) == []


async def test_the_sweep_keeps_what_is_saved(parts):
    deployment = await saved(parts)
    await sweep_tomorrow(parts, deployment)
    assert await read(parts, await again(parts, deployment)) is not None


async def test_an_entry_without_its_bytes_is_a_miss(parts):
    deployment = await saved(parts)
    await parts.objects.delete(await objects(parts, deployment))
    assert await read(parts, await again(parts, deployment)) is None


async def test_what_was_used_least_recently_goes_beyond_the_projects_share(parts):
    first = await saved(parts, b"1" * 600_000, KEY)
    following = await publish(parts, await again(parts, first))
    await save(parts, following, b"2" * 600_000, OTHER_KEY)
    last = await again(parts, following)
    assert await read(parts, last, KEY) is None
    assert await read(parts, last, OTHER_KEY) is not None
    assert len(await objects(parts, first)) == 1


async def test_what_was_used_least_recently_goes_beyond_the_whole(opened):
    async with await opened(cache_bytes=2_500_000) as parts:
        deployments = [await saved(parts, bytes([number]) * 600_000) for number in range(4)]
        await read(parts, await again(parts, deployments[0]))
        deployments.append(await saved(parts, b"last" * 150_000))
        assert [len(await objects(parts, each)) for each in deployments] == [1, 0, 1, 1, 1]


async def test_without_bytes_for_it_there_is_no_cache(opened):
    async with await opened(cache_bytes=0) as parts:
        deployment = await parts.launch()
        async with parts.builder(deployment.id) as api:
            assert (await api.fetch_job()).cache_bytes == 0
        assert await read(parts, deployment) is None


async def test_clearing_forgets_the_rows_and_the_bytes_of_that_project_alone(parts):
    doomed, other = await saved(parts), await saved(parts)
    entries = await parts.services.caches.clear(doomed.project_id)
    assert entries == [CacheEntry(doomed.project_id, hashlib.sha256(BODY).hexdigest(), len(BODY))]
    assert [len(await objects(parts, each)) for each in (doomed, other)] == [0, 1]
    assert await read(parts, await again(parts, doomed)) is None
