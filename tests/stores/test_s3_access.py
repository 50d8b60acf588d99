"""S3 that is away, refuses, or is not where the settings say; and where its keys come from."""

import asyncio
import contextlib
import dataclasses
import datetime
import os

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer

from gateway.commands.doctor import examine
from gateway.config import S3, Config, Data, Postgres, Secret
from gateway.engines.s3 import s3_client
from gateway.engines.s3 import s3_objects as blobs_s3
from gateway.engines.s3.s3_objects import open_s3
from gateway.errors import NotFound, Unavailable
from tests.engines.ports import free_ports
from tests.engines.s3 import VIRTUAL_DOMAIN, running_s3


@pytest.fixture
def moto(s3_servers):
    return s3_servers("moto")


@pytest.fixture
def strict(s3_servers):
    """A server that checks keys, signatures and regions."""
    return s3_servers("versitygw")


async def once(content):
    yield content


async def put(objects, key, content=b"hello"):
    await objects.put(key, once(content), size=len(content))


async def get(objects, key, *area):
    async with objects.open(key, *area) as reader:
        return b"".join([piece async for piece in reader.chunks()])


async def trouble_of(settings, resolver=None):
    """What `check` says of these settings; every other call must raise Unavailable, too, never NotFound."""
    async with open_s3(settings, resolver) as objects:
        for call in (
            put(objects, "a"),
            get(objects, "a"),
            objects.exists("a"),
            anext(objects.list("")),
            objects.delete(["a"]),
            objects.copy("a", "b", size=5),
        ):
            with pytest.raises(Unavailable):
                await call
        with pytest.raises(Unavailable) as caught:
            await objects.check()
        return caught.value.sentence


async def test_the_bucket_that_is_there_is_well(strict):
    async with open_s3(strict.make_bucket()) as objects:
        await objects.check()


async def test_a_bucket_that_is_missing_is_named(strict):
    assert "has no bucket 'nothing-here': make it, or correct s3.bucket" in await trouble_of(
        strict.settings("nothing-here")
    )


async def test_a_bucket_that_is_missing_is_no_missing_object_on_moto_either(moto):
    assert "has no bucket 'nothing-here'" in await trouble_of(moto.settings("nothing-here"))


async def test_a_bucket_that_vanishes_is_not_taken_for_missing_objects(moto, monkeypatch):
    settings = moto.make_bucket()
    monkeypatch.setattr(blobs_s3, "TRUSTED_SECONDS", 0.0)
    async with open_s3(settings) as objects:
        assert not await objects.exists("a")
        with contextlib.closing(moto.client()) as boto:
            boto.delete_bucket(Bucket=settings.bucket)
        with pytest.raises(Unavailable, match="has no bucket"):
            await objects.exists("a")


async def test_a_forged_signature_is_refused_with_the_setting_to_correct(strict):
    settings = dataclasses.replace(strict.make_bucket(), secret_access_key=Secret("a-forged-secret"))
    sentence = await trouble_of(settings)
    assert "s3.secret_access_key (SECRET_ACCESS_KEY_ID) is not the one" in sentence
    assert "forged" not in sentence


async def test_an_unknown_key_is_refused_with_the_setting_to_correct(strict):
    settings = dataclasses.replace(strict.make_bucket(), access_key_id="unknown")
    assert "does not know the access key: correct s3.access_key_id" in await trouble_of(settings)


async def test_a_wrong_region_is_put_right_by_what_the_store_answers(strict):
    settings = dataclasses.replace(strict.make_bucket(), region="eu-north-1")
    async with open_s3(settings) as objects:
        await objects.check()
        await put(objects, "a")
        assert await get(objects, "a") == b"hello"


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "allow these keys s3:ListBucket on it"),
        (403, "RequestTimeTooSkewed", "let NTP set it"),
        (403, "SomethingElse", "answered SomethingElse to list_objects_v2"),
        (403, "<b>", "answered an unknown error to"),
        (400, "ExpiredToken", "session keys have expired"),
        (503, "SlowDown", "is overloaded"),
        (507, "XMinioStorageFull", "is full"),
        (405, "MethodNotAllowed", "does not look like S3"),
        (301, "PermanentRedirect", "correct s3.region (S3_REGION) to eu-west-3."),
    ],
)
async def test_what_the_store_says_becomes_a_sentence(status, code, words):
    async def answer(request):
        escaped = code.replace("<", "&lt;")
        body = f"<Error><Code>{escaped}</Code><Message>no</Message></Error>"
        headers = {"x-amz-bucket-region": "eu-west-3"} if status == 301 else {}
        return web.Response(status=status, text=body, content_type="application/xml", headers=headers)

    async with listening(answer) as server:
        assert words in await trouble_of(fake_settings(server))


