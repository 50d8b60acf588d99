"""Deploys a repository through the whole path and shows it: the bundled example, or the URL that is given."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from scripts.git_server import commit_folder, serve_git

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "hello"
DATA = ROOT / os.environ.get("BUILDSPACE_DATA_DIRECTORY", "buildspace-data")
GIT_PORT = int(os.environ.get("DEMO_GIT_PORT", "9002"))
API = f"http://127.0.0.1:{os.environ.get('BUILDSPACE_API_PORT', '9000')}"
ERASE = "\r\x1b[2K"


class DemoFailed(Exception):
    """A sentence for the person who started the demo."""


class GatewayEnded(Exception):
    """The gateway ended during the demo."""


class Screen:
    """Log lines scroll. The line below them shows the present work and its duration."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._began = time.monotonic()

    def line(self, text: str = "") -> None:
        sys.stdout.write((ERASE if self._is_terminal else "") + text + "\n")
        sys.stdout.flush()

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._is_terminal else text

    def progress(self, text: str) -> None:
        if self._is_terminal:
            sys.stdout.write(f"{ERASE}\x1b[36m{text} · {time.monotonic() - self._began:.0f} s\x1b[0m")
            sys.stdout.flush()

    def seconds(self) -> float:
        return time.monotonic() - self._began


async def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("git_url", nargs="?", help="a public repository to deploy instead of the example")
    git_url = arguments.parse_args().git_url
    screen = Screen()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with contextlib.AsyncExitStack() as stack:
            if git_url is None:
                git_url = await stack.enter_async_context(example_repository())
            gateway = await stack.enter_async_context(running_gateway(screen))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            work = asyncio.create_task(show(session, git_url, screen))
            await first_of(work, gateway, stop)
            if stop.is_set():
                screen.line("Stopping.")
                return 0
            screen.line("\nServing until Ctrl-C.")
            await first_of(asyncio.create_task(gateway.wait()), gateway, stop)
            screen.line("Stopping. `make run` or `make demo` starts from what is there.")
    except DemoFailed as failure:
        screen.line(f"\x1b[31m{failure}\x1b[0m" if sys.stdout.isatty() else str(failure))
        return 1
    return 0


async def first_of(work: asyncio.Task[object], gateway: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    """Wait for the work. The wait ends early with the gateway, or by Ctrl-C."""
    ends = [asyncio.create_task(gateway.wait()), asyncio.create_task(stop.wait())]
    await asyncio.wait([work, *ends], return_when=asyncio.FIRST_COMPLETED)
    ended = gateway.returncode is not None and not stop.is_set()
    for task in (work, *ends):
        if not task.done():
            task.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    if ended:
        raise GatewayEnded
    if not work.cancelled() and work.done():
        await work


@contextlib.asynccontextmanager
async def example_repository() -> AsyncIterator[str]:
    """The bundled example as a git repository behind smart HTTP on loopback."""
    repositories = DATA / "demo"
    await asyncio.to_thread(commit_folder, EXAMPLE, repositories / "hello.git")
    async with contextlib.AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serve_git(repositories, port=GIT_PORT))
        except OSError as error:
            raise DemoFailed(
                f"Port {GIT_PORT}, on which the demo serves the example's repository, is not available"
                f" ({os.strerror(error.errno or 0)}): stop the program that uses it, perhaps another demo."
            ) from error
        yield f"{url}/hello.git"


@contextlib.asynccontextmanager
async def running_gateway(screen: Screen) -> AsyncIterator[asyncio.subprocess.Process]:
    await refuse_another_gateway()
    allowed = {"BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{GIT_PORT}"}
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "serve",
            cwd=ROOT,
            env={**os.environ, **allowed},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        async with stopped_at_the_end(process):
            await wait_until_ready(process, screen)
            if process.returncode is None:
                with contextlib.suppress(GatewayEnded):
                    yield process
            if process.returncode is not None:
                said.seek(0)
                raise DemoFailed(said.read().decode(errors="replace")[-4000:].strip())


