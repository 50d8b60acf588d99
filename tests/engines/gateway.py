"""A Buildspace gateway as its users run it: a process with a data directory, spoken to by HTTP alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from tests.engines.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120.0
FINAL = ("READY", "FAILED", "CANCELED")


async def eventually(look: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Look again and again until something true is seen; fail with a sentence when time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = await look()
        if seen:
            return seen
        await asyncio.sleep(0.02)
    raise AssertionError(f"Waited {seconds:.0f} s in vain: {what}.")


@dataclasses.dataclass(slots=True)
class Gateway:
    """One gateway on its own ports. It may be killed and started again on the same data."""

    directory: Path
    environment: dict[str, str]
    sites_port: int
    api_port: int
    builders_port: int
    session: aiohttp.ClientSession
    process: asyncio.subprocess.Process | None = None
    command: tuple[str, ...] = (sys.executable, "-m", "gateway", "serve")

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def output(self) -> Path:
        return self.directory / "gateway.log"

    async def start(self, *, until_ready: bool = True) -> None:
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if until_ready:
            await eventually(self._is_ready, "the gateway becomes ready", 60)

    async def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.returncode is not None:
            raise AssertionError(f"The gateway has ended:\n{self.output.read_text()[-4000:]}")
        try:
            async with self.session.get(f"{self.api}/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def kill(self) -> None:
        """kill -9 of the gateway process alone, as an out-of-memory killer would."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 60)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.api + path, json=body, **more) as response:
            return response.status, await response.json()

    async def get(self, path: str) -> Any:
        status, answer = await self.call("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    async def deploy(self, git_url: str, **settings: Any) -> dict[str, Any]:
        """POST /project; its answer."""
        status, answer = await self.call("POST", "/project", {"name": "test", "gitUrl": git_url, **settings})
        assert status == 201, answer
        return answer

    async def ended(self, deployment_id: str) -> dict[str, Any]:
        """Wait until the deployment is final; the deployment."""

        async def look() -> dict[str, Any] | None:
            deployment = await self.get(f"/deployment/{deployment_id}")
            return deployment if deployment["status"] in FINAL else None

        return await eventually(look, f"deployment {deployment_id} ends")

    async def in_step(self, deployment_id: str, step: str) -> None:
        """Wait until the build is in this step."""

        async def look() -> bool:
            deployment = await self.get(f"/deployment/{deployment_id}")
            assert deployment["status"] not in FINAL, deployment
            return bool(deployment["steps"]) and deployment["steps"][-1]["name"] == step

        await eventually(look, f"step {step} of {deployment_id}")

    async def reached(self, deployment_id: str, step: str) -> None:
        """Wait until this step has begun; a short one may be over by now."""

        async def look() -> bool:
            deployment = await self.get(f"/deployment/{deployment_id}")
            return step in [each["name"] for each in deployment["steps"]]

        await eventually(look, f"step {step} of {deployment_id} begins")

    async def log(self, deployment_id: str) -> dict[str, Any]:
        """The whole log once it is decided."""

        async def look() -> dict[str, Any] | None:
            answer = await self.get(f"/logs/{deployment_id}")
            return answer if answer["ended"] else None

        return await eventually(look, f"the log of {deployment_id} ends")

    async def log_text(self, deployment_id: str) -> str:
        return "\n".join(line["log"] for line in (await self.log(deployment_id))["rawLogs"])

    async def fetch(self, host: str, path: str = "/", **headers: str) -> tuple[int, bytes]:
        """A page of a site: `host` is a slug, or a URL as the API answers it."""
        name = host.split("//")[-1].split(":")[0].removesuffix(".localhost")
        async with self.session.get(
            f"http://127.0.0.1:{self.sites_port}{path}",
            headers={"Host": f"{name}.localhost:{self.sites_port}", **headers},
            allow_redirects=False,
        ) as response:
            return response.status, await response.read()


@functools.cache
def empty_cluster() -> tempfile.TemporaryDirectory[str]:
    """A data directory with an empty PostgreSQL. It is removed with the last reference to it, when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="buildspace-cluster")
    postgres = EmbeddedPostgres(Path(folder.name))
    asyncio.run(postgres.start())
    asyncio.run(postgres.stop())
    return folder


def copy_cluster(directory: Path) -> None:
    """Each gateway would spend a second of CPU on making one. A gateway that the test itself starts makes its own."""
    subprocess.run(["cp", "-a", "--reflink=auto", empty_cluster().name, directory], check=True)


@contextlib.asynccontextmanager
async def running_gateway(directory: Path, *, start: bool = True, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway on free ports with its data under `directory`; `settings` are BUILDSPACE_ variables."""
    if start and "DATABASE_URL" not in settings and not (directory / "data").exists():
        await asyncio.to_thread(copy_cluster, directory / "data")
    sites, api, builders = free_ports(3)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BUILDSPACE_")},
        "PYTHONPATH": str(ROOT),
        "BUILDSPACE_DATA_DIRECTORY": str(directory / "data"),
        "BUILDSPACE_SITES_PORT": str(sites),
        "BUILDSPACE_SITES_URL": f"http://{{slug}}.localhost:{sites}",
        "BUILDSPACE_API_PORT": str(api),
        "BUILDSPACE_BUILDERS_PORT": str(builders),
        "BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS": "127.0.0.1",
        # Builders of this machine use a socket; those of ECS need an address.
        **({"BUILDSPACE_BUILDERS_URL": f"http://127.0.0.1:{builders}"} if "CLUSTER_ARN" in settings else {}),
        **settings,
    }
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        gateway = Gateway(directory, environment, sites, api, builders, session)
        if start:
            await gateway.start()
        try:
            yield gateway
        finally:
            if gateway.process is not None:
                if gateway.process.returncode is not None:  # a killed gateway has left its PostgreSQL and builders
                    await gateway.start(until_ready=False)
                    with contextlib.suppress(AssertionError):
                        await eventually(gateway._is_ready, "the gateway becomes ready", 30)
                await gateway.terminate()
