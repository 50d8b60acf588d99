"""A registry of npm packages in memory, for tests of what is fetched, and of what must not be taken."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping

from aiohttp import web


def pack(files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A package as npm packs it: below `package/`. `links` are symbolic ones."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"package/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


class NpmRegistry:
    """`asked`: the paths of all requests, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self._packages: dict[str, dict[str, bytes]] = {}
        self._integrity: dict[bytes, str] = {}

    def add(self, name: str, version: str, files: Mapping[str, str | bytes], **more: object) -> bytes:
        described = {"name": name, "version": version, **more}
        packed = pack({"package.json": json.dumps(described), **files})
        self.add_packed(name, version, packed)
        return packed

    def add_packed(self, name: str, version: str, packed: bytes) -> None:
        self._packages.setdefault(name, {})[version] = packed

    def falsify(self, packed: bytes) -> None:
        """The metadata names the hash of something else."""
        self._integrity[packed] = _integrity(b"something else")

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        name, _, file = request.path.removeprefix("/").partition("/-/")
        versions = self._packages.get(name)
        if versions is None:
            raise web.HTTPNotFound
        if file:
            return web.Response(body=versions[file])
        return web.json_response(
            {
                "name": name,
                "dist-tags": {"latest": list(versions)[-1]},
                "versions": {version: self._describe(name, version, packed) for version, packed in versions.items()},
            }
        )

    def _describe(self, name: str, version: str, packed: bytes) -> dict[str, object]:
        dist = {
            "tarball": f"{self.url}/{name}/-/{version}",
            "integrity": self._integrity.get(packed, _integrity(packed)),
        }
        return {"name": name, "version": version, "dist": dist}


def _integrity(packed: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()


@contextlib.asynccontextmanager
async def npm_registry() -> AsyncIterator[NpmRegistry]:
    registry = NpmRegistry()
    runner = web.ServerRunner(web.Server(registry.answer))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        registry.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield registry
    finally:
        await runner.cleanup()
