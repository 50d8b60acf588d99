"""The decision: a release, a request, an answer."""

from __future__ import annotations

import pytest

from gateway.sites.answers import COMMON_HEADERS, IMMUTABLE, REVALIDATE
from gateway.sites.pages import NOT_ALLOWED, NOT_FOUND, PRECONDITION_FAILED, UNSATISFIABLE
from gateway.sites.ranges import Part
from tests.unit.sites.asking import ask
from tests.unit.sites.fakes import PUBLISHED_DATE, blob_of, make_release, sha256_of

SITE = make_release(["index.html", "about.html", "docs/index.html", "assets/app-1a2b.js", "assets/page.html", "a.txt"])
HASHED = make_release(["index.html", "assets/app.js", "assets/page.html", "assetsx/a.js"], hashed_folders=("assets",))
PACKED = make_release(
    {"app.js": b"console.log(1)", "plain.js": b"1"},
    encodings={"app.js": {"br": b"brotli bytes", "gzip": b"gzip bytes!!!"}},
)
SINGLE = make_release(["index.html", "app.js"], is_single_page=True)


def test_a_file_is_answered_with_all_its_headers() -> None:
    answer = ask(SITE, "/a.txt")
    assert (answer.status, answer.blob, answer.part) == (200, blob_of(b"a.txt"), Part(0, 5))
    assert answer.headers == {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Cache-Control": REVALIDATE,
        "Last-Modified": PUBLISHED_DATE,
        "ETag": f'"{sha256_of(b"a.txt")}"',
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": "5",
        "Accept-Ranges": "bytes",
    }


def test_head_is_answered_as_get_is() -> None:
    assert ask(SITE, "/a.txt", "HEAD") == ask(SITE, "/a.txt")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "CONNECT"])
def test_other_methods_are_not_allowed(method: str) -> None:
    answer = ask(SITE, "/", method)
    assert (answer.status, answer.problem, answer.headers["Allow"]) == (405, NOT_ALLOWED, "GET, HEAD")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/about.html", "/about"),
        ("/about/", "/about"),
        ("/about.html?a=1&b=//x", "/about?a=1&b=//x"),
        ("/docs?", "/docs/?"),
        ("/%61bout", "/about"),
    ],
)
def test_a_page_has_one_address_and_the_query_is_kept(target: str, location: str) -> None:
    answer = ask(SITE, target)
    assert (answer.status, answer.headers["Location"], answer.part) == (308, location, None)
    assert answer.headers["Cache-Control"] == REVALIDATE


@pytest.mark.parametrize("target", ["//evil.example/", "//evil.example", "///", "/docs//", "//about.html", "/.//about"])
def test_double_slashes_lead_nowhere(target: str) -> None:
    answer = ask(SITE, target)
    assert (answer.status, "Location" in answer.headers) == (404, False)


def test_files_under_a_hashed_folder_stay_for_ever_but_pages_and_their_neighbours_do_not() -> None:
    paths = ("/assets/app.js", "/assets/page", "/assetsx/a.js", "/")
    assert [ask(HASHED, path).headers["Cache-Control"] for path in paths] == [
        IMMUTABLE,
        REVALIDATE,
        REVALIDATE,
        REVALIDATE,
    ]


def test_a_precompressed_form_is_sent_to_who_takes_it() -> None:
    answer = ask(PACKED, "/app.js", Accept_Encoding="gzip, br")
    assert answer.blob == blob_of(b"brotli bytes")
    assert answer.headers["Content-Encoding"] == "br"
    assert answer.headers["Content-Length"] == "12"
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["ETag"] == f'"{sha256_of(b"brotli bytes")}-br"'


def test_the_forms_of_a_file_have_different_tags_and_all_vary() -> None:
    answers = [ask(PACKED, "/app.js", Accept_Encoding=accepted) for accepted in ("br", "gzip", "identity")]
    assert len({answer.headers["ETag"] for answer in answers}) == 3
    assert {answer.headers["Vary"] for answer in answers} == {"Accept-Encoding"}


def test_what_has_one_form_does_not_vary() -> None:
    assert "Vary" not in ask(PACKED, "/plain.js", Accept_Encoding="br").headers


def test_a_304_repeats_what_caches_need_and_nothing_else() -> None:
    etag = ask(PACKED, "/app.js", Accept_Encoding="br").headers["ETag"]
    answer = ask(PACKED, "/app.js", Accept_Encoding="br", If_None_Match=etag)
    assert (answer.status, answer.part, answer.blob) == (304, None, None)
    assert set(answer.headers) == {*COMMON_HEADERS, "ETag", "Cache-Control", "Last-Modified", "Vary"}


def test_another_forms_tag_is_no_match() -> None:
    etag = ask(PACKED, "/app.js", Accept_Encoding="gzip").headers["ETag"]
    assert ask(PACKED, "/app.js", Accept_Encoding="br", If_None_Match=etag).status == 200


