"""Content types by name."""

from __future__ import annotations

import pytest

from gateway.sites.content_types import content_type_of


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b.HTML", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("data.json", "application/json"),
        ("app.js.map", "application/json"),
        ("site.webmanifest", "application/manifest+json"),
        ("module.wasm", "application/wasm"),
        ("logo.svg", "image/svg+xml"),
        ("favicon.ico", "image/vnd.microsoft.icon"),
        ("photo.avif", "image/avif"),
        ("font.woff2", "font/woff2"),
        ("robots.txt", "text/plain; charset=utf-8"),
        ("feed.xml", "application/xml"),
        ("app.js.br", "application/octet-stream"),
        ("app.js.gz", "application/gzip"),
        ("paper.ps", "application/postscript"),
        ("LICENSE", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("folder.html/file", "application/octet-stream"),
        ("x.nonsense", "application/octet-stream"),
        ("data:text.html,x", "application/octet-stream"),
        (".well-known/apple-app-site-association", "application/json"),
    ],
)
def test_the_name_decides(path: str, content_type: str) -> None:
    assert content_type_of(path) == content_type
