"""No byte of one site ever reaches a visitor of another: many at once, some leaving early, on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from pathlib import Path

import uvloop

from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.models.object_keys import blob_key, release_key
from gateway.models.release import Release
from gateway.sites.release_format import encode_release
from tests.integration.site_server import Sites, running_sites
from tests.unit.sites.fakes import make_release, sha256_of

SIZES = {"page.txt": 700, "app.js": 40_000, "data.bin": 200_000, "big.bin": 900_000}
SLUGS = ("alpha", "omega", "gamma")
VISITORS = 12
REQUESTS_EACH = 100


def files_of(slug: str) -> dict[str, bytes]:
    """The same paths and sizes for every site, but not one byte in common."""
    letter = slug[:1].encode()
    return {path: letter * size for path, size in SIZES.items()}


def release_of(slug: str) -> Release:
    number = SLUGS.index(slug) + 1
    return make_release(files_of(slug), project_id=uuid.UUID(int=number), deployment_id=uuid.UUID(int=number << 64))


async def publish(sites: Sites, slug: str) -> None:
    release = release_of(slug)
    bodies = {blob_key(release.project_id, sha256_of(body)): body for body in files_of(slug).values()}
    bodies[release_key(release.project_id, release.deployment_id)] = encode_release(release)
    for key, body in bodies.items():
        await sites.objects.put(key, one_chunk(body), size=len(body))
    sites.hosts.publish(slug, release)


async def one_chunk(body: bytes):
    yield body


async def visit(sites: Sites, seed: int) -> int:
    """Asks random sites for random files, leaves some in the middle; how many wrong answers there were."""
    chance = random.Random(seed)
    wrong = 0
    for _ in range(REQUESTS_EACH):
        slug, path = chance.choice(SLUGS), chance.choice(list(SIZES))
        if chance.random() < 0.3:
            await leave_early(sites, slug, path, chance.randrange(SIZES[path]))
        else:
            response = await sites.get(slug, f"/{path}")
            wrong += (response.status, response.body) != (200, files_of(slug)[path])
    return wrong


async def leave_early(sites: Sites, slug: str, path: str, after_bytes: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sites.port)
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: {slug}.localhost\r\n\r\n".encode() * 2)
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        await reader.readexactly(after_bytes)
    writer.transport.abort()


async def forget_often(sites: Sites) -> None:
    while True:
        await asyncio.sleep(0.01)
        sites.pointers.forget("")


async def wrong_answers(root: Path) -> int:
    # A cache that is too small for all: bytes come from memory, from shared reads and from the store.
    async with running_sites(DirectoryObjectStore(root), cache_bytes=300_000) as sites:
        await asyncio.gather(*(publish(sites, slug) for slug in SLUGS))
        forgetting = asyncio.create_task(forget_often(sites))
        wrong = await asyncio.gather(*(visit(sites, seed) for seed in range(VISITORS)))
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)
    return sum(wrong)


def test_no_byte_of_one_site_reaches_a_visitor_of_another(tmp_path: Path) -> None:
    assert uvloop.run(wrong_answers(tmp_path)) == 0
