"""Asks a release as a client would, without a server."""

from __future__ import annotations

from gateway.models.release import Release
from gateway.sites.answers import Answer, decide
from gateway.sites.requests import SiteRequest, read_request


def request_for(target: str, method: str = "GET", host: str = "site.example", **headers: str) -> SiteRequest:
    """Underscores in the names of headers stand for hyphens."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return read_request(method, target, [(b"Host", host.encode()), *raw])


def ask(release: Release, target: str, method: str = "GET", **headers: str) -> Answer:
    return decide(release, request_for(target, method, **headers))
