"""Which file of a site answers a path, and the one path of each page.

Cloudflare's four modes; tests/conformance/test_files.py holds its cases. A page is a `.html` file. Every other file is
served under its own path alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator

from gateway.models.release import HtmlHandling


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """The page is at another path (decoded, with its leading slash)."""

    path: str


def find_file(files: Container[str], path: str, html_handling: HtmlHandling) -> str | Moved | None:
    """The file to serve for `path` (decoded, with its leading slash), or the path to redirect to. None: not found.

    A redirect always leads to a path that serves a file, never to another redirect.
    """
    asked = path[1:]
    if asked in files and (html_handling is HtmlHandling.NONE or not is_page(asked)):
        return asked
    if html_handling is HtmlHandling.NONE:
        return None
    for file in _candidates(asked, html_handling):
        if file in files and is_page(file):
            home = _home(files, file, html_handling)
            if home == asked:
                return file
            # If another file has the page's short path, the page is served under its full path alone.
            if home != file and _shown_at(files, home, html_handling) == file:
                return Moved("/" + home)
    return None


def is_page(file: str) -> bool:
    return file.endswith(".html") and not file.endswith("/.html") and file != ".html"


def nearest_error_page(files: Container[str], path: str) -> str | None:
    """The `404.html` of the folder of `path`, or of the nearest folder above it that has one."""
    folder = path[1:].rpartition("/")[0]
    while folder:
        if f"{folder}/404.html" in files:
            return f"{folder}/404.html"
        folder = folder.rpartition("/")[0]
    return "404.html" if "404.html" in files else None


def _shown_at(files: Container[str], asked: str, mode: HtmlHandling) -> str | None:
    if asked in files and not is_page(asked):
        return asked
    pages = (file for file in _candidates(asked, mode) if file in files and is_page(file))
    return next((page for page in pages if _home(files, page, mode) == asked), None)


def _home(files: Container[str], file: str, mode: HtmlHandling) -> str:
    """The one path of a page: the short one, unless another file has it."""
    if file == "index.html":
        return ""
    if file.endswith("/index.html"):
        folder = file.removesuffix("/index.html")
        if mode is not HtmlHandling.DROP_TRAILING_SLASH:
            return folder + "/"
        return file if folder in files or f"{folder}.html" in files else folder
    stem = file.removesuffix(".html")
    if mode is HtmlHandling.FORCE_TRAILING_SLASH:
        return file if f"{stem}/index.html" in files else stem + "/"
    return file if stem in files else stem


def _candidates(asked: str, mode: HtmlHandling) -> Iterator[str]:
    """The pages that `asked` may mean, the most likely first."""
    if asked == "" or asked.endswith("/"):
        yield from _pages_of(asked[:-1], asked + "index.html", mode is HtmlHandling.DROP_TRAILING_SLASH)
        return
    folder, _, name = asked.rpartition("/")
    if name in ("index", "index.html"):
        page_first = name == "index" and mode is HtmlHandling.DROP_TRAILING_SLASH
        yield from _pages_of(folder, f"{folder}/index.html" if folder else "index.html", page_first)
    elif name.endswith(".html"):
        yield asked
        yield asked.removesuffix(".html") + "/index.html"
    yield from _pages_of(asked, f"{asked}/index.html", mode is not HtmlHandling.FORCE_TRAILING_SLASH)


def _pages_of(stem: str, index: str, page_first: bool) -> Iterator[str]:
    page = f"{stem}.html"
    if not stem:
        yield index
    elif page_first:
        yield page
        yield index
    else:
        yield index
        yield page
