"""What is kept in memory: bounded, shared, and never another project's."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import uuid

import pytest

from gateway.errors import NotFound, Unavailable
from gateway.models.object_keys import blob_key, release_key
from gateway.models.release import Blob
from gateway.sites import cache, releases
from gateway.sites.cache import BlobCache
from gateway.sites.flights import Flights
from gateway.sites.lru import LeastRecentlyUsed
from gateway.sites.releases import Releases
from gateway.sites.streams import StoredBytes
from gateway.wire.complaints import Complaints
from tests.unit.sites.fakes import (
    DEPLOYMENT,
    PROJECT,
    Clock,
    MemoryObjects,
    blob_of,
    make_release,
    sha256_of,
)

OTHER_PROJECT = uuid.UUID(int=9)
FILES = {"index.html": b"<h1>hello</h1>"}
BODY = FILES["index.html"]


@pytest.fixture
def objects() -> MemoryObjects:
    store = MemoryObjects()
    store.keep(make_release(FILES), FILES)
    return store


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(2)
    kept.put("a", 1)
    kept.put("b", 2)
    kept.get("a")
    kept.put("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]


def test_costs_are_bounded_and_counted() -> None:
    kept: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(100, 10)
    kept.put("a", 1, 6)
    kept.put("b", 2, 4)
    kept.put("b", 2, 5)
    assert (list(kept.values()), kept.cost) == ([2], 5)
    kept.put("c", 3, 11)
    assert (list(kept.values()), kept.cost) == ([2], 5)
    kept.clear()
    assert (len(kept), kept.cost) == (0, 0)


async def test_a_failed_flight_is_not_kept() -> None:
    flights: Flights[str, int] = Flights()
    results = iter([Unavailable("away"), None])

    async def read() -> int:
        error = next(results)
        if error:
            raise error
        return 7

    with pytest.raises(Unavailable):
        await flights.share("a", read)
    assert await flights.share("a", read) == 7


async def test_a_blob_is_read_once(objects: MemoryObjects) -> None:
    blobs = BlobCache(objects, 1_000_000)
    assert await asyncio.gather(*(blobs.get(PROJECT, blob_of(BODY)) for _ in range(20))) == [BODY] * 20
    assert await blobs.get(PROJECT, blob_of(BODY)) == BODY
    assert len(objects.opened) == 1


async def test_the_same_bytes_of_another_project_are_not_given_from_memory(objects: MemoryObjects) -> None:
    blobs = BlobCache(objects, 1_000_000)
    await blobs.get(PROJECT, blob_of(BODY))
    with pytest.raises(NotFound):
        await blobs.get(OTHER_PROJECT, blob_of(BODY))


@pytest.mark.parametrize("stored", [BODY[:-1], BODY + b"!", b"", BODY * 100_000])
async def test_a_blob_of_another_size_is_unavailable_and_not_kept(objects: MemoryObjects, stored: bytes) -> None:
    objects.bodies[blob_key(PROJECT, sha256_of(BODY))] = stored
    blobs = BlobCache(objects, 1_000_000)
    with pytest.raises(Unavailable):
        await blobs.get(PROJECT, blob_of(BODY))
    objects.bodies[blob_key(PROJECT, sha256_of(BODY))] = BODY
    assert await blobs.get(PROJECT, blob_of(BODY)) == BODY


async def test_the_cache_keeps_no_more_bytes_than_it_may(objects: MemoryObjects) -> None:
    bodies = {f"{number}.txt": bytes([number]) * 1000 for number in range(10)}
    objects.keep(make_release(bodies), bodies)
    blobs = BlobCache(objects, 3 * (1000 + cache.ENTRY_BYTES))
    await asyncio.gather(*(blobs.get(PROJECT, blob_of(body)) for body in bodies.values()))
    assert (len(blobs._kept), blobs._kept.cost) == (3, 3 * (1000 + cache.ENTRY_BYTES))


async def test_a_store_that_hangs_is_unavailable(objects: MemoryObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "READ_SECONDS", 0.01)
    objects.gate.clear()
    with pytest.raises(Unavailable):
        await BlobCache(objects, 1000).get(PROJECT, blob_of(BODY))


async def test_a_release_is_read_once(objects: MemoryObjects) -> None:
    kept = Releases(objects)
    found = await asyncio.gather(*(kept.get(PROJECT, DEPLOYMENT) for _ in range(20)))
    assert {id(release) for release in found} == {id(await kept.get(PROJECT, DEPLOYMENT))}
    assert objects.opened == [release_key(PROJECT, DEPLOYMENT)]


async def test_a_release_that_is_kept_is_not_given_to_another_project(objects: MemoryObjects) -> None:
    kept = Releases(objects)
    await kept.get(PROJECT, DEPLOYMENT)
    with pytest.raises(Unavailable, match="another project"):
        await kept.get(OTHER_PROJECT, DEPLOYMENT)


async def test_a_release_under_anothers_name_is_unavailable(objects: MemoryObjects) -> None:
    objects.bodies[release_key(OTHER_PROJECT, DEPLOYMENT)] = objects.bodies[release_key(PROJECT, DEPLOYMENT)]
    with pytest.raises(Unavailable, match="Another release"):
        await Releases(objects).get(OTHER_PROJECT, DEPLOYMENT)


@pytest.mark.parametrize("stored", [b"", b"{}", b"garbage", b"[" * 100_000])
async def test_a_release_that_is_garbage_is_unavailable(objects: MemoryObjects, stored: bytes) -> None:
    objects.bodies[release_key(PROJECT, DEPLOYMENT)] = stored
    with pytest.raises(Unavailable):
        await Releases(objects).get(PROJECT, DEPLOYMENT)


async def test_a_release_that_is_not_stored_is_not_found(objects: MemoryObjects) -> None:
    with pytest.raises(NotFound):
        await Releases(objects).get(PROJECT, uuid.UUID(int=5))


async def test_releases_are_kept_within_their_bytes(objects: MemoryObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "RELEASE_BYTES", 1000)
    made = [dataclasses.replace(make_release(FILES), deployment_id=uuid.UUID(int=number)) for number in range(10)]
    kept = Releases(objects, 3 * (1000 + releases.FILE_BYTES + len("index.html")))
    for release in made:
        objects.keep(release, FILES)
    await asyncio.gather(*(kept.get(PROJECT, release.deployment_id) for release in made))
    assert len(kept._kept) == 3


async def test_a_stream_gives_exactly_what_was_promised(objects: MemoryObjects) -> None:
    stored = await StoredBytes.open(objects, blob_key(PROJECT, sha256_of(BODY)), 2, 50)
    assert b"".join([piece async for piece in stored.pieces(5)]) == BODY[2:7]
    await stored.close()
    assert objects.open_now == 0


async def test_a_stream_that_ends_early_says_so(objects: MemoryObjects) -> None:
    stored = await StoredBytes.open(objects, blob_key(PROJECT, sha256_of(BODY)))
    with pytest.raises(Unavailable, match="too early"):
        assert [piece async for piece in stored.pieces(len(BODY) + 1)] == [BODY]
    await stored.close()


async def test_an_object_that_cannot_be_opened_leaves_nothing_open(objects: MemoryObjects) -> None:
    objects.breaks_after = 0
    with pytest.raises(Unavailable):
        await StoredBytes.open(objects, blob_key(PROJECT, sha256_of(BODY)))
    assert objects.open_now == 0


async def test_an_empty_blob_is_no_bytes(objects: MemoryObjects) -> None:
    objects.bodies[blob_key(PROJECT, sha256_of(b""))] = b""
    assert await BlobCache(objects, 1000).get(PROJECT, Blob(sha256_of(b""), 0)) == b""


def test_a_complaint_is_made_once_in_a_while_and_counts_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    complaints = Complaints(logging.getLogger("test"), clock)
    complaints.warn("The store is away", 1)
    complaints.warn("The store is away", 2)
    complaints.warn("Something else", 3)
    clock.now += 11
    complaints.warn("The store is away", 4)
    assert [record.getMessage() for record in caplog.records] == [
        "The store is away: 1 (0 more since the last)",
        "Something else: 3 (0 more since the last)",
        "The store is away: 4 (1 more since the last)",
    ]


@pytest.fixture
def newer(objects: MemoryObjects) -> MemoryObjects:
    """The release needs a feature that only a newer gateway has."""
    key = release_key(PROJECT, DEPLOYMENT)
    objects.bodies[key] = json.dumps(json.loads(objects.bodies[key]) | {"features": ["time-travel"]}).encode()
    return objects


async def test_a_release_that_needs_an_unknown_feature_is_read_once_and_named_to_ready(newer: MemoryObjects) -> None:
    clock = Clock()
    kept = Releases(newer, clock=clock)
    await kept.check()
    with pytest.raises(Unavailable, match="'time-travel'"):
        await kept.get(PROJECT, DEPLOYMENT)
    with pytest.raises(Unavailable, match="'time-travel'"):
        await kept.get(PROJECT, DEPLOYMENT)
    assert len(newer.opened) == 1
    with pytest.raises(Unavailable, match=r"'time-travel'.*upgrade the gateway"):
        await kept.check()
    clock.now += releases.REFUSED_SECONDS
    await kept.check()


async def test_a_release_that_needs_an_unknown_feature_harms_no_other(newer: MemoryObjects) -> None:
    other = newer.keep(make_release(FILES, project_id=OTHER_PROJECT, deployment_id=uuid.UUID(int=5)), FILES)
    kept = Releases(newer)
    with pytest.raises(Unavailable):
        await kept.get(PROJECT, DEPLOYMENT)
    assert await kept.get(OTHER_PROJECT, other.deployment_id) == other
