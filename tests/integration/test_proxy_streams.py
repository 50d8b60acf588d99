"""Large files: bounded memory, patience with slow readers but not for ever, and no cut body that looks whole."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.models.object_keys import blob_key, release_key
from gateway.models.release import Blob, ReleaseFile
from gateway.sites.release_format import encode_release
from tests.integration.site_server import RawResponse, Sites, running_sites, until
from tests.unit.sites.fakes import DEPLOYMENT, PROJECT, make_release, sha256_of

Run = Callable[[Coroutine[Any, Any, Any]], Any]

MEBIBYTE = 1024 * 1024
BIG = bytes(range(256)) * 4096 * 32
FILES = {"index.html": b"home", "big.bin": BIG, "404.html": b"x" * (300 * 1024)}
GET_BIG = b"GET /big.bin HTTP/1.1\r\nHost: blog.localhost\r\n\r\n"


LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
"""The limits of their write buffers differ, and what they do with a connection that is cut."""


@contextlib.asynccontextmanager
async def large_sites() -> AsyncIterator[Sites]:
    async with running_sites(write_seconds=0.5) as running:
        running.hosts.publish("blog", running.objects.keep(make_release(FILES), FILES))
        yield running


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with large_sites() as running:
        yield running


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def download(port: int, request: bytes, samples: list[int]) -> int:
    """Reads all into one small buffer, in a thread; how many bytes came."""
    buffer = bytearray(MEBIBYTE)
    received = sampled = 0
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        while count := connection.recv_into(buffer):
            received += count
            if received - sampled > 8 * MEBIBYTE:
                sampled = received
                samples.append(resident_bytes())
    return received


def make_sparse(root: Path, key: str, size: int) -> None:
    """A large file of zeros that takes no place."""
    path = root / key
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(size)


def test_a_gibibyte_adds_less_than_32_mebibytes(tmp_path: Path) -> None:
    received, added = uvloop.run(download_sparse_file(tmp_path, 1024 * MEBIBYTE))
    assert received > 1024 * MEBIBYTE
    assert added < 32 * MEBIBYTE


async def download_sparse_file(root: Path, size: int) -> tuple[int, int]:
    """How many bytes came, and how much larger the process became."""
    blob = Blob(sha256_of(b"not checked while it streams"), size)
    release = dataclasses.replace(make_release({}), files={"big.bin": ReleaseFile(blob)})
    make_sparse(root, blob_key(PROJECT, blob.sha256), size)
    async with running_sites(DirectoryObjectStore(root)) as sites:
        encoded = encode_release(release)
        await sites.objects.put(release_key(PROJECT, DEPLOYMENT), one_chunk(encoded), size=len(encoded))
        sites.hosts.publish("blog", release)
        assert (await sites.get("blog", "/big.bin", Range="bytes=-10")).body == bytes(10)
        before, samples = resident_bytes(), []
        request = GET_BIG.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        received = await asyncio.to_thread(download, sites.port, request, samples)
    return received, max(samples) - before


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    yield body


@LOOPS
def test_the_store_is_read_no_faster_than_the_client_reads_who_is_cut_off_when_he_stops(run: Run) -> None:
    chunks_read, open_at_first, open_in_the_end, connections, sent = run(stop_reading())
    assert chunks_read < 80  # of 128: the rest waits for the client
    assert (open_at_first, open_in_the_end, connections) == (1, 0, 0)
    assert sent < len(BIG)


async def stop_reading() -> tuple[int, int, int, int, int]:
    async with large_sites() as sites:
        connection = await sites.connect()
        connection.send(GET_BIG)
        await connection.reader.readexactly(MEBIBYTE)
        connection.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        chunks_read, open_at_first = sites.objects.chunks_read, sites.objects.open_now
        assert sites.server is not None
        await until(lambda: sites.server.connections == [])
        connections = len(sites.server.connections)
        return chunks_read, open_at_first, sites.objects.open_now, connections, sites.responses[0][1]


async def test_a_client_that_sends_many_requests_and_reads_nothing_is_cut_off(sites: Sites) -> None:
    connection = await sites.connect()
    connection.writer.transport.pause_reading()
    connection.send(b"GET /missing HTTP/1.1\r\nHost: blog.localhost\r\n\r\n" * 1000)
    assert sites.server is not None
    await until(lambda: len(sites.server.connections) == 1)
    await until(lambda: sites.server.connections == [])


async def test_a_slow_client_that_goes_on_reading_gets_all(sites: Sites) -> None:
    connection = await sites.connect()
    connection.send(GET_BIG)
    await connection.reader.readuntil(b"\r\n\r\n")
    first = await connection.reader.readexactly(MEBIBYTE)
    await asyncio.sleep(0.3)
    second = await connection.reader.readexactly(8 * MEBIBYTE)
    await asyncio.sleep(0.3)
    rest = await connection.reader.readexactly(len(BIG) - 9 * MEBIBYTE)
    assert first + second + rest == BIG


@LOOPS
def test_a_store_that_fails_in_the_middle_cuts_the_connection(run: Run) -> None:
    response, left_open = run(break_in_the_middle())
    assert (response.status, response.is_whole, left_open) == (200, False, 0)


async def break_in_the_middle() -> tuple[RawResponse, int]:
    async with large_sites() as sites:
        sites.objects.breaks_after = 16 * MEBIBYTE
        connection = await sites.connect()
        connection.send(GET_BIG)
        response = await connection.receive()
        await connection.is_closed()
        return response, sites.objects.open_now


@pytest.mark.parametrize("stored", [BIG[: 16 * MEBIBYTE], BIG[:-1]])
async def test_an_object_that_is_too_short_cuts_the_connection(sites: Sites, stored: bytes) -> None:
    sites.objects.bodies[blob_key(PROJECT, sha256_of(BIG))] = stored
    connection = await sites.connect()
    connection.send(GET_BIG)
    response = await connection.receive()
    assert (response.status, response.is_whole) == (200, False)
    assert await connection.is_closed()


async def test_a_store_that_fails_at_once_is_a_503(sites: Sites) -> None:
    sites.objects.breaks_after = 0
    response = await sites.get("blog", "/big.bin")
    assert response.status == 503


async def test_a_client_that_leaves_closes_the_object(sites: Sites) -> None:
    connection = await sites.connect()
    connection.send(GET_BIG)
    await connection.reader.readexactly(MEBIBYTE)
    connection.writer.transport.abort()
    await until(lambda: sites.objects.open_now == 0)


async def test_a_large_error_page_streams_too(sites: Sites) -> None:
    response = await sites.get("blog", "/missing")
    assert (response.status, response.body) == (404, FILES["404.html"])
    assert sites.objects.open_now == 0


async def test_a_stop_cuts_a_download_and_never_shows_it_as_whole() -> None:
    async with running_sites() as sites:
        sites.hosts.publish("blog", sites.objects.keep(make_release(FILES), FILES))
        connection = await sites.connect()
        connection.send(GET_BIG)
        await connection.reader.readexactly(MEBIBYTE)
        assert sites.server is not None
        await sites.server.shutdown(0.1)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await connection.reader.readexactly(len(BIG))
