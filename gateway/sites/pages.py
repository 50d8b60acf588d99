"""Small pages for requests that no site can answer. They do not mention Buildspace."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import re
import string
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Why there is nothing else to show. `retry_seconds`: when to try again."""

    status: int
    title: str
    sentence: str
    retry_seconds: int | None = None
    refreshes: bool = False


BAD_REQUEST = Problem(400, "That request makes no sense", "The server does not understand this address.")
UNKNOWN_HOST = Problem(404, "No site lives here", "Nothing is published under this name. Is it spelled right?")
NOT_FOUND = Problem(404, "This page does not exist", "The site has nothing at this address.")
NOTHING_PUBLISHED = Problem(404, "Nothing is published yet", "This site has no version to show.")
BUILDING = Problem(
    404,
    "This site is being built",
    "Its first version is on the way. This page looks again by itself every few seconds.",
    retry_seconds=3,
    refreshes=True,
)
FAILED = Problem(404, "Nothing is published yet", "The newest deployment of this site failed. Its build log says why.")
CANCELED = Problem(404, "Nothing is published yet", "The newest deployment of this site was canceled.")
NOT_ALLOWED = Problem(405, "Sites can only be read", "Only GET and HEAD are answered here.")
PRECONDITION_FAILED = Problem(412, "It has changed", "The file is no longer what the request expects.")
UNSATISFIABLE = Problem(416, "Past the end", "The file has no bytes in this range.")
INTERNAL = Problem(500, "Something went wrong", "The server made a mistake. It has been noted.")
EXPECTATION_FAILED = Problem(417, "Expectation failed", "The only expectation that is met here is 100-continue.")
WRONG_VERSION = Problem(505, "Another version of HTTP", "Only HTTP/1.0 and HTTP/1.1 are answered here.")
UNAVAILABLE = Problem(
    503, "The site cannot be read just now", "Its storage does not answer. Please try again in a moment.", 5
)

_STYLE = (
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1a1a1f;--faint:#63636e}"
    "@media(prefers-color-scheme:dark){:root{--paper:#111114;--ink:#f2f2f5;--faint:#a0a0ab}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:2rem;background:var(--paper);"
    "color:var(--ink);font:1.0625rem/1.6 system-ui,-apple-system,'Segoe UI',sans-serif}"
    "main{max-width:32rem}"
    "h1{margin:0 0 .5rem;font-size:1.5rem;line-height:1.25;letter-spacing:-.01em}"
    "p{margin:0;color:var(--faint)}"
)
_PAGE = string.Template(
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
    '<meta name="robots" content="noindex">\n$refresh'
    "<title>$title</title>\n<style>$style</style>\n</head>\n"
    "<body>\n<main>\n<h1>$title</h1>\n<p>$sentence</p>\n</main>\n</body>\n</html>\n"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ENDING = re.compile(r"\.[^./]*[A-Za-z][^./]*\Z")


def has_ending(path: str) -> bool:
    """Whether the last segment is a file's name: `/app.js` is, `/v1.2` is not."""
    return bool(_ENDING.search(path))


def wants_page(headers: Mapping[str, str], path: str) -> bool:
    """Whether a page is useful: not to a client that asks for a script or an image, and not for a missing `.js`."""
    accept = headers.get("accept", "*/*").lower()
    reads_html = "text/html" in accept or accept.startswith("*/*")
    return reads_html and (not has_ending(path) or path.lower().endswith((".html", ".htm")))


def render_problem(problem: Problem, *, as_page: bool) -> tuple[dict[str, str], bytes]:
    """Headers and body."""
    headers = {
        "Content-Type": "text/html; charset=utf-8" if as_page else "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    }
    if problem.retry_seconds is not None:
        headers["Retry-After"] = str(problem.retry_seconds)
    return headers, _render_page(problem) if as_page else f"{problem.sentence}\n".encode()


def _render_page(problem: Problem) -> bytes:
    refresh = f'<meta http-equiv="refresh" content="{problem.retry_seconds}">\n' if problem.refreshes else ""
    return _PAGE.substitute(
        title=html.escape(problem.title), sentence=html.escape(problem.sentence), style=_STYLE, refresh=refresh
    ).encode()
