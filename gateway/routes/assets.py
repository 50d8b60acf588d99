"""The files that the pages need: read once, served from memory, with a hash of their content in the path."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable

from aiohttp import web

TYPES = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    content_type: str


class Assets:
    """All files share one version in their path, so that relative imports between them lead to the same version."""

    def __init__(self, folder: Traversable) -> None:
        self._files: Mapping[str, Asset] = dict(_read(folder))
        digest = hashlib.sha256()
        for name, asset in sorted(self._files.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(asset.body).digest())
        self.version = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Raises KeyError for an unknown name."""
        return f"/static/{self.version}/{name}" if self._files[name] else ""

    def find(self, name: str) -> Asset | None:
        # Only names that were read are answered: a path never reaches the disk.
        return self._files.get(name)


ASSETS = web.AppKey("assets", Assets)


async def show_asset(request: web.Request) -> web.Response:
    assets = request.app[ASSETS]
    asset = assets.find(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    response = web.Response(body=asset.body, content_type=asset.content_type)
    if asset.content_type.startswith("text/"):
        response.charset = "utf-8"
    is_current = request.match_info["version"] == assets.version
    response.headers["Cache-Control"] = FOR_EVER if is_current else ASK_AGAIN
    return response


async def show_icon(request: web.Request) -> web.Response:
    """Where browsers look by themselves, next to a text or an answer of the API."""
    raise web.HTTPFound(request.app[ASSETS].url("favicon.svg"))


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (content_type := TYPES.get(entry.name.rpartition(".")[2])) is not None:
            yield f"{prefix}{entry.name}", Asset(entry.read_bytes(), content_type)
