"""A builders' API for tests of the builder: it keeps what it is sent and can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from builder.protocol.calls import Finish, Job, Manifest
from builder.protocol.lines import LineBatch, decode_batch
from builder.protocol.settings import BY_NAME, Settings
from builder.protocol.tokens import make_proof

TOKEN = "a-token-for-tests"


def make_job(git_url: str, **changes: Any) -> Job:
    job = Job(
        project_slug="crimson-elephant",
        git_url=git_url,
        branch=None,
        call=Settings(**{name: changes.pop(name) for name in list(changes) if name in BY_NAME}),
        project=Settings(),
        site_url="http://crimson-elephant.localhost:8000",
        deployment_url="http://crimson-elephant-01234567.localhost:8000",
        context="production",
        time_limit_seconds=120,
        memory_bytes=2 * 1024**3,
        processes=256,
        disk_bytes=1024**3,
        log_bytes=1024**2,
        output_files=1000,
        output_bytes=64 * 1024**2,
        file_bytes=32 * 1024**2,
        allow_private_hosts=["127.0.0.0/8"],
    )
    return dataclasses.replace(job, **changes)


class BuildersServer:
    """One attempt of one deployment, in memory. `failing` counts down 503 answers by call; `ended` answers 409."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.deployment_id = uuid.uuid4()
        self.attempt = 1
        self.token = TOKEN
        self.port = 0
        self.failing: dict[str, int] = {}
        self.ended = False
        self.calls: list[str] = []
        self.steps: list[str] = []
        self.facts: dict[str, Any] = {}
        self.batches: dict[int, LineBatch] = {}
        self.manifest: Manifest | None = None
        self.known: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.finish: Finish | None = None
        self.finished = asyncio.Event()
        self.heard = asyncio.Event()
        """The builder gave a sign of life."""
        self.runner: web.AppRunner | None = None

    async def go_away(self) -> None:
        """Close the port and all connections; `serving` opens the same port again."""
        assert self.runner is not None
        await self.runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [line.text for first in sorted(self.batches) for line in self.batches[first].lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self.manifest.files] if self.manifest else []

    @property
    def seqs(self) -> list[int]:
        return [seq for first in sorted(self.batches) for seq in range(first, self.batches[first].last_seq + 1)]

    async def answer(self, request: web.Request) -> web.Response:
        call, *rest = request.path.removeprefix(f"/builds/{self.deployment_id}/{self.attempt}/").split("/")
        self.calls.append(call)
        if call == "proof":
            return web.Response(body=make_proof(TOKEN, self.deployment_id, self.attempt, *rest))
        body = await request.read()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "Unauthorized", "details": "The token is wrong."}, status=401)
        if self.ended:
            return web.json_response({"error": "Conflict", "details": "This attempt has ended."}, status=409)
        if self.failing.get(call, 0) > 0:
            self.failing[call] -= 1
            return web.json_response({"error": "Unavailable", "details": "The disk is full."}, status=503)
        answer: web.Response = getattr(self, f"_{call}")(body, *rest)
        return answer

    def _job(self, body: bytes) -> web.Response:
        return web.Response(body=self.job.to_json(), content_type="application/json")

    def _heartbeat(self, body: bytes) -> web.Response:
        self.heard.set()
        return web.Response(status=204)

    def _step(self, body: bytes) -> web.Response:
        self.steps.append(json.loads(body)["step"])
        return web.Response(status=204)

    def _facts(self, body: bytes) -> web.Response:
        self.facts |= {name: value for name, value in json.loads(body).items() if value is not None}
        return web.Response(status=204)

    def _lines(self, body: bytes) -> web.Response:
        batch = decode_batch(body)
        self.batches[batch.first_seq] = batch
        return web.Response(status=204)

    def _manifest(self, body: bytes) -> web.Response:
        self.manifest = Manifest.from_json(body)
        return web.json_response({"missing": sorted({file.sha256 for file in self.manifest.files} - self.known)})

    def _blobs(self, body: bytes, sha256: str) -> web.Response:
        if hashlib.sha256(body).hexdigest() != sha256:
            return web.json_response({"error": "Invalid", "details": "The bytes are others."}, status=400)
        self.blobs[sha256] = body
        return web.Response(status=204)

    def _finish(self, body: bytes) -> web.Response:
        self.finish = Finish.from_json(body)
        self.finished.set()
        return web.Response(status=204)


@contextlib.asynccontextmanager
async def builders_server(job: Job) -> AsyncIterator[BuildersServer]:
    async with serving(BuildersServer(job)) as server:
        yield server


@contextlib.asynccontextmanager
async def serving(server: BuildersServer) -> AsyncIterator[BuildersServer]:
    """Answer on the port that the server had before, or on any."""
    app = web.Application(client_max_size=1024**3)
    app.router.add_route("*", "/{path:.*}", server.answer)
    server.runner = web.AppRunner(app, shutdown_timeout=1.0)
    await server.runner.setup()
    await web.TCPSite(server.runner, "127.0.0.1", server.port).start()
    server.port = server.runner.addresses[0][1]
    try:
        yield server
    finally:
        await server.go_away()
