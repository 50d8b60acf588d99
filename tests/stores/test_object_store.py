"""What every object store promises. One set of tests for each of them; each parameter of `objects` is one."""

import asyncio
import hashlib
import os

import pytest

from gateway.engines.directory.directory_objects import PIECE_BYTES, DirectoryObjectStore
from gateway.engines.s3.s3_objects import open_s3
from gateway.errors import Conflict, Invalid, NotFound
from tests.engines.s3 import S3_SERVERS
from tests.memory.objects import MemoryObjects


@pytest.fixture
def root(tmp_path):
    return tmp_path / "objects"


@pytest.fixture(params=["memory", "directory", *S3_SERVERS])
async def objects(request, root):
    if request.param == "memory":
        yield MemoryObjects()
    elif request.param == "directory":
        yield DirectoryObjectStore(root)
    else:
        async with open_s3(request.getfixturevalue("s3_servers")(request.param).make_bucket()) as store:
            yield store


async def pieces(content, size=64 * 1024):
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def put(objects, key, content=b"hello", **options):
    await objects.put(key, pieces(content), **{"size": len(content), **options})


async def get(objects, key, *area):
    async with objects.open(key, *area) as reader:
        return b"".join([piece async for piece in reader.chunks()])


async def keys(objects, prefix=""):
    return sorted([found.key async for found in objects.list(prefix)])


async def test_what_was_put_is_read(objects):
    await put(objects, "__blobs/p/abc", b"hello", sha256=hashlib.sha256(b"hello").hexdigest())
    assert await get(objects, "__blobs/p/abc") == b"hello"
    assert await objects.exists("__blobs/p/abc")


async def test_an_empty_object_is_an_object(objects):
    await put(objects, "empty", b"")
    assert await get(objects, "empty") == b""
    assert await keys(objects) == ["empty"]


async def test_an_object_knows_its_size_and_time(objects):
    await put(objects, "a", b"hello")
    async with objects.open("a", 2) as reader:
        assert (reader.info.key, reader.info.size, reader.info.modified_at.tzinfo is None) == ("a", 5, False)


@pytest.mark.parametrize(
    ("area", "expected"),
    [((0,), b"0123456789"), ((3,), b"3456789"), ((3, 4), b"3456"), ((8, 100), b"89"), ((10,), b""), ((99, 1), b"")],
)
async def test_a_part_is_read(objects, area, expected):
    await put(objects, "a", b"0123456789")
    assert await get(objects, "a", *area) == expected


async def test_a_large_object_comes_in_bounded_pieces(objects):
    content = os.urandom(3 * PIECE_BYTES + 17)
    await put(objects, "large", content)
    async with objects.open("large") as reader:
        found = [piece async for piece in reader.chunks()]
    assert b"".join(found) == content
    assert max(map(len, found)) <= PIECE_BYTES


async def test_putting_again_replaces(objects):
    await put(objects, "a", b"one")
    await put(objects, "a", b"two")
    assert await get(objects, "a") == b"two"


async def test_a_reader_keeps_what_it_opened(objects):
    content = os.urandom(2 * PIECE_BYTES)
    await put(objects, "a", content)
    async with objects.open("a") as reader:
        await put(objects, "a", b"other")
        assert b"".join([piece async for piece in reader.chunks()]) == content


@pytest.mark.parametrize("options", [{"size": 4}, {"size": 6}, {"sha256": "0" * 64}])
async def test_wrong_bytes_are_refused_and_nothing_is_kept(objects, options):
    with pytest.raises(Invalid):
        await put(objects, "a/b", b"hello", **options)
    assert not await objects.exists("a/b")
    assert await keys(objects) == []


async def test_wrong_bytes_do_not_replace_what_is_there(objects):
    await put(objects, "a", b"good")
    with pytest.raises(Invalid):
        await put(objects, "a", b"bad", sha256="0" * 64)
    assert await get(objects, "a") == b"good"


async def test_a_sender_that_breaks_off_leaves_nothing(objects):
    async def broken():
        yield b"x" * PIECE_BYTES
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await objects.put("a", broken(), size=2 * PIECE_BYTES)
    assert await keys(objects) == []


