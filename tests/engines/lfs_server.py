"""A server of Git LFS for tests: the batch API over objects in memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


class LfsStore:
    """`objects` by their sha256. `headers` are those that each call must have, and that downloads are told to send."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, bytes] = {}
        self.href = ""
        self.status = 200
        self.seen: list[tuple[str, str]] = []
        self.redirects: dict[str, str] = {}

    def add(self, content: bytes) -> str:
        """Returns the pointer."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    async def batch(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, request.headers.get("Authorization", "")))
        asked = await request.json()
        answer = {"transfer": "basic", "objects": [self._find(each) for each in asked["objects"]]}
        return web.json_response(answer, status=self.status, content_type="application/vnd.git-lfs+json")

    def _find(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] not in self.objects:
            return {**asked, "error": {"code": 404, "message": "Object does not exist"}}
        href = f"{self.href or self.url}/objects/{asked['oid']}"
        return {**asked, "actions": {"download": {"href": href, "header": {"Authorization": "given"}}}}

    async def download(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, request.headers.get("Authorization", "")))
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        return web.Response(body=self.objects[request.match_info["oid"]])


@contextlib.asynccontextmanager
async def lfs_server() -> AsyncIterator[LfsStore]:
    store = LfsStore()
    app = web.Application()
    app.router.add_post("/{path:.*}/objects/batch", store.batch)
    app.router.add_get("/{path:.*}/objects/{oid}", store.download)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        store.url = f"http://127.0.0.1:{runner.addresses[0][1]}/lfs"
        yield store
    finally:
        await runner.cleanup()