async def test_a_page_of_something_else_becomes_a_sentence():
    async def answer(request):
        return web.Response(text="<html>Welcome to nginx", content_type="text/html")

    async with listening(answer) as server, open_s3(fake_settings(server)) as objects:
        with pytest.raises(Unavailable, match="object store"):
            await anext(objects.list(""))


async def test_a_store_that_is_away_is_told_by_every_call():
    (port,) = free_ports(1)
    settings = S3(
        bucket="b", endpoint=f"http://127.0.0.1:{port}", access_key_id="a", secret_access_key=Secret("b" * 20)
    )
    sentence = await trouble_of(settings)
    assert sentence == (f"The object store at 127.0.0.1:{port} cannot be reached: check s3.endpoint and the network.")


async def test_a_store_that_accepts_and_is_silent_is_told_by_the_check(monkeypatch):
    monkeypatch.setattr(blobs_s3, "CHECK_SECONDS", 0.2)

    async def silent(request):
        await asyncio.sleep(30)

    async with listening(silent) as server, open_s3(fake_settings(server)) as objects:
        with pytest.raises(Unavailable, match="did not answer in time"):
            await objects.check()


async def test_a_store_that_comes_back_is_used_again(tmp_path):
    with running_s3("moto", tmp_path) as server:
        settings = server.make_bucket("comes-back")
        async with open_s3(settings) as objects:
            await put(objects, "a")
            server.kill()
            for call in (get(objects, "a"), put(objects, "b"), objects.check()):
                with pytest.raises(Unavailable):
                    await call
            server.start()
            server.make_bucket("comes-back")
            await objects.check()
            await put(objects, "a", b"again")
            assert await get(objects, "a") == b"again"


async def test_a_store_that_dies_during_a_put_shows_nothing(tmp_path):
    content = os.urandom(9 * 1024**2)
    with running_s3("versitygw", tmp_path) as server:
        async with open_s3(server.make_bucket()) as objects:

            async def halfway():
                yield content[: 8 * 1024**2 + 1]
                server.kill()
                yield content[8 * 1024**2 + 1 :]

            with pytest.raises(Unavailable):
                await objects.put("__blobs/p/large", halfway(), size=len(content))
            server.start()
            assert not await objects.exists("__blobs/p/large")
            assert [found async for found in objects.list("")] == []


async def test_opening_waits_for_nobody(monkeypatch):
    settings = S3(bucket="b", endpoint="http://192.0.2.1:9", access_key_id="a", secret_access_key=Secret("b"))
    async with asyncio.timeout(1), open_s3(settings) as objects:
        assert objects


class TestDoctor:
    async def test_a_good_bucket_is_well_and_left_empty(self, strict, tmp_path):
        settings = strict.make_bucket()
        said = await examined(settings, tmp_path)
        assert said == (
            f"ok    object store: bucket '{settings.bucket}' of the object store at 127.0.0.1:{strict.port};"
            " an object written, read, deleted."
        )
        async with open_s3(settings) as objects:
            assert [found async for found in objects.list("")] == []

    async def test_a_bucket_that_is_missing_is_wrong(self, strict, tmp_path):
        said = await examined(strict.settings("nothing-here"), tmp_path)
        assert said.startswith("WRONG object store: The object store at 127.0.0.1:")
        assert "has no bucket 'nothing-here': make it, or correct s3.bucket" in said


