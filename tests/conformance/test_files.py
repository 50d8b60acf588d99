"""Which file answers which path, against what other hosts answer. The data stays outside of the project."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Invalid
from gateway.models.release import Blob, HtmlHandling, Release, ReleaseFile
from gateway.sites.answers import Answer, decide
from gateway.sites.pages import NOT_FOUND
from gateway.sites.requests import read_request

DATA = Path(os.environ.get("CONFORMANCE_DATA", ""))
HTML_HANDLING = DATA / "cloudflare_html_handling.json"
TRAILING_SLASH = DATA / "trailing_slash_hosts.json"
MISSING = "CONFORMANCE_DATA does not name the folder that holds the conformance data."
OUR_MODES = {"auto-trailing-slash": "auto"}

ENCODED_SLASH = "An encoded slash is refused with 400: what it means differs from server to server."
DELIBERATE = {
    ("auto-trailing-slash", "/bin%2F -> /bin 307 (with /bin/index.html)"): ENCODED_SLASH,
    ("drop-trailing-slash", "/bin%2F -> /bin 307 (with /bin/index.html)"): ENCODED_SLASH,
    ("force-trailing-slash", "/bin%2F -> /bin/ 307 (with /bin%2F)"): ENCODED_SLASH,
    ("force-trailing-slash", "/bin%2F -> /bin/ 307 (with /bin/index.html)"): ENCODED_SLASH,
    ("none", "/bin%2F -> 404"): ENCODED_SLASH,
}
"""Where we answer otherwise on purpose: with 400. Nothing else may differ."""
SAME_AS_CLOUDFLARE = "cloudflare-pages"
"""The one host of the table whose answers are all ours: one path for each page, and folders with a slash."""
DIFFERENT_HOSTS = {
    "github-pages": "It has no clean paths for pages: /file.html stays and /file/ is missing.",
    "netlify (pretty urls on, default)": "It shows pages at several paths, and takes /both/ for /both.",
    "netlify (pretty urls off)": "It shows each page at every path.",
    "vercel default (cleanUrls=false, trailingSlash=undefined)": "It has no clean paths for pages.",
    "vercel cleanUrls=false trailingSlash=false": "It has no clean paths for pages.",
    "vercel cleanUrls=false trailingSlash=true": "It has no clean paths for pages.",
    "vercel cleanUrls=true trailingSlash=undefined": "It shows folders without and with the slash.",
    "vercel cleanUrls=true trailingSlash=false": "It drops the slash: our mode drop-trailing-slash.",
    "vercel cleanUrls=true trailingSlash=true": "It forces the slash: our mode force-trailing-slash.",
    "render": "It shows each page at every path.",
    "azure-static-web-apps": "It shows pages at several paths.",
}


@dataclasses.dataclass(frozen=True)
class Case:
    part: str
    mode: str
    title: str
    files: list[str]
    path: str
    matched_file: str | None
    final_path: str | None

    def __str__(self) -> str:
        return f"{self.part}, {self.mode}: {self.title}"


def read(path: Path) -> Any:
    """The data, or None when it is not there: then the tests say so."""
    return json.loads(path.read_text()) if path.exists() else None


def read_table() -> Any:
    return read(TRAILING_SLASH) or pytest.fail(MISSING, pytrace=False)


def cases() -> Iterator[Case]:
    data = read(HTML_HANDLING) or {}
    for part in ("html_handling", "encoding"):
        for group in data.get(part, []):
            for case in group["cases"]:
                found = (case["files"], case["requestPath"], case.get("matchedFile"), case.get("finalPath"))
                yield Case(part, group["html_handling"], case["title"], *found)


def is_deliberate(case: Case) -> bool:
    return (case.mode, case.title) in DELIBERATE


def release_of(files: list[str], mode: str) -> Release:
    return Release(
        project_id=uuid.UUID(int=1),
        deployment_id=uuid.UUID(int=2),
        number=1,
        published_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        files={file.removeprefix("/"): ReleaseFile(Blob(file, len(file))) for file in files},
        html_handling=HtmlHandling(OUR_MODES.get(mode, mode)),
    )


def ask(release: Release, target: str) -> Answer:
    return decide(release, read_request("GET", target, [(b"Host", b"site.example")]))


def follow(release: Release, target: str) -> tuple[str | None, str | None]:
    """The file that is shown in the end, and at which path, after at most one redirect."""
    answer = ask(release, target)
    if answer.status == 308:
        target = answer.headers["Location"]
        answer = ask(release, target)
    if answer.problem is NOT_FOUND:
        return None, None
    assert answer.status == 200
    assert answer.blob is not None
    return answer.blob.sha256, target.partition("?")[0]


def test_the_data_is_there() -> None:
    missing = [path.name for path in (HTML_HANDLING, TRAILING_SLASH) if not path.exists()]
    assert not missing, MISSING


def test_all_cases_are_there_and_every_deliberate_difference_is_one_of_them() -> None:
    known = {(case.mode, case.title) for case in cases()}
    assert sum(1 for _ in cases()) == 196
    assert set(DELIBERATE) <= known


@pytest.mark.parametrize("case", [case for case in cases() if not is_deliberate(case)], ids=str)
def test_a_path_shows_the_file_that_cloudflare_shows_at_the_path_where_it_shows_it(case: Case) -> None:
    assert follow(release_of(case.files, case.mode), case.path) == (case.matched_file, case.final_path)


@pytest.mark.parametrize("case", [case for case in cases() if is_deliberate(case)], ids=str)
def test_a_deliberate_difference_is_an_invalid_request(case: Case) -> None:
    with pytest.raises(Invalid, match="encoded slash"):
        ask(release_of(case.files, case.mode), case.path)


def short(answer: Answer) -> int | str:
    return f">{answer.headers['Location']}" if answer.status == 308 else answer.status


def test_the_table_of_ten_paths_is_cloudflares_row() -> None:
    data = read_table()
    release = release_of(data["files"], "auto")
    assert {path: short(ask(release, path)) for path in data["paths"]} == data["hosts"][SAME_AS_CLOUDFLARE]


def test_the_table_of_ten_paths_has_what_the_documentation_says() -> None:
    data = read_table()
    release = release_of(data["files"], "auto")
    ours = [short(ask(release, path)) for path in data["paths"]]
    assert ours == [200, ">/file", ">/file", ">/folder/", 200, ">/folder/", 200, 200, ">/both", ">/both/"]


def test_every_other_host_differs_and_is_listed_with_its_reason() -> None:
    data = read_table()
    release = release_of(data["files"], "auto")
    ours = {path: short(ask(release, path)) for path in data["paths"]}
    different = {host for host, answers in data["hosts"].items() if answers != ours}
    assert different == set(DIFFERENT_HOSTS)
    assert set(data["hosts"]) == different | {SAME_AS_CLOUDFLARE}


@pytest.mark.parametrize(
    ("mode", "host"),
    [
        ("drop-trailing-slash", "vercel cleanUrls=true trailingSlash=false"),
        ("force-trailing-slash", "vercel cleanUrls=true trailingSlash=true"),
    ],
)
def test_the_other_modes_are_other_hosts_rows_where_no_two_files_want_one_path(mode: str, host: str) -> None:
    data = read_table()
    release = release_of(data["files"], mode)
    paths = [path for path in data["paths"] if not path.startswith("/both")]
    assert {path: short(ask(release, path)) for path in paths} == {path: data["hosts"][host][path] for path in paths}
