"""A smart-HTTP git server for tests: aiohttp before `git http-backend`, on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from aiohttp import web

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
PASSED_ON = (
    ("Git-Protocol", "GIT_PROTOCOL"),
    ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
    ("Content-Length", "CONTENT_LENGTH"),
)


class GitServer:
    """Repositories below `root`, each at `url(name)`. `redirects` and `statuses` answer for paths before git does."""

    def __init__(self, root: Path) -> None:
        if shutil.which("git") is None:
            raise AssertionError("These tests need git: install it.")
        self.root = root
        self.port = 0
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        return f"http://{self.host}/{name}"

    def create(
        self, name: str, files: Mapping[str, str | bytes], *, message: str = "First", branch: str = "main"
    ) -> str:
        """A repository with one commit of these files; its URL."""
        folder = self.root / f"{name}.work"
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.create_from(name, folder, message=message, branch=branch)

    def create_from(self, name: str, folder: Path, *, message: str = "First", branch: str = "main") -> str:
        """A repository with one commit of everything in a folder, which becomes its working tree; its URL."""
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet", f"--initial-branch={branch}")
        return self.commit(name, folder, message=message)

    def commit(self, name: str, folder: Path, *, message: str) -> str:
        """Commit what is in the working tree and publish it."""
        git(folder, "add", "--all", "--force", ".")
        git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
        shutil.rmtree(self.root / name, ignore_errors=True)
        git(self.root, "clone", "--quiet", "--bare", "--", str(folder), name)
        return self.url(name)


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises CalledProcessError."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **IDENTITY}
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


@contextlib.asynccontextmanager
async def git_server(root: Path) -> AsyncIterator[GitServer]:
    root.mkdir(parents=True, exist_ok=True)
    server = GitServer(root)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path in server.redirects:
            return web.Response(status=302, headers={"Location": server.redirects[request.path]})
        if request.path in server.statuses:
            return web.Response(status=server.statuses[request.path])
        return await _backend(root, request)

    # Git sends compressed bodies and the backend wants them as they are.
    runner = web.ServerRunner(web.Server(answer, auto_decompress=False), shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


async def _backend(root: Path, request: web.Request) -> web.StreamResponse:
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=_cgi(root, request),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    feeder = asyncio.create_task(_feed(process, request))
    try:
        return await _relay(process, request)
    finally:
        feeder.cancel()
        if process.returncode is None:
            process.kill()
        assert process.stdout is not None
        while await process.stdout.read(64 * 1024):
            pass
        await process.wait()
        await asyncio.gather(feeder, return_exceptions=True)


def _cgi(root: Path, request: web.Request) -> dict[str, str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "http.receivepack",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "REMOTE_ADDR": request.remote or "",
        "REMOTE_USER": "ada",
    }
    return environment | {name: request.headers[header] for header, name in PASSED_ON if header in request.headers}


async def _feed(process: asyncio.subprocess.Process, request: web.Request) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in request.content.iter_chunked(64 * 1024):
            process.stdin.write(chunk)
            await process.stdin.drain()
    process.stdin.close()


async def _relay(process: asyncio.subprocess.Process, request: web.Request) -> web.StreamResponse:
    assert process.stdout is not None
    status, headers = 200, {}
    while line := (await process.stdout.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    response = web.StreamResponse(status=status, headers=headers)
    # A client that leaves in the middle is no trouble of the server's.
    with contextlib.suppress(ConnectionResetError):
        await response.prepare(request)
        while chunk := await process.stdout.read(64 * 1024):
            await response.write(chunk)
        await response.write_eof()
    return response