def test_a_failed_precondition_is_a_412() -> None:
    answer = ask(SITE, "/a.txt", If_Match='"other"')
    assert (answer.status, answer.problem) == (412, PRECONDITION_FAILED)


def test_a_range_is_answered_with_its_part() -> None:
    answer = ask(SITE, "/a.txt", Range="bytes=1-2")
    assert (answer.status, answer.part, answer.blob) == (206, Part(1, 2), blob_of(b"a.txt"))
    assert (answer.headers["Content-Range"], answer.headers["Content-Length"]) == ("bytes 1-2/5", "2")


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,3-4"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=0-1", "If_Range": '"other"'},
        {"Range": "bytes=0-1", "If_Range": "Wed, 04 Mar 2026 05:06:06 GMT"},
    ],
)
def test_what_is_not_one_range_of_this_very_file_is_answered_whole(headers: dict[str, str]) -> None:
    answer = ask(SITE, "/a.txt", **headers)
    assert (answer.status, answer.part, "Content-Range" in answer.headers) == (200, Part(0, 5), False)


@pytest.mark.parametrize("if_range", [f'"{sha256_of(b"a.txt")}"', PUBLISHED_DATE])
def test_if_range_that_holds_gives_the_part(if_range: str) -> None:
    assert ask(SITE, "/a.txt", Range="bytes=0-1", If_Range=if_range).status == 206


def test_a_range_past_the_end_is_a_416_that_says_the_size() -> None:
    answer = ask(SITE, "/a.txt", Range="bytes=9-")
    assert (answer.status, answer.problem) == (416, UNSATISFIABLE)
    assert answer.headers["Content-Range"] == "bytes */5"


def test_head_has_no_ranges() -> None:
    assert ask(SITE, "/a.txt", "HEAD", Range="bytes=1-2").status == 200


def test_a_304_comes_before_a_range() -> None:
    etag = f'"{sha256_of(b"a.txt")}"'
    assert ask(SITE, "/a.txt", Range="bytes=9-", If_None_Match=etag).status == 304


def test_an_empty_file_is_whole() -> None:
    answer = ask(make_release({"empty.txt": b""}), "/empty.txt")
    assert (answer.status, answer.part, answer.headers["Content-Length"]) == (200, Part(0, 0), "0")


def test_a_missing_path_without_an_error_page_is_our_own_page() -> None:
    answer = ask(SITE, "/missing")
    assert (answer.status, answer.problem, answer.part) == (404, NOT_FOUND, None)


def test_the_nearest_error_page_is_shown_whole_uncached_and_without_validators() -> None:
    release = make_release(["404.html", "docs/404.html"])
    answer = ask(release, "/docs/a/b", Range="bytes=0-1", If_None_Match="*")
    assert (answer.status, answer.blob, answer.part) == (404, blob_of(b"docs/404.html"), Part(0, 13))
    assert answer.headers["Cache-Control"] == "no-store"
    assert not {"ETag", "Last-Modified", "Accept-Ranges", "Content-Range"} & set(answer.headers)


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/route", {"Sec_Fetch_Mode": "navigate"}),
        ("/route/42?x", {"Accept": "text/html,*/*;q=0.8"}),
        ("/v1.2/", {"Accept": "text/html"}),
        ("/v1.2", {"Accept": "text/html"}),
    ],
)
def test_a_navigation_in_a_single_page_site_shows_its_page(target: str, headers: dict[str, str]) -> None:
    answer = ask(SINGLE, target, **headers)
    assert (answer.status, answer.blob) == (200, blob_of(b"index.html"))
    assert answer.headers["Cache-Control"] == REVALIDATE
    assert answer.headers["Vary"] == "Accept, Sec-Fetch-Mode"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/missing.js", {"Accept": "text/html"}),
        ("/missing.js", {"Sec_Fetch_Mode": "navigate"}),
        ("/api/users", {"Accept": "application/json"}),
        ("/api/users", {"Accept": "*/*", "Sec_Fetch_Mode": "cors"}),
        ("/route", {}),
    ],
)
def test_what_is_no_navigation_is_missing_in_a_single_page_site_too(target: str, headers: dict[str, str]) -> None:
    assert ask(SINGLE, target, **headers).problem is NOT_FOUND


def test_an_error_page_goes_before_the_single_page() -> None:
    release = make_release(["index.html", "404.html"], is_single_page=True)
    assert ask(release, "/route", Accept="text/html").status == 404


def test_other_sites_have_no_fallback() -> None:
    assert ask(SITE, "/route", Accept="text/html").status == 404


def test_a_file_is_served_however_its_path_is_spelled() -> None:
    release = make_release(["_next/[slug]-1.js", "a b.txt"])
    assert [ask(release, path).status for path in ("/_next/[slug]-1.js", "/_next/%5Bslug%5D-1.js")] == [200, 200]
