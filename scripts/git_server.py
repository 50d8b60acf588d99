"""Repositories behind git's smart HTTP: aiohttp in front of `git http-backend`, streaming both ways."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

IDENTITY = {
    "GIT_AUTHOR_NAME": "Buildspace",
    "GIT_AUTHOR_EMAIL": "buildspace@localhost",
    "GIT_COMMITTER_NAME": "Buildspace",
    "GIT_COMMITTER_EMAIL": "buildspace@localhost",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}
CHUNK_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def serve_git(
    folder: Path, port: int = 0, middlewares: Sequence[Middleware] = (), *, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """Serve every bare repository below `folder` on that address; the folder's URL. A taken port raises OSError."""
    # Git sends compressed bodies, which the backend decompresses itself.
    app = web.Application(middlewares=middlewares, handler_args={"auto_decompress": False})
    app.router.add_route("*", "/{path:.*}", functools.partial(_answer, folder=folder))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(request: web.Request, folder: Path) -> web.StreamResponse:
    process = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        env=_environment(request, folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    feeder = asyncio.create_task(_feed(request, process))
    try:
        return await _relay(request, process)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        if process.returncode is None:
            # Not `process.kill()`, which reaps a process that has just ended before the loop notices.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await _empty(process)
        await process.wait()


def _environment(request: web.Request, folder: Path) -> dict[str, str]:
    headers = {
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "CONTENT_LENGTH": request.headers.get("Content-Length", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query_string,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "REMOTE_ADDR": request.remote or "",
        **{name: value for name, value in headers.items() if value},
    }


async def _feed(request: web.Request, process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            process.stdin.write(chunk)
            await process.stdin.drain()
    process.stdin.close()


async def _empty(process: asyncio.subprocess.Process) -> None:
    """Empties the pipe, because a process with a full pipe never seems to end."""
    assert process.stdout is not None
    while await process.stdout.read(CHUNK_BYTES):
        pass


async def _relay(request: web.Request, process: asyncio.subprocess.Process) -> web.StreamResponse:
    assert process.stdout is not None
    response = web.StreamResponse()
    while line := (await process.stdout.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers[name] = value.strip()
    with contextlib.suppress(ConnectionError):  # a client may disconnect before the end
        await response.prepare(request)
        while chunk := await process.stdout.read(CHUNK_BYTES):
            await response.write(chunk)
        await response.write_eof()
    return response


def commit_folder(folder: Path, repository: Path, *, branch: str = "main") -> str:
    """Commit the files of a folder to a bare repository, creating it if needed. Returns the commit's id."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "work"
        shutil.copytree(folder, work, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "dist"))
        return _commit(work, repository, branch)


def commit_files(files: Mapping[str, str], repository: Path, *, branch: str = "main") -> str:
    """Add these files to the repository, and commit."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "work"
        work.mkdir()
        if repository.exists():
            run_git("--git-dir", str(repository), "--work-tree", str(work), "checkout", "-q", "-f", branch)
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        return _commit(work, repository, branch)


def _commit(work: Path, repository: Path, branch: str) -> str:
    if not repository.exists():
        repository.parent.mkdir(parents=True, exist_ok=True)
        run_git("init", "-q", "--bare", "--initial-branch", branch, str(repository))
        run_git("--git-dir", str(repository), "config", "uploadpack.allowFilter", "true")
    here = ("--git-dir", str(repository), "--work-tree", str(work))
    run_git(*here, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    run_git(*here, "add", "--all", "--force")
    if run_git(*here, "status", "--porcelain") or not _has_commit(repository):
        run_git(*here, "commit", "-q", "--allow-empty", "-m", "Publish the site")
    return run_git(*here, "rev-parse", "HEAD").strip()


def _has_commit(repository: Path) -> bool:
    return bool(run_git("--git-dir", str(repository), "for-each-ref"))


def run_git(*arguments: str) -> str:
    """Returns git's output. Raises RuntimeError with git's error message."""
    done = subprocess.run(
        ["git", *arguments], env={"PATH": os.environ["PATH"], **IDENTITY}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout
