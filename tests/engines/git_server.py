"""The git server of scripts/ for tests: repositories made on the spot, and answers that are not git's."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from scripts.git_server import run_git, serve_git
from tests.engines.lfs_server import LfsStore


class GitServer:
    """Repositories below `root`, each at `url(name)`. `answers` are given for paths before git is asked.

    `is_old`: it speaks only git's first protocol. `lfs` answers for files in Git LFS.
    `login`: the Authorization that each call needs.
    """

    def __init__(self, root: Path) -> None:
        if shutil.which("git") is None:
            raise AssertionError("These tests need git: install it.")
        self.root = root
        self.port = 0
        self.answers: dict[str, web.Response] = {}
        self.is_old = False
        self.lfs: LfsStore | None = None
        self.login = ""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def create(
        self,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        message: str = "First",
        branch: str = "main",
        object_format: str = "sha1",
    ) -> str:
        """A repository with one commit of these files, and a working tree beside it; its URL."""
        folder = self.root / f"{name}.work"
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(folder, "init", "--quiet", f"--initial-branch={branch}", f"--object-format={object_format}")
        return self.commit(name, folder, message=message)

    def commit(self, name: str, folder: Path, *, message: str) -> str:
        """Commit what is in the working tree and publish it."""
        git(folder, "add", "--all", "--force", ".")
        git(folder, "commit", "--quiet", "--allow-empty", f"--message={message}")
        shutil.rmtree(self.root / name, ignore_errors=True)
        git(self.root, "clone", "--quiet", "--bare", "--", str(folder), name)
        git(self.root / name, "config", "uploadpack.allowFilter", "true")
        return self.url(name)

    def redirect(self, name: str, location: str, status: int = 302) -> None:
        """Lead to another place from where a repository would be."""
        self.answers[f"/{name}/info/refs"] = web.Response(status=status, headers={"Location": location})


def git(folder: Path, *arguments: str) -> str:
    """What git prints there."""
    return run_git("-C", str(folder), *arguments)


@contextlib.asynccontextmanager
async def git_server(root: Path) -> AsyncIterator[GitServer]:
    root.mkdir(parents=True, exist_ok=True)
    server = GitServer(root)

    @web.middleware
    async def answer_before_git(request: web.Request, handler: Handler) -> web.StreamResponse:
        if server.login and request.headers.get("Authorization") != server.login:
            return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
        if request.path in server.answers:
            found = server.answers[request.path]
            return web.Response(status=found.status, headers=found.headers, body=found.body)
        if server.lfs is not None and "/info/lfs/" in request.path:
            return await server.lfs.batch(request)
        if server.is_old:
            request = request.clone(
                headers={name: text for name, text in request.headers.items() if name != "Git-Protocol"}
            )
        return await handler(request)

    async with serve_git(root, middlewares=[answer_before_git]) as url:
        server.port = int(url.rpartition(":")[2])
        yield server