class TestReading:
    async def test_downloads_that_break_off_leave_the_pool_usable(self, moto):
        content = os.urandom(3 * 1024**2)
        settings = dataclasses.replace(moto.make_bucket(), connections=4)
        async with open_s3(settings) as objects:
            await put(objects, "large", content)

            async def break_off():
                async with objects.open("large") as reader:
                    await anext(reader.chunks())

            for _ in range(20):
                await asyncio.gather(*(break_off() for _ in range(10)))
            assert await get(objects, "large") == content

    async def test_slow_readers_leave_room_for_small_objects(self, moto, monkeypatch):
        monkeypatch.setattr(blobs_s3, "PLACE_SECONDS", 0.05)
        settings = dataclasses.replace(moto.make_bucket(), connections=4)
        async with open_s3(settings) as objects, contextlib.AsyncExitStack() as slow:
            await put(objects, "large", os.urandom(1024**2))
            await put(objects, "small", b"hello")
            for _ in range(3):
                await slow.enter_async_context(objects.open("large"))
            with pytest.raises(Unavailable, match=r"raise s3\.connections"):
                await get(objects, "large")
            assert await get(objects, "small") == b"hello"
            await slow.aclose()
            assert len(await get(objects, "large")) == 1024**2

    async def test_a_body_that_breaks_off_is_unavailable(self):
        async def answer(request):
            response = web.StreamResponse(headers={"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})
            response.content_length = 1024**2
            await response.prepare(request)
            await response.write(b"x" * 300_000)
            request.transport.abort()
            return response

        async with listening(answer) as server, open_s3(fake_settings(server)) as objects:
            with pytest.raises(Unavailable, match="broke off"):
                await get(objects, "large")

    async def test_a_store_without_ranges_is_told(self):
        async def answer(request):
            return web.Response(body=b"whole", headers={"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"})

        async with listening(answer) as server, open_s3(fake_settings(server)) as objects:
            with pytest.raises(Unavailable, match="sends a whole object"):
                await get(objects, "a", 2)

    async def test_no_bad_key_is_ever_sent(self):
        asked = []

        async def answer(request):
            asked.append(request.path)
            return web.Response(status=404)

        async with listening(answer) as server, open_s3(fake_settings(server)) as objects:
            with pytest.raises(NotFound):
                await get(objects, "a/../b")
            assert not await objects.exists("../b")
            await objects.delete(["../b"])
            assert [found async for found in objects.list("../")] == []
        assert asked == []


class TestAddresses:
    async def test_the_bucket_is_a_host_name_where_that_is_wanted(self, strict):
        settings = strict.make_bucket()
        virtual = dataclasses.replace(settings, addressing="virtual", endpoint=f"http://{VIRTUAL_DOMAIN}:{strict.port}")
        resolver = Here()
        async with open_s3(virtual, resolver) as objects:
            await put(objects, "a")
            assert await get(objects, "a") == b"hello"
        assert resolver.asked == {f"{settings.bucket}.{VIRTUAL_DOMAIN}"}
        async with open_s3(settings) as objects:
            assert await get(objects, "a") == b"hello"

    async def test_another_endpoint_than_amazons_gets_the_bucket_in_the_path(self):
        assert await asked_of(S3(bucket="b-b", endpoint="http://s3.test")) == ("s3.test", "/b-b")

    async def test_amazon_gets_the_bucket_as_a_host_name_of_the_region(self, monkeypatch):
        resolver = Here()
        settings = S3(bucket="b-b", region="eu-west-1", access_key_id="a", secret_access_key=Secret("b"))
        async with open_s3(settings, resolver) as objects:
            with pytest.raises(Unavailable, match="Amazon S3 cannot be reached"):
                await objects.check()
        assert resolver.asked == {"b-b.s3.eu-west-1.amazonaws.com"}


class TestKeys:
    """Without keys in the settings the default chain of AWS is asked. Here it is a task on ECS."""

    @pytest.fixture(autouse=True)
    def _no_keys_of_this_machine(self, monkeypatch, tmp_path):
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    async def test_the_role_of_the_task_gives_the_keys(self, moto, monkeypatch):
        settings = without_keys(moto.make_bucket())
        async with role_endpoint(("first", "secret", 3600)) as (port, given):
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/role")
            async with open_s3(settings) as objects:
                await put(objects, "a")
                assert await get(objects, "a") == b"hello"
        assert given == ["first"]

    async def test_the_relative_address_that_ecs_gives_is_asked_too(self, moto, monkeypatch):
        from botocore.utils import ContainerMetadataFetcher

        settings = without_keys(moto.make_bucket())
        async with role_endpoint(("first", "secret", 3600)) as (port, given):
            monkeypatch.setattr(ContainerMetadataFetcher, "IP_ADDRESS", f"127.0.0.1:{port}")
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role")
            async with open_s3(settings) as objects:
                await objects.check()
        assert given == ["first"]

    async def test_keys_that_expire_are_renewed(self, strict, monkeypatch):
        """The first keys last too short to be used; only the second are right."""
        settings = without_keys(strict.make_bucket())
        right = (strict.access_key, strict.secret_key, 3600)
        async with role_endpoint(("stale", "stale", 60), right) as (port, given):
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/role")
            async with open_s3(settings) as objects:
                await put(objects, "a")
        assert given == ["stale", strict.access_key]

    async def test_without_keys_and_role_the_sentence_says_what_to_set(self, moto):
        sentence = await trouble_of(without_keys(moto.settings("b")))
        assert sentence.startswith("There are no keys for S3: set s3.access_key_id (ACCESS_KEY_ID)")

    async def test_a_role_that_comes_later_is_found(self, moto, monkeypatch):
        settings = without_keys(moto.make_bucket())
        async with open_s3(settings) as objects, role_endpoint(("first", "secret", 3600)) as (port, _):
            with pytest.raises(Unavailable, match="There are no keys"):
                await objects.check()
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/role")
            await objects.check()

    async def test_a_role_that_cannot_be_asked_is_told(self, moto, monkeypatch):
        (port,) = free_ports(1)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/role")
        monkeypatch.setattr(s3_client, "TRIES", 1)
        async with open_s3(without_keys(moto.settings("b"))) as objects:
            with pytest.raises(Unavailable, match="keys of the role for S3 cannot be fetched"):
                await objects.check()

    async def test_a_profile_that_is_not_there_is_told(self, moto, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        async with open_s3(moto.settings("b")) as objects:
            with pytest.raises(Unavailable, match="AWS_PROFILE"):
                await objects.check()


class Here(AbstractResolver):
    """Every name is this machine."""

    def __init__(self):
        self.asked = set()

    async def resolve(self, host, port=0, family=0):
        self.asked.add(host)
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self):
        pass


async def examined(settings, folder):
    """The doctor's line about the object store. Nothing else is well here, and that does not matter."""
    config = Config(
        data=Data(str(folder / "data")), postgres=Postgres(Secret("postgresql://127.0.0.1:1/none")), s3=settings
    )
    said = []
    await examine(config, say=said.append)
    (line,) = [line for line in said if "object store:" in line]
    return line


async def asked_of(settings):
    """The Host and the path of a check with these settings."""
    asked = []

    async def answer(request):
        asked.append((request.host.split(":")[0], request.path))
        return web.Response()

    async with listening(answer) as server:
        here = dataclasses.replace(
            settings,
            endpoint=f"{settings.endpoint}:{server.port}",
            access_key_id="a",
            secret_access_key=Secret("b"),
        )
        async with open_s3(here, Here()) as objects:
            await objects.check()
    return asked[0]


def fake_settings(server):
    return S3(bucket="b-b", endpoint=str(server.make_url("")), access_key_id="a", secret_access_key=Secret("b"))


def without_keys(settings):
    return dataclasses.replace(settings, access_key_id="", secret_access_key=Secret(""))


@contextlib.asynccontextmanager
async def listening(answer):
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def role_endpoint(*keys):
    """What ECS puts beside each task. Its port, and the access keys that it gave: these in order, the last for ever.

    Each of `keys` is an access key, its secret, and for how many seconds they last.
    """
    given = []

    async def answer(request):
        access_key, secret_key, seconds = keys[min(len(given), len(keys) - 1)]
        given.append(access_key)
        ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        words = {"AccessKeyId": access_key, "SecretAccessKey": secret_key, "Token": ""}
        return web.json_response(words | {"Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")})

    async with listening(answer) as server:
        yield server.port, given
