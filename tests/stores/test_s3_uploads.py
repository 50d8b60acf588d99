"""Puts of S3: parts, what is seen of them, what is left of them."""

import asyncio
import contextlib
import datetime
import hashlib
import os

import pytest

from gateway.engines.s3 import s3_objects as blobs_s3
from gateway.engines.s3 import s3_uploads
from gateway.engines.s3.s3_objects import open_s3
from gateway.engines.s3.s3_uploads import PART_BYTES
from gateway.errors import Conflict, Invalid, Unavailable
from tests.engines.s3 import S3_SERVERS

LARGE = os.urandom(2 * PART_BYTES + 4321)


@pytest.fixture(params=S3_SERVERS)
def server(request, s3_servers):
    return s3_servers(request.param)


@pytest.fixture
def settings(server):
    return server.make_bucket()


@pytest.fixture
async def objects(settings):
    async with open_s3(settings) as store:
        yield store


@pytest.fixture
def boto(server):
    with contextlib.closing(server.client()) as client:
        yield client


async def pieces(content, size=100_000):
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def get(objects, key):
    async with objects.open(key) as reader:
        return b"".join([piece async for piece in reader.chunks()])


async def keys(objects):
    return sorted([found.key async for found in objects.list("")])


def unfinished(boto, settings):
    return [found["Key"] for found in boto.list_multipart_uploads(Bucket=settings.bucket).get("Uploads", [])]


async def test_a_large_object_is_put_in_parts(objects, boto, settings):
    await objects.put("large", pieces(LARGE), size=len(LARGE), sha256=hashlib.sha256(LARGE).hexdigest())
    assert await get(objects, "large") == LARGE
    assert boto.head_object(Bucket=settings.bucket, Key="large")["ETag"].endswith('-3"')
    assert unfinished(boto, settings) == []


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
async def test_no_byte_is_lost_where_a_part_ends(objects, size):
    content = LARGE[:size]
    await objects.put("a", pieces(content), size=size, sha256=hashlib.sha256(content).hexdigest())
    assert hashlib.sha256(await get(objects, "a")).digest() == hashlib.sha256(content).digest()


@pytest.mark.parametrize("options", [{"size": len(LARGE) - 1}, {"size": len(LARGE) + 1}, {"sha256": "0" * 64}])
async def test_a_large_object_that_is_wrong_leaves_nothing(objects, boto, settings, options):
    with pytest.raises(Invalid):
        await objects.put("large", pieces(LARGE), **{"size": len(LARGE), **options})
    assert await keys(objects) == []
    assert unfinished(boto, settings) == []


async def test_a_large_put_that_is_canceled_leaves_nothing(objects, boto, settings):
    waiting, begun = asyncio.Event(), asyncio.Event()

    async def slow():
        yield LARGE[:PART_BYTES]
        yield LARGE[PART_BYTES : PART_BYTES + 1]
        begun.set()
        await waiting.wait()

    task = asyncio.create_task(objects.put("large", slow(), size=len(LARGE)))
    await asyncio.wait_for(begun.wait(), 20)
    assert unfinished(boto, settings) == ["large"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert unfinished(boto, settings) == []
    assert await keys(objects) == []


async def test_a_sender_that_breaks_off_between_parts_leaves_nothing(objects, boto, settings):
    async def broken():
        yield LARGE[: PART_BYTES + 1]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await objects.put("large", broken(), size=len(LARGE))
    assert unfinished(boto, settings) == []


async def test_what_a_crash_left_unfinished_is_swept(objects, boto, settings, monkeypatch):
    boto.create_multipart_upload(Bucket=settings.bucket, Key="__blobs/p/left")
    boto.create_multipart_upload(Bucket=settings.bucket, Key="of/others")
    monkeypatch.setattr(s3_uploads, "ABANDONED", datetime.timedelta(days=-1))
    assert await objects.tidy() == 1
    assert unfinished(boto, settings) == ["of/others"]


async def test_an_upload_of_today_is_not_swept(objects, monkeypatch):
    begun = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=23)

    async def answer(operation, **parameters):
        assert operation == "list_multipart_uploads"
        return {"Uploads": [{"Key": "__blobs/p/a", "UploadId": "1", "Initiated": begun}], "IsTruncated": False}

    monkeypatch.setattr(objects._client, "call", answer)
    assert await objects.tidy() == 0


async def test_parts_of_many_puts_wait_for_a_place(objects, monkeypatch):
    monkeypatch.setattr(s3_uploads, "SMALL_BYTES", 10)
    begun, waiting = [], asyncio.Event()

    async def slow(number):
        begun.append(number)
        await waiting.wait()
        yield b"x" * 20

    puts = [asyncio.create_task(objects.put(f"o/{number}", slow(number), size=20)) for number in range(30)]
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(begun) == s3_uploads.PARTS_AT_ONCE
    waiting.set()
    await asyncio.gather(*puts)
    assert len(await keys(objects)) == 30


async def test_a_copy_that_is_too_large_for_one_call_is_whole(objects, boto, settings, monkeypatch):
    monkeypatch.setattr(blobs_s3, "COPY_BYTES", 1000)
    await objects.put("a", pieces(LARGE), size=len(LARGE))
    await objects.copy("a", "__outputs/blog/film.mp4", size=len(LARGE), content_type="video/mp4")
    assert await get(objects, "__outputs/blog/film.mp4") == LARGE
    assert boto.head_object(Bucket=settings.bucket, Key="__outputs/blog/film.mp4")["ContentType"] == "video/mp4"


async def test_a_copy_has_the_type_that_other_readers_need(objects, boto, settings):
    await objects.put("__blobs/p/abc", pieces(b"hello"), size=5)
    await objects.copy("__blobs/p/abc", "__outputs/blog/index.html", size=5, content_type="text/html; charset=utf-8")
    head = boto.head_object(Bucket=settings.bucket, Key="__outputs/blog/index.html")
    assert head["ContentType"] == "text/html; charset=utf-8"
    assert boto.head_object(Bucket=settings.bucket, Key="__blobs/p/abc")["ContentType"] == "application/octet-stream"


async def test_a_key_may_be_an_object_and_a_folder_or_is_a_conflict(objects):
    """Amazon keeps both; stores on top of folders cannot, and say so."""
    await objects.put("a/b", pieces(b"one"), size=3)
    with contextlib.suppress(Conflict):
        await objects.put("a", pieces(b"two"), size=3)
    with contextlib.suppress(Conflict):
        await objects.put("a/b/c", pieces(b"three"), size=5)
    assert await get(objects, "a/b") == b"one"


async def test_keys_that_xml_cannot_hold_are_deleted_too(objects, server):
    assert server.endpoint
    await objects.put("a\x01b", pieces(b""), size=0)
    await objects.put("c", pieces(b""), size=0)
    await objects.delete(["a\x01b", "c"])
    assert not await objects.exists("a\x01b")
    assert not await objects.exists("c")


async def test_keys_that_could_not_be_deleted_are_told(objects, monkeypatch):
    async def refuse(operation, **parameters):
        return {"Errors": [{"Key": "a", "Code": "AccessDenied", "Message": "no"}]}

    monkeypatch.setattr(objects._client, "call", refuse)
    with pytest.raises(Unavailable, match="1 of 2 objects could not be deleted: the store says AccessDenied"):
        await objects.delete(["a", "b"])
