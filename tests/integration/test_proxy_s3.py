"""The sites over S3: what a visitor gets from a bucket, and while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from gateway.engines.s3.s3_objects import open_s3
from gateway.errors import Unavailable
from gateway.models.object_keys import blob_key, release_key
from gateway.sites.release_format import encode_release
from tests.engines.s3 import S3_SERVERS, running_s3
from tests.integration.site_server import running_sites
from tests.unit.sites.fakes import PROJECT, make_release, sha256_of

FILES = {"index.html": b"home", "app.js": b"script", "cold.txt": b"cold", "film.mp4": os.urandom(1024**2)}
RELEASE = make_release(FILES)


@pytest.fixture(params=S3_SERVERS)
def server(request, s3_servers):
    return s3_servers(request.param)


@pytest.fixture
def boto(server):
    with contextlib.closing(server.client()) as client:
        yield client


@pytest.fixture
def settings(server):
    return server.make_bucket()


@pytest.fixture
async def sites(settings):
    async with open_s3(settings) as objects, running_sites(Counted(objects)) as running:
        yield running


@pytest.fixture
async def blog(sites):
    """The sites, one of which is published as `blog`."""
    await put(sites.objects, release_key(PROJECT, RELEASE.deployment_id), encode_release(RELEASE))
    for body in FILES.values():
        await put(sites.objects, blob_key(PROJECT, sha256_of(body)), body)
    sites.hosts.publish("blog", RELEASE)
    return sites


class Counted:
    """An object store that notes what is opened."""

    def __init__(self, objects):
        self._objects = objects
        self.opened = []

    def __getattr__(self, name):
        return getattr(self._objects, name)

    def open(self, key, *area):
        self.opened.append(key)
        return self._objects.open(key, *area)


async def put(objects, key, body):
    async def once():
        yield body

    await objects.put(key, once(), size=len(body))


async def test_small_and_large_files_are_served(blog):
    assert (await blog.get("blog")).body == b"home"
    film = await blog.get("blog", "/film.mp4")
    assert (film.status, film.body) == (200, FILES["film.mp4"])
    part = await blog.get("blog", "/film.mp4", Range="bytes=700000-700099")
    assert (part.status, part.body) == (206, FILES["film.mp4"][700_000:700_100])


async def test_what_was_asked_for_is_served_from_memory(blog):
    await blog.get("blog", "/app.js")
    blog.objects.opened.clear()
    responses = await asyncio.gather(*(blog.get("blog", "/app.js") for _ in range(50)))
    assert {response.body for response in responses} == {b"script"}
    assert blog.objects.opened == []


async def test_identical_misses_share_one_fetch(blog):
    responses = await asyncio.gather(*(blog.get("blog", "/cold.txt") for _ in range(50)))
    assert {response.body for response in responses} == {b"cold"}
    assert blog.objects.opened == [
        release_key(PROJECT, RELEASE.deployment_id),
        blob_key(PROJECT, sha256_of(b"cold")),
    ]


async def test_visitors_who_leave_halfway_harm_nobody(blog):
    async def leave():
        connection = await blog.connect()
        connection.send(b"GET /film.mp4 HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
        await connection.reader.readexactly(1000)
        await connection.close()

    for _ in range(4):
        await asyncio.gather(*(leave() for _ in range(50)))
    assert (await blog.get("blog", "/film.mp4")).body == FILES["film.mp4"]


async def test_files_that_another_tool_put_into_the_bucket_are_a_site(sites, boto, settings):
    for path, body in {"index.html": b"home", "about/index.html": b"about", "assets/app.js": b"script" * 10}.items():
        boto.put_object(Bucket=settings.bucket, Key=f"__outputs/old-site/{path}", Body=body)
    home, about = await sites.get("old-site"), await sites.get("old-site", "/about")
    part = await sites.get("old-site", "/assets/app.js", Range="bytes=6-9")
    again = await sites.get("old-site", If_None_Match=home.headers["etag"])
    assert (home.body, about.body, part.status, part.body, again.status) == (b"home", b"about", 206, b"scri", 304)
    assert home.headers["etag"] == boto.head_object(Bucket=settings.bucket, Key="__outputs/old-site/index.html")["ETag"]
    assert (await sites.get("old-site", "/missing")).status == 404
    assert (await sites.get("nobody")).status == 404


async def test_a_file_that_another_tool_replaced_has_another_etag(sites, boto, settings):
    boto.put_object(Bucket=settings.bucket, Key="__outputs/old-site/index.html", Body=b"one")
    first = await sites.get("old-site")
    boto.put_object(Bucket=settings.bucket, Key="__outputs/old-site/index.html", Body=b"two")
    second = await sites.get("old-site", If_None_Match=first.headers["etag"])
    assert (second.status, second.body) == (200, b"two")


async def test_the_mirror_never_stands_in_for_a_release(blog):
    await put(blog.objects, "__outputs/blog/index.html", b"mirror")
    await put(blog.objects, "__outputs/blog/of-the-mirror.html", b"mirror")
    assert (await blog.get("blog")).body == b"home"
    assert (await blog.get("blog", "/of-the-mirror")).status == 404


async def test_the_mirror_does_not_stand_in_for_a_release_that_cannot_be_found(blog):
    await put(blog.objects, "__outputs/blog/index.html", b"mirror")
    await blog.objects.delete([release_key(PROJECT, RELEASE.deployment_id)])
    assert (await blog.get("blog")).status == 503


async def test_what_is_in_memory_is_served_while_s3_is_away_and_the_rest_when_it_is_back(tmp_path):
    with running_s3("versitygw", tmp_path) as server:
        async with open_s3(server.make_bucket()) as objects, running_sites(objects) as sites:
            await put(objects, release_key(PROJECT, RELEASE.deployment_id), encode_release(RELEASE))
            for body in FILES.values():
                await put(objects, blob_key(PROJECT, sha256_of(body)), body)
            sites.hosts.publish("blog", RELEASE)
            assert (await sites.get("blog")).body == b"home"
            server.kill()
            with pytest.raises(Unavailable):
                await objects.check()
            assert (await sites.get("blog")).body == b"home"
            assert (await sites.get("blog", "/cold.txt")).status == 503
            assert (await sites.get("blog", "/film.mp4")).status == 503
            server.start()
            assert (await sites.get("blog", "/cold.txt")).body == b"cold"
            assert (await sites.get("blog", "/film.mp4")).body == FILES["film.mp4"]
