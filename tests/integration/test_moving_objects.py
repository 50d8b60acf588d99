"""`buildspace copy objects`: everything arrives whole, once, and the source stays."""

import asyncio
import contextlib
import hashlib
import uuid

import pytest

from gateway.commands.copying.objects import ObjectCopy, copy_objects
from gateway.config import Config, Data
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.s3.s3_objects import open_s3
from gateway.errors import ConfigError, Invalid, Unavailable
from gateway.models.object_keys import blob_key, release_key

PROJECT, OTHER_PROJECT = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def s3(s3_servers):
    return s3_servers("moto")


@pytest.fixture
def settings(s3):
    return s3.make_bucket()


@pytest.fixture
async def bucket(settings):
    async with open_s3(settings) as objects:
        yield objects


@pytest.fixture
def client(s3):
    """What other tools write to the bucket, and read in it."""
    with contextlib.closing(s3.client()) as client:
        yield client


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
    said = [line for line in await copy(directory, bucket) if "so far" not in line]
    assert said[0].startswith("41 objects of __blobs/ copied (20.0 MB)")
    assert await keys_of(directory) - {"doctor/left"} == {info.key async for info in bucket.list("__")}
    assert await read(bucket, big) == b"x" * 20_000_000
    assert await read(bucket, blobs[7]) == b"file 7"
    assert await read(bucket, "__outputs/blog/a/index.html") == b"plain"


async def test_a_copy_that_is_run_again_copies_only_what_is_new(directory, bucket):
    await put_blob(directory, b"one")
    await copy(directory, bucket)
    await put_blob(directory, b"two")
    assert (await copy(directory, bucket))[0] == "1 objects of __blobs/ copied (3 bytes), 1 were already there."


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
    with pytest.raises(Invalid, match=f"^1 left behind, such as '{damaged}'. Its bytes do not match"):
        await copy(directory, bucket)
    assert await keys_of(bucket) == {whole}


async def test_a_key_that_is_the_folder_of_others_is_named_and_the_rest_is_copied(directory, bucket):
    await put(bucket, "__outputs/blog/about", b"file")
    await put(bucket, "__outputs/blog/about/index.html", b"page")
    await put(bucket, release_key(PROJECT, uuid.UUID(int=9)), b"release")
    for _ in range(2):
        with pytest.raises(Invalid, match=r"1 left behind, such as '__outputs/blog/about.*also be the folder of"):
            await copy(bucket, directory)
    assert {release_key(PROJECT, uuid.UUID(int=9))} < await keys_of(directory)


async def test_what_is_no_key_is_named_and_the_rest_is_copied(directory, bucket, settings, client):
    for key in ("__outputs/blog/a//b.html", "__outputs/blog/folder/", "__outputs/loose", "__outputs/blog/whole"):
        await asyncio.to_thread(client.put_object, Bucket=settings.bucket, Key=key, Body=b"body")
    with pytest.raises(Invalid, match=r"3 left behind, such as '__outputs/.*Buildspace cannot serve"):
        await copy(bucket, directory)
    assert await keys_of(directory) == {"__outputs/blog/whole"}


async def test_outputs_get_the_type_that_their_name_says(directory, bucket, settings, client):
    await put(directory, "__outputs/blog/app.js", b"script")
    await copy(directory, bucket)
    found = await asyncio.to_thread(client.head_object, Bucket=settings.bucket, Key="__outputs/blog/app.js")
    assert found["ContentType"] == "text/javascript; charset=utf-8"


class Failing(DirectoryObjectStore):
    """Takes so many objects, then is away."""

    def __init__(self, root, left):
        super().__init__(root)
        self.left = left

    async def put(self, key, chunks, *, size, **options):
        if self.left == 0:
            raise Unavailable("The store is away.")
        self.left -= 1
        await super().put(key, chunks, size=size, **options)


async def test_a_copy_that_broke_off_goes_on_where_it_was(directory, tmp_path):
    for number in range(30):
        await put_blob(directory, f"{number}".encode())
    target = Failing(tmp_path / "target", 10)
    with pytest.raises(Unavailable, match=r"The store is away. Run the command again: it continues from here"):
        await copy(directory, target)
    arrived = len(await keys_of(target))
    target.left = 1000
    assert (await copy(directory, target))[0].endswith(f"{arrived} were already there.")
    assert await keys_of(target) == await keys_of(directory)


async def test_one_store_cannot_be_copied_onto_itself(tmp_path):
    config = Config(data=Data(str(tmp_path)))
    with pytest.raises(ConfigError, match="there is nothing to copy"):
        await copy_objects(config, config, print)


async def test_two_copies_into_one_folder_disturb_nobody(bucket, tmp_path):
    """The second begins while an object of the first is on its way in."""
    target, begun, second_is_done = DirectoryObjectStore(tmp_path / "new"), asyncio.Event(), asyncio.Event()
    blob = await put_blob(bucket, b"one")

    async def slowly():
        yield b"half "
        begun.set()
        await second_is_done.wait()
        yield b"whole"

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(target.put("__outputs/blog/index.html", slowly(), size=10))
        await begun.wait()
        await copy(bucket, DirectoryObjectStore(tmp_path / "new"))
        second_is_done.set()
    assert await keys_of(target) == {blob, "__outputs/blog/index.html"}


async def test_what_the_running_gateway_takes_in_meanwhile_arrives(tmp_path):
    old, new = (Config(data=Data(str(tmp_path / name))) for name in ("old", "new"))
    gateways_own = DirectoryObjectStore(old.data_directory / "objects")
    begun, copied = asyncio.Event(), asyncio.Event()

    async def slowly():
        yield b"one "
        begun.set()
        await copied.wait()
        yield b"two"

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateways_own.put("__blobs/a/b", slowly(), size=7))
        await begun.wait()
        await copy_objects(old, new, print)
        copied.set()
    assert await read(gateways_own, "__blobs/a/b") == b"one two"
