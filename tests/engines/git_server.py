"""The git server of scripts/ for tests: repositories made on the spot, and answers that are not git's."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from scripts.git_server import run_git, serve_git


class GitServer:
    """Repositories below `root`, each at `url(name)`. `redirects` and `statuses` answer for paths before git does."""

    def __init__(self, root: Path) -> None:
        if shutil.which("git") is None:
            raise AssertionError("These tests need git: install it.")
        self.root = root
        self.port = 0
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def create(
        self, name: str, files: Mapping[str, str | bytes], *, message: str = "First", branch: str = "main"
    ) -> str:
        """A repository with one commit of these files, and a working tree beside it; its URL."""
        folder = self.root / f"{name}.work"
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
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
    """What git prints there."""
    return run_git("-C", str(folder), *arguments)


@contextlib.asynccontextmanager
async def git_server(root: Path) -> AsyncIterator[GitServer]:
    root.mkdir(parents=True, exist_ok=True)
    server = GitServer(root)

    @web.middleware
    async def answer_before_git(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in server.redirects:
            return web.Response(status=302, headers={"Location": server.redirects[request.path]})
        if request.path in server.statuses:
            return web.Response(status=server.statuses[request.path])
        return await handler(request)

    async with serve_git(root, middlewares=[answer_before_git]) as url:
        server.port = int(url.rpartition(":")[2])
        yield server