async def test_what_is_not_stored_is_not_found(objects):
    await put(objects, "a/b")
    for key in ("nothing", "a", "a/c", "a/b/c", "x" * 300, "x/" * 700 + "x"):
        assert not await objects.exists(key)
        with pytest.raises(NotFound):
            await get(objects, key)


BAD_KEYS = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "../a", "a\0b", "a\\b", "\ud800", "x" * 2000]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_bad_key_is_never_stored_nor_found(objects, key):
    with pytest.raises(Invalid, match="not a key"):
        await put(objects, key)
    with pytest.raises(NotFound):
        await get(objects, key)
    assert not await objects.exists(key)
    await objects.delete([key])


async def test_keys_are_listed_by_prefix(objects):
    for key in ("__blobs/one/a", "__blobs/one/b", "__blobs/only/c", "__releases/one/d", "e"):
        await put(objects, key)
    assert await keys(objects, "__blobs/one/") == ["__blobs/one/a", "__blobs/one/b"]
    assert await keys(objects, "__blobs/on") == ["__blobs/one/a", "__blobs/one/b", "__blobs/only/c"]
    assert await keys(objects, "__releases/one/d") == ["__releases/one/d"]
    assert len(await keys(objects)) == 5
    assert await keys(objects, "nothing/") == []
    assert await keys(objects, "../") == []


async def test_deleting_forgets_and_spares_the_rest(objects):
    await put(objects, "a/b/c")
    await put(objects, "a/d")
    await objects.delete(["a/b/c", "a/nothing", "a/b"])
    assert await keys(objects) == ["a/d"]
    await objects.delete(key for key in ["a/d"])
    assert await keys(objects) == []


async def test_the_same_key_put_at_once_is_whole(objects):
    contents = [bytes([number]) * PIECE_BYTES * 2 for number in range(6)]
    await asyncio.gather(*(put(objects, "a/b", content) for content in contents))
    assert await get(objects, "a/b") in contents


async def test_putting_and_deleting_beside_each_other_disturb_nobody(objects):
    async def come_and_go(number):
        await put(objects, f"shared/folder/{number}")
        await objects.delete([f"shared/folder/{number}"])

    await asyncio.gather(*(come_and_go(number) for number in range(40)), put(objects, "shared/folder/kept"))
    assert await keys(objects) == ["shared/folder/kept"]


async def test_names_of_all_kinds_are_kept_apart(objects):
    names = ["o/ä", "o/a b", "o/A", "o/%41", "o/.hidden", "o/-rf", "o/..a", "o/😀", "o/*"]
    for name in names:
        await put(objects, name, name.encode())
    assert await keys(objects, "o/") == sorted(names)
    assert [await get(objects, name) for name in names] == [name.encode() for name in names]


@pytest.mark.parametrize("objects", sorted({"memory", "directory", *S3_SERVERS} - {"moto"}), indirect=True)
async def test_a_name_may_hold_a_line_break(objects):
    await put(objects, "o/new\nline", b"hello")
    assert await keys(objects, "o/") == ["o/new\nline"]
    await objects.delete(["o/new\nline"])
    assert await keys(objects) == []


async def test_a_copy_is_an_object_of_its_own(objects):
    await put(objects, "__blobs/p/abc", b"hello")
    await objects.copy("__blobs/p/abc", "__outputs/blog/ä b.html", size=5, content_type="text/html")
    await objects.delete(["__blobs/p/abc"])
    assert await get(objects, "__outputs/blog/ä b.html") == b"hello"


async def test_a_copy_replaces_what_was_there(objects):
    await put(objects, "a", b"new")
    await put(objects, "b", b"old")
    await objects.copy("a", "b", size=3)
    assert (await get(objects, "a"), await get(objects, "b")) == (b"new", b"new")


async def test_what_is_not_stored_cannot_be_copied(objects):
    for key in ("nothing", "../a"):
        with pytest.raises(NotFound):
            await objects.copy(key, "b", size=5)
    assert await keys(objects) == []


async def test_a_bad_key_is_never_copied_to(objects):
    await put(objects, "a")
    with pytest.raises(Invalid, match="not a key"):
        await objects.copy("a", "../b", size=5)


async def test_tidying_leaves_what_is_stored(objects):
    await put(objects, "a")
    await objects.tidy()
    assert await keys(objects) == ["a"]


