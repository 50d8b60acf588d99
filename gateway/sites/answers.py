"""The answer to a request, as a pure function of the release and the request. No I/O."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

from gateway.models.release import Blob, Release
from gateway.sites.conditionals import Verdict, format_date, judge, may_send_part
from gateway.sites.content_types import content_type_of
from gateway.sites.encodings import choose_coding
from gateway.sites.files import Moved, find_file, is_page, nearest_error_page
from gateway.sites.pages import (
    NOT_ALLOWED,
    NOT_FOUND,
    PRECONDITION_FAILED,
    UNSATISFIABLE,
    Problem,
    has_ending,
)
from gateway.sites.paths import encode_path, is_canonical
from gateway.sites.ranges import Part, Unsatisfiable, choose_part
from gateway.sites.requests import METHODS, SiteRequest

REVALIDATE = "public, max-age=0, must-revalidate"
IMMUTABLE = "public, max-age=31536000, immutable"
NO_STORE = "no-store"
COMMON_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin-when-cross-origin"}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """`part`: the bytes of the file to send (of `blob` if it comes from a release). None: no file is sent.

    A `problem` is shown as a page instead.
    """

    status: int
    headers: Mapping[str, str]
    part: Part | None = None
    blob: Blob | None = None
    problem: Problem | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Representation:
    """One form of a file, ready to be sent."""

    size: int
    content_type: str
    etag: str | None
    last_modified: datetime.datetime
    cache_control: str
    coding: str | None = None
    vary: tuple[str, ...] = ()


def decide(release: Release, request: SiteRequest) -> Answer:
    """The answer of a release to a request. The same release and request always give the same answer."""
    if request.method not in METHODS:
        return not_allowed()
    found = find_file(release.files, request.path, release.html_handling)
    if isinstance(found, Moved):
        return redirect(encode_path(found.path), request.query)
    if found is None:
        return _answer_missing(release, request)
    if is_page(found) and not is_canonical(request.raw_path, request.path):
        return redirect(encode_path(request.path), request.query)
    return _answer_file(release, found, request)


def answer_with(representation: Representation, request: SiteRequest) -> Answer:
    """200, 206, 304, 412 or 416."""
    etag, last_modified = representation.etag, representation.last_modified
    verdict = judge(request.headers, etag, last_modified)
    if verdict is Verdict.FAILED:
        return refuse(PRECONDITION_FAILED)
    if verdict is Verdict.NOT_MODIFIED:
        return Answer(304, COMMON_HEADERS | _validators(representation))
    headers = _headers_of(representation)
    part = None
    if request.method == "GET" and may_send_part(request.headers.get("if-range"), etag, last_modified):
        try:
            part = choose_part(request.headers.get("range"), representation.size)
        except Unsatisfiable:
            return refuse(UNSATISFIABLE, {"Content-Range": f"bytes */{representation.size}"})
    if part is None:
        return Answer(200, headers, Part(0, representation.size))
    headers["Content-Range"] = part.content_range(representation.size)
    headers["Content-Length"] = str(part.length)
    return Answer(206, headers, part)


def refuse(problem: Problem, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(problem.status, COMMON_HEADERS | dict(headers or {}), problem=problem)


def not_allowed() -> Answer:
    return refuse(NOT_ALLOWED, {"Allow": ", ".join(METHODS)})


def redirect(location: str, query: str | None) -> Answer:
    # Browsers keep a 308 for ever unless told otherwise: the next release may have a file at this path, and a renamed
    # project may take its old name back.
    location += f"?{query}" if query is not None else ""
    return Answer(308, COMMON_HEADERS | {"Location": location, "Cache-Control": REVALIDATE, "Content-Length": "0"})


def _answer_file(release: Release, path: str, request: SiteRequest, vary: tuple[str, ...] = ()) -> Answer:
    representation, blob = _represent(release, path, request, vary)
    answer = answer_with(representation, request)
    return dataclasses.replace(answer, blob=blob) if answer.part else answer


def _represent(release: Release, path: str, request: SiteRequest, vary: tuple[str, ...]) -> tuple[Representation, Blob]:
    file = release.files[path]
    coding = choose_coding(request.headers.get("accept-encoding"), file.encodings)
    blob = file.encodings[coding] if coding else file.blob
    representation = Representation(
        size=blob.size,
        content_type=content_type_of(path),
        # Of the encoded bytes: a resumed download must not mix two encodings of one file.
        etag=f'"{blob.sha256}-{coding}"' if coding else f'"{blob.sha256}"',
        last_modified=release.published_at,
        cache_control=_cache_control(release, path),
        coding=coding,
        vary=("Accept-Encoding", *vary) if file.encodings else vary,
    )
    return representation, blob


def _answer_missing(release: Release, request: SiteRequest) -> Answer:
    error_page = nearest_error_page(release.files, request.path)
    if error_page is not None:
        return _answer_error_page(release, error_page, request)
    if release.is_single_page and "index.html" in release.files and _is_navigation(request):
        return _answer_file(release, "index.html", request, vary=("Accept", "Sec-Fetch-Mode"))
    return refuse(NOT_FOUND)


def _answer_error_page(release: Release, path: str, request: SiteRequest) -> Answer:
    """Whole and without validators, because an error is not a version of a file."""
    representation, blob = _represent(release, path, request, ())
    headers = _headers_of(dataclasses.replace(representation, etag=None, cache_control=NO_STORE))
    del headers["Last-Modified"], headers["Accept-Ranges"]
    return Answer(404, headers, Part(0, blob.size), blob)


def _is_navigation(request: SiteRequest) -> bool:
    if has_ending(request.path):
        return False
    return request.headers.get("sec-fetch-mode") == "navigate" or "text/html" in request.headers.get("accept", "")


def _cache_control(release: Release, path: str) -> str:
    is_hashed = not is_page(path) and any(path.startswith(f"{folder}/") for folder in release.hashed_folders)
    return IMMUTABLE if is_hashed else REVALIDATE


def _headers_of(representation: Representation) -> dict[str, str]:
    headers = COMMON_HEADERS | _validators(representation)
    headers["Content-Type"] = representation.content_type
    headers["Content-Length"] = str(representation.size)
    headers["Accept-Ranges"] = "bytes"
    if representation.coding:
        headers["Content-Encoding"] = representation.coding
    return headers


def _validators(representation: Representation) -> dict[str, str]:
    """The headers that a 304 repeats."""
    headers = {
        "Cache-Control": representation.cache_control,
        "Last-Modified": format_date(representation.last_modified),
    }
    if representation.etag:
        headers["ETag"] = representation.etag
    if representation.vary:
        headers["Vary"] = ", ".join(representation.vary)
    return headers