async def refuse_another_gateway() -> None:
    """Stops the demo, because its deployment would go to that gateway."""
    limit = aiohttp.ClientTimeout(total=2)
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with aiohttp.ClientSession(timeout=limit) as session, session.get(f"{API}/health"):
            raise DemoFailed(f"Another program, perhaps another gateway, already answers at {API}: stop it first.")


async def wait_until_ready(process: asyncio.subprocess.Process, screen: Screen) -> None:
    async with aiohttp.ClientSession() as session:
        while process.returncode is None and not await answers(session):
            screen.progress("starting the gateway")
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def stopped_at_the_end(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def answers(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get(f"{API}/ready", timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def show(session: aiohttp.ClientSession, git_url: str, screen: Screen) -> None:
    deployment_id = await deploy(session, git_url, screen)
    deployment = await follow(session, deployment_id, screen)
    if deployment["status"] != "READY":
        raise DemoFailed(f"The deployment ended {deployment['status']}: {deployment['reason']}")
    title = await fetch_title(session, deployment["url"])
    screen.line()
    screen.line(f"  “{title}” is live after {screen.seconds():.1f} s")
    screen.line()
    screen.line(f"  Site      {deployment['url']}")
    screen.line(f"  Log       {API}/d/{deployment_id}")
    screen.line(f"  Projects  {API}/")


async def deploy(session: aiohttp.ClientSession, git_url: str, screen: Screen) -> str:
    """Deploy the project of this repository again, or create one."""
    known = await call(session, "GET", "/project?limit=100")
    slugs = [project["slug"] for project in known["projects"] if project["gitUrl"] == git_url]
    name = re.sub(r"\.git$", "", git_url.rstrip("/").rsplit("/", 1)[-1]) or "demo"
    path, body = "/project", {"name": name, "gitUrl": git_url}
    if slugs:
        path, body = f"/project/{slugs[0]}/deployments", {}
    screen.line(as_curl(path, body))
    answer = await call(session, "POST", path, body)
    return str(answer.get("deploymentId") or answer["id"])


def as_curl(path: str, body: dict[str, str]) -> str:
    """The same call as a command for a shell."""
    words = ["curl", "-X", "POST", f"{API}{path}", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return f"$ {shlex.join(words)}"


async def follow(session: aiohttp.ClientSession, deployment_id: str, screen: Screen) -> dict[str, object]:
    """Show lines as they arrive, until the deployment and its log have ended."""
    after = ""
    while True:
        page = await call(session, "GET", f"/logs/{deployment_id}?limit=1000&after={after}")
        for line in page["rawLogs"]:
            screen.line(f"  {screen.dim(format(line['step'], '>8'))}  {line['log']}")
        after = page["next"] or after
        deployment = await call(session, "GET", f"/deployment/{deployment_id}")
        if page["ended"] and not page["rawLogs"]:
            return deployment
        steps = deployment["steps"]
        screen.progress(f"{deployment['status'].lower()}{': ' + steps[-1]['name'] if steps else ''}")
        if not page["rawLogs"]:
            await asyncio.sleep(0.15)


async def fetch_title(session: aiohttp.ClientSession, url: str) -> str:
    """Fetch the site as a browser would. Not every system resolves names under .localhost, so Host is set by hand."""
    host, port = url.removeprefix("http://").partition(":")[::2]
    async with session.get(f"http://127.0.0.1:{port}/", headers={"Host": f"{host}:{port}"}) as response:
        body = await response.text()
    if response.status != 200:
        raise DemoFailed(f"{url} answered {response.status}.")
    found = re.search(r"<title>(.*?)</title>", body, re.DOTALL)
    return found[1].strip() if found else url


async def call(session: aiohttp.ClientSession, method: str, path: str, body: object = None) -> dict:
    async with session.request(method, API + path, json=body) as response:
        answer = await response.json()
    if response.status >= 400:
        raise DemoFailed(f"{method} {path} answered {response.status}: {answer.get('details')}")
    return answer


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