async def test_a_put_that_is_canceled_shows_nothing(objects):
    waiting, begun = asyncio.Event(), asyncio.Event()

    async def slow():
        yield b"x" * PIECE_BYTES
        begun.set()
        await waiting.wait()

    task = asyncio.create_task(objects.put("a", slow(), size=2 * PIECE_BYTES))
    await asyncio.wait_for(begun.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await keys(objects) == []


async def test_a_read_that_is_canceled_disturbs_no_other(objects):
    content = os.urandom(8 * PIECE_BYTES)
    await put(objects, "a", content)
    tasks = [asyncio.create_task(get(objects, "a")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert set(found[1::2]) == {content}


async def test_many_read_at_once(objects):
    for number in range(10):
        await put(objects, f"o/{number}", str(number).encode() * 1000)
    found = await asyncio.gather(*(get(objects, f"o/{number % 10}") for number in range(200)))
    assert found == [str(number % 10).encode() * 1000 for number in range(200)]


async def test_more_keys_than_a_page_are_listed_and_deleted(objects):
    names = [f"many/{number:04}" for number in range(1205)]
    await asyncio.gather(*(put(objects, name, b"") for name in names))
    assert await keys(objects, "many/") == names
    await objects.delete(names)
    assert await keys(objects) == []


@pytest.mark.parametrize("objects", ["directory"], indirect=True)
class TestDirectory:
    """What only the folder can get wrong."""

    async def test_a_key_is_either_an_object_or_a_folder(self, objects):
        await put(objects, "a/b")
        with pytest.raises(Conflict, match="folder"):
            await put(objects, "a")
        with pytest.raises(Conflict, match="folder"):
            await put(objects, "a/b/c")
        assert await keys(objects) == ["a/b"]

    async def test_objects_are_plain_files_that_others_cannot_read(self, objects, root):
        await put(objects, "__outputs/blog/index.html", b"hi")
        file = root / "__outputs" / "blog" / "index.html"
        assert file.read_bytes() == b"hi"
        assert (file.stat().st_mode & 0o077, root.stat().st_mode & 0o077) == (0, 0)

    async def test_a_link_in_the_place_of_a_file_is_no_object(self, objects, root, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("secret")
        await put(objects, "a/b")
        (root / "a" / "file").symlink_to(secret)
        with pytest.raises(NotFound):
            await get(objects, "a/file")
        assert await keys(objects) == ["a/b"]
        await put(objects, "a/file")
        assert (await get(objects, "a/file"), secret.read_text()) == (b"hello", "secret")

    async def test_a_link_in_the_place_of_a_folder_is_not_listed(self, objects, root, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "key").write_text("secret")
        await put(objects, "a/b")
        (root / "folder").symlink_to(tmp_path / "outside")
        assert await keys(objects) == ["a/b"]

    async def test_a_pipe_in_the_folder_hangs_nobody(self, objects, root):
        await put(objects, "a")
        os.mkfifo(root / "pipe")
        with pytest.raises(NotFound):
            await asyncio.wait_for(get(objects, "pipe"), 5)

    async def test_what_a_crash_left_is_removed_at_the_start(self, objects, root):
        await put(objects, "a")
        left = root / ".incoming" / "left"
        left.write_text("half")
        other = DirectoryObjectStore(root)
        await other.prepare()
        assert not left.exists()
        assert await get(other, "a") == b"hello"

    async def test_nothing_is_left_behind_by_a_failed_put(self, objects, root):
        with pytest.raises(Invalid):
            await put(objects, "a", b"hello", size=99)
        assert list((root / ".incoming").iterdir()) == []

    async def test_the_waiting_room_is_no_place_for_keys(self, objects):
        with pytest.raises(Invalid):
            await put(objects, ".incoming/a")

    async def test_a_put_that_is_canceled_leaves_nothing(self, objects, root):
        waiting, begun = asyncio.Event(), asyncio.Event()

        async def slow():
            yield b"x" * PIECE_BYTES
            begun.set()
            await waiting.wait()

        task = asyncio.create_task(objects.put("a", slow(), size=2 * PIECE_BYTES))
        await asyncio.wait_for(begun.wait(), 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert list((root / ".incoming").iterdir()) == []
        assert await keys(objects) == []
