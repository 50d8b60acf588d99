"""The sites' listener with real connections: what a visitor gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.models.deployment import Status
from gateway.models.object_keys import blob_key, release_key
from tests.integration.site_server import Sites, running_sites, until
from tests.unit.sites.fakes import PROJECT, make_release, sha256_of

FILES = {
    "index.html": b"<h1>home</h1>",
    "about.html": b"<h1>about</h1>",
    "app.js": b"console.log('hello')" * 10,
    "empty.txt": b"",
    "big.bin": bytes(range(256)) * 4096,
    "404.html": b"<h1>not here</h1>",
}
BROTLI = b"these bytes are brotli"
RELEASE = make_release(FILES, encodings={"app.js": {"br": BROTLI}})
BARE = {"index.html": b"bare"}


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with running_sites() as running:
        running.objects.keep(RELEASE, FILES, BROTLI)
        running.hosts.publish("blog", RELEASE)
        yield running


async def test_a_page_is_served(sites: Sites) -> None:
    response = await sites.get("blog")
    assert (response.status, response.body) == (200, FILES["index.html"])
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["server"] == "buildspace"
    assert "x-robots-tag" not in response.headers


@pytest.mark.parametrize("path", ["/", "/app.js", "/big.bin", "/empty.txt"])
async def test_head_has_the_headers_of_get_no_body_and_reads_no_file(sites: Sites, path: str) -> None:
    got = await sites.get("blog", path)
    sites.objects.opened.clear()
    asked = await sites.get("blog", path, "HEAD")
    del got.headers["date"], asked.headers["date"]
    assert (asked.status, asked.headers, asked.body) == (200, got.headers, b"")
    assert got.headers["content-length"] == str(len(got.body))
    assert sites.objects.opened == []


async def test_a_head_is_followed_by_the_next_response_on_the_same_connection(sites: Sites) -> None:
    connection = await sites.connect()
    connection.send(b"HEAD /big.bin HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
    assert (await connection.receive(is_head=True)).headers["content-length"] == str(len(FILES["big.bin"]))
    connection.send(b"GET / HTTP/1.1\r\nHost: blog.localhost\r\n\r\n")
    assert (await connection.receive()).body == FILES["index.html"]


async def test_a_304_costs_no_read_of_a_file(sites: Sites) -> None:
    etag = (await sites.get("blog", "/big.bin")).headers["etag"]
    sites.objects.opened.clear()
    response = await sites.get("blog", "/big.bin", If_None_Match=f'"x", W/{etag}')
    assert (response.status, response.body, response.headers["etag"]) == (304, b"", etag)
    assert not {"content-length", "content-type"} & set(response.headers)
    assert sites.objects.opened == []


async def test_if_modified_since_and_failed_preconditions(sites: Sites) -> None:
    modified = (await sites.get("blog")).headers["last-modified"]
    assert (await sites.get("blog", If_Modified_Since=modified)).status == 304
    assert (await sites.get("blog", If_Match='"other"')).status == 412
    assert (await sites.get("blog", If_Unmodified_Since="Thu, 01 Jan 1970 00:00:00 GMT")).status == 412


@pytest.mark.parametrize("path", ["/app.js", "/big.bin"])
@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        ("bytes=150-", slice(150, None)),
        ("bytes=-7", slice(-7, None)),
    ],
)
async def test_a_range_of_a_file_in_memory_and_of_one_that_streams(
    sites: Sites, path: str, asked: str, part: slice
) -> None:
    whole = FILES[path[1:]]
    response = await sites.get("blog", path, Range=asked)
    assert (response.status, response.body) == (206, whole[part])
    assert response.headers["content-range"].endswith(f"/{len(whole)}")


async def test_a_range_past_the_end_is_416(sites: Sites) -> None:
    response = await sites.get("blog", "/app.js", Range="bytes=9999-")
    assert (response.status, response.headers["content-range"]) == (416, f"bytes */{len(FILES['app.js'])}")


async def test_several_ranges_are_answered_whole(sites: Sites) -> None:
    response = await sites.get("blog", "/app.js", Range="bytes=0-1,5-6")
    assert (response.status, response.body) == (200, FILES["app.js"])


async def test_a_download_that_was_cut_goes_on_with_if_range(sites: Sites) -> None:
    etag = (await sites.get("blog", "/big.bin", "HEAD")).headers["etag"]
    rest = await sites.get("blog", "/big.bin", Range="bytes=1000000-", If_Range=etag)
    other = await sites.get("blog", "/big.bin", Range="bytes=1000000-", If_Range='"of another release"')
    assert (rest.status, rest.body) == (206, FILES["big.bin"][1_000_000:])
    assert (other.status, len(other.body)) == (200, len(FILES["big.bin"]))


async def test_a_precompressed_form_is_sent_with_its_coding(sites: Sites) -> None:
    response = await sites.get("blog", "/app.js", Accept_Encoding="gzip, br;q=0.9")
    assert (response.body, response.headers["content-encoding"]) == (BROTLI, "br")
    assert response.headers["vary"] == "Accept-Encoding"
    plain = await sites.get("blog", "/app.js", Accept_Encoding="gzip")
    assert (plain.body, plain.headers["vary"]) == (FILES["app.js"], "Accept-Encoding")


async def test_a_redirect_stays_on_the_host_and_keeps_the_query(sites: Sites) -> None:
    response = await sites.get("blog", "/about.html?next=//evil.example")
    assert (response.status, response.body) == (308, b"")
    assert response.headers["location"] == "/about?next=//evil.example"


async def test_the_sites_own_error_page_is_shown(sites: Sites) -> None:
    response = await sites.get("blog", "/missing/page")
    assert (response.status, response.body) == (404, FILES["404.html"])
    assert response.headers["cache-control"] == "no-store"


async def test_a_path_that_is_not_in_the_release_asks_the_store_nothing(sites: Sites) -> None:
    bare = make_release(BARE)
    sites.objects.keep(bare, BARE)
    sites.hosts.publish("bare", bare)
    await sites.get("bare")
    sites.objects.opened.clear()
    paths = ["/x", "/__blobs", "/__releases/x", "/.well-known/x", "/index.html.bak"]
    responses = await asyncio.gather(*(sites.get("bare", path) for path in paths))
    assert {response.status for response in responses} == {404}
    assert sites.objects.opened == []


async def test_a_deployments_own_host_is_not_for_search_engines(sites: Sites) -> None:
    page = await sites.get("blog-22222222")
    missing = await sites.get("blog-22222222", "/missing")
    moved = await sites.get("blog-22222222", "/about/")
    assert (page.status, page.body, missing.status, moved.status) == (200, FILES["index.html"], 404, 308)
    assert {response.headers["x-robots-tag"] for response in (page, missing, moved)} == {"noindex"}


async def test_an_unknown_host_is_a_friendly_404_that_names_nobody(sites: Sites) -> None:
    response = await sites.get("nobody")
    assert response.status == 404
    assert b"<h1>No site lives here</h1>" in response.body
    assert b"nobody" not in response.body
    assert b"blog" not in response.body
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "localhost.", "www.example.com", "a.b.localhost"])
async def test_hosts_that_are_no_sites_are_unknown(sites: Sites, host: str) -> None:
    assert (await sites.get(host)).status == 404


@pytest.mark.parametrize(
    ("status", "sentence", "retry"),
    [
        (Status.QUEUE, "This site is being built", "3"),
        (Status.BUILDING, "This site is being built", "3"),
        (Status.FAILED, "The newest deployment of this site failed", None),
        (Status.CANCELED, "was canceled", None),
        (None, "Nothing is published yet", None),
    ],
)
async def test_a_project_without_a_release_says_how_it_stands(
    sites: Sites, status: Status | None, sentence: str, retry: str | None
) -> None:
    sites.hosts.await_release("young", status)
    response = await sites.get("young", Accept="text/html")
    assert (response.status, response.headers.get("retry-after")) == (404, retry)
    assert sentence in response.body.decode()


async def test_an_older_release_stays_while_a_newer_deployment_fails(sites: Sites) -> None:
    assert (await sites.get("blog")).status == 200


async def test_a_release_that_goes_live_is_seen_after_its_notice(sites: Sites) -> None:
    assert (await sites.get("blog")).body == FILES["index.html"]
    newer = make_release(BARE, deployment_id=PROJECT)
    sites.objects.keep(newer, BARE)
    sites.hosts.publish("blog", newer)
    sites.pointers.forget("blog")
    assert (await sites.get("blog")).body == b"bare"


async def test_before_a_404_an_old_pointer_is_read_again(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.proxy.RECHECK_SECONDS", 0.0)
    assert (await sites.get("blog", "/new.txt")).status == 404
    files = {"new.txt": b"new"}
    newer = make_release(files, deployment_id=PROJECT)
    sites.objects.keep(newer, files)
    sites.hosts.publish("blog", newer)
    response = await sites.get("blog", "/new.txt")
    assert (response.status, response.body) == (200, b"new")


async def test_before_a_503_for_a_swept_release_an_old_pointer_is_read_again(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.proxy.RECHECK_SECONDS", 0.0)
    await sites.get("nobody")
    await sites.pointers.find("blog.localhost")
    newer = make_release(BARE, deployment_id=PROJECT)
    sites.objects.keep(newer, BARE)
    sites.hosts.publish("blog", newer)
    del sites.objects.bodies[release_key(PROJECT, RELEASE.deployment_id)]
    response = await sites.get("blog")
    assert (response.status, response.body) == (200, b"bare")


async def test_files_without_a_project_are_served_from_the_plain_layout(sites: Sites) -> None:
    sites.objects.bodies |= {
        "__outputs/old-site/index.html": b"home",
        "__outputs/old-site/about/index.html": b"about",
        "__outputs/old-site/assets/app.js": b"script" * 10,
    }
    home, about = await sites.get("old-site"), await sites.get("old-site", "/about")
    part = await sites.get("old-site", "/assets/app.js", Range="bytes=6-9")
    again = await sites.get("old-site", If_None_Match=home.headers["etag"])
    head = await sites.get("old-site", "/assets/app.js", "HEAD")
    assert (home.body, about.body, part.status, part.body, again.status) == (b"home", b"about", 206, b"scri", 304)
    assert (head.headers["content-length"], head.headers["content-type"]) == ("60", "text/javascript; charset=utf-8")
    assert (await sites.get("old-site", "/missing")).status == 404
    assert sites.objects.open_now == 0


async def test_a_project_without_a_release_is_served_from_the_plain_layout_too(sites: Sites) -> None:
    sites.hosts.await_release("young", Status.BUILDING)
    sites.objects.bodies["__outputs/young/index.html"] = b"from another builder"
    assert (await sites.get("young")).body == b"from another builder"


async def test_a_project_with_a_release_never_shows_plain_files(sites: Sites) -> None:
    sites.objects.bodies["__outputs/blog/secret.txt"] = b"secret"
    assert (await sites.get("blog", "/secret.txt")).status == 404


async def test_every_response_is_counted(sites: Sites) -> None:
    await sites.get("blog")
    await sites.get("blog", "/big.bin")
    await sites.get("blog", "/big.bin", "HEAD")
    await sites.get("blog", "/about/")
    assert sites.responses == [(200, len(FILES["index.html"])), (200, len(FILES["big.bin"])), (200, 0), (308, 0)]


async def test_a_real_client_agrees(sites: Sites) -> None:
    url = f"http://127.0.0.1:{sites.port}"
    async with aiohttp.ClientSession(url, headers={"Host": "blog.localhost"}, auto_decompress=False) as session:
        async with session.get("/about.html") as response:
            assert (response.status, response.url.path) == (200, "/about")
            assert await response.read() == FILES["about.html"]
        async with session.get("/big.bin") as response:
            assert sha256_of(await response.read()) == response.headers["ETag"].strip('"')


async def test_identical_requests_share_one_read(sites: Sites) -> None:
    await sites.get("nobody")
    sites.objects.gate.clear()
    asked = [asyncio.create_task(sites.get("blog", "/app.js")) for _ in range(20)]
    await until(lambda: len(sites.server.connections) == len(asked))
    sites.objects.gate.set()
    assert {response.body for response in await asyncio.gather(*asked)} == {FILES["app.js"]}
    blob = blob_key(PROJECT, sha256_of(FILES["app.js"]))
    assert sites.objects.opened.count(blob) == 1
    assert sites.hosts.asked.count("blog") == 1
