"""A package index of wheels in memory, for tests of what is fetched, and of what must not be taken."""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator, Mapping

from aiohttp import web


def pack_wheel(files: Mapping[str, bytes], programs: tuple[str, ...] = ()) -> bytes:
    """`programs`: the files that may be executed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100755 if name in programs else 0o100644) << 16
            archive.writestr(member, content)
    return packed.getvalue()


class WheelIndex:
    """`asked`: the paths of all requests. `changes`: what the answers say differently, by file."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.changes: dict[str, dict[str, object]] = {}
        self._wheels: dict[str, dict[str, bytes]] = {}

    def add(self, package: str, file: str, content: bytes, **changes: object) -> None:
        self._wheels.setdefault(package, {})[file] = content
        self.changes[file] = changes

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path)
        _, kind, name, *_ = request.path.split("/")
        if kind == "files":
            return web.Response(body=next(wheels[name] for wheels in self._wheels.values() if name in wheels))
        if name not in self._wheels:
            raise web.HTTPNotFound
        files = [self._describe(file, content) for file, content in self._wheels[name].items()]
        return web.json_response({"name": name, "files": files})

    def _describe(self, file: str, content: bytes) -> dict[str, object]:
        hashes = {"sha256": hashlib.sha256(content).hexdigest()}
        return {"filename": file, "url": f"/files/{file}", "hashes": hashes, **self.changes[file]}


@contextlib.asynccontextmanager
async def wheel_index() -> AsyncIterator[WheelIndex]:
    index = WheelIndex()
    runner = web.ServerRunner(web.Server(index.answer))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        index.url = f"http://127.0.0.1:{runner.addresses[0][1]}/simple"
        yield index
    finally:
        await runner.cleanup()
