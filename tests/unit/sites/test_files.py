"""Which file answers which path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.models.release import HtmlHandling
from gateway.sites.files import Moved, find_file, nearest_error_page

SITE = ["index.html", "file.html", "folder/index.html", "both.html", "both/index.html", "app.js", "LICENSE"]
MODES = list(HtmlHandling)
NAMES = st.sampled_from(
    ["a", "b", "index", "index.html", "a.html", "b.html", ".html", "404.html", "a.html.html", "x.js"]
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", "index.html"),
        ("/index.html", Moved("/")),
        ("/file", "file.html"),
        ("/file/", Moved("/file")),
        ("/file.html", Moved("/file")),
        ("/folder", Moved("/folder/")),
        ("/folder/", "folder/index.html"),
        ("/folder/index.html", Moved("/folder/")),
        ("/both", "both.html"),
        ("/both/", "both/index.html"),
        ("/both.html", Moved("/both")),
        ("/both/index.html", Moved("/both/")),
        ("/app.js", "app.js"),
        ("/LICENSE", "LICENSE"),
        ("/app.js/", None),
        ("/app", None),
        ("/APP.js", None),
        ("//", None),
        ("//file", None),
        ("/folder//", None),
        ("/./file", None),
    ],
)
def test_the_table_of_mode_auto(path: str, found: str | Moved | None) -> None:
    assert find_file(SITE, path, HtmlHandling.AUTO) == found


def test_mode_none_knows_only_the_files_own_paths() -> None:
    found = [
        find_file(SITE, path, HtmlHandling.NONE) for path in ("/", "/index.html", "/file", "/file.html", "/folder/")
    ]
    assert found == [None, "index.html", None, "file.html", None]


@pytest.mark.parametrize("mode", MODES)
@given(files=st.frozensets(PATHS), asked=PATHS, slash=st.sampled_from(["", "/"]))
def test_a_move_leads_to_a_file_and_never_to_another_move(
    mode: str, files: frozenset[str], asked: str, slash: str
) -> None:
    found = find_file(files, f"/{asked}{slash}", mode)
    if isinstance(found, Moved):
        assert "//" not in found.path
        found = find_file(files, found.path, mode)
    assert found is None or found in files


@pytest.mark.parametrize("mode", MODES)
@given(files=st.frozensets(PATHS))
def test_every_file_is_shown_at_exactly_one_of_the_paths_that_could_be_its(mode: str, files: frozenset[str]) -> None:
    paths = {f"/{file}" for file in files}
    paths |= {path.removesuffix(end) for path in paths for end in (".html", "index.html", "/index.html")}
    paths |= {f"{path.removesuffix('.html')}/" for path in paths if path != "/"} | {"/"}
    paths -= {""}
    shown = [found for path in paths if isinstance(found := find_file(files, path, mode), str)]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/missing", "404.html"),
        ("/docs/missing", "docs/404.html"),
        ("/docs/", "docs/404.html"),
        ("/docs/a/b/c/missing.js", "docs/404.html"),
        ("/docs", "404.html"),
        ("/other/missing", "404.html"),
    ],
)
def test_the_nearest_error_page_is_that_of_the_closest_folder(path: str, page: str) -> None:
    assert nearest_error_page(["404.html", "docs/404.html"], path) == page


def test_a_site_without_an_error_page_has_none() -> None:
    assert nearest_error_page(["docs/404.html"], "/other/x") is None
