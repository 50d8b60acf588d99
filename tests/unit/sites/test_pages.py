"""Our own pages."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from gateway.sites import pages
from gateway.sites.pages import Problem, has_ending, render_problem, wants_page

PROBLEMS = [value for value in vars(pages).values() if isinstance(value, Problem)]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.title)
def test_every_page_is_whole_and_may_run_nothing(problem: Problem) -> None:
    headers, body = render_problem(problem, as_page=True)
    text = body.decode()
    style = re.search("<style>(.*)</style>", text)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    assert "prefers-color-scheme:dark" in text
    assert "color-scheme:light dark" in text
    assert not re.search(r"<script|src=|href=|\son\w+=|\$", text)


def test_a_site_that_is_being_built_is_looked_at_again_by_itself() -> None:
    headers, body = render_problem(pages.BUILDING, as_page=True)
    assert headers["Retry-After"] == "3"
    assert b'<meta http-equiv="refresh" content="3">' in body


def test_what_reads_no_pages_gets_a_sentence() -> None:
    headers, body = render_problem(pages.NOT_FOUND, as_page=False)
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert body == b"The site has nothing at this address.\n"


@pytest.mark.parametrize(
    ("accept", "path", "wants"),
    [
        ("text/html,application/xhtml+xml", "/a", True),
        ("*/*", "/a", True),
        ("*/*", "/app.js", False),
        ("text/html", "/app.js", False),
        ("text/html", "/page.html", True),
        ("image/avif,image/webp,*/*;q=0.8", "/a", False),
        ("application/json", "/a", False),
    ],
)
def test_a_page_is_for_who_reads_html(accept: str, path: str, wants: bool) -> None:
    assert wants_page({"accept": accept}, path) is wants


@pytest.mark.parametrize(("path", "has"), [("/a.js", True), ("/a.7z", True), ("/v1.2", False), ("/a.b/c", False)])
def test_an_ending_has_a_letter(path: str, has: bool) -> None:
    assert has_ending(path) is has
