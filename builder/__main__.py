"""`python -m builder`: builds one deployment and exits. Exit code 0: the end was reported to the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path

from builder.api import BuildersApi, open_api
from builder.cache import InstallCache
from builder.checkout import Checkout
from builder.errors import BuildFailed, Ended, Lost
from builder.job import UNBOUNDED, Build, Folders
from builder.logs import LineSender, Send
from builder.masking import Masker
from builder.protocol.calls import LATE_LINES_SECONDS, Job
from builder.protocol.registries import check_registry
from builder.publish import Attempt
from builder.sandbox import SandboxError, open_sandbox

EXIT_TOLD = 0
EXIT_USAGE = 2
EXIT_ENDED = 3
EXIT_UNREACHABLE = 4
PR_SET_DUMPABLE = 4

logger = logging.getLogger("builder")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the launcher passes on. The token appears in no output."""

    url: str
    token: str = dataclasses.field(repr=False)
    deployment_id: uuid.UUID
    attempt: int
    isolation: str
    work: str
    packages: str
    packages_bytes: int


def take_settings(environ: MutableMapping[str, str]) -> Settings:
    """Read the settings and remove the token from the environment. Raises ValueError with a sentence."""
    token = environ.pop("BUILDSPACE_TOKEN", "")
    check_registry(environ)
    missing = [name for name in ("BUILDSPACE_URL", "DEPLOYMENT_ID") if not environ.get(name)]
    if missing or not token:
        names = ", ".join([*missing, *([] if token else ["BUILDSPACE_TOKEN"])])
        raise ValueError(f"A launcher starts this program, with {names} in its environment.")
    return Settings(
        url=environ["BUILDSPACE_URL"],
        token=token,
        deployment_id=uuid.UUID(environ["DEPLOYMENT_ID"]),
        attempt=int(environ.get("BUILDSPACE_ATTEMPT", "1")),
        isolation=environ.get("BUILDSPACE_ISOLATION", "strong"),
        work=environ.get("BUILDSPACE_WORK", ""),
        packages=environ.get("BUILDSPACE_NODE_CACHE", ""),
        packages_bytes=int(environ.get("BUILDSPACE_NODE_CACHE_BYTES", UNBOUNDED)),
    )


def hide_from_children() -> None:
    """Makes this process's memory and initial environment unreadable for its children, which may share its account."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


async def build(settings: Settings) -> int:
    with contextlib.ExitStack() as stack:
        work = Path(settings.work or stack.enter_context(tempfile.TemporaryDirectory(prefix="buildspace-")))
        packages = Path(settings.packages) if settings.packages else work / "packages"
        folders = Folders(work / "private", work / "build", packages, settings.packages_bytes)
        async with open_api(settings.url, settings.token, settings.deployment_id, settings.attempt) as api:
            job = await api.fetch_job()
            api.masker = Masker(_secrets_of(job))
            folders.private.mkdir(mode=0o700, parents=True, exist_ok=True)
            async with _opened_sender(settings, job, api) as send:
                await _make_attempt(settings, job, api, folders, send).run()
            return EXIT_TOLD


def _secrets_of(job: Job) -> list[str]:
    logins = [job.git_token.token] if job.git_token else []
    keys = [job.deploy_key.private_key] if job.deploy_key else []
    return [*logins, *keys, *(variable.value for variable in job.variables if variable.is_secret)]


@contextlib.asynccontextmanager
async def _opened_sender(settings: Settings, job: Job, api: BuildersApi) -> AsyncIterator[Send]:
    """How log lines are sent: over Kafka if the job names it, otherwise over the builders' API."""
    if job.kafka is None:
        yield api.send_lines
        return
    # Only here: aiokafka would take a third of the start of a builder that does not need it.
    from builder.kafka import KafkaSender

    sender = KafkaSender(job.kafka, settings.token, settings.deployment_id)
    try:
        yield sender.send
    finally:
        await sender.close()


def _make_attempt(settings: Settings, job: Job, api: BuildersApi, folders: Folders, send: Send) -> Attempt:
    log = LineSender(
        send,
        project=job.project_slug,
        deployment_id=settings.deployment_id,
        attempt=settings.attempt,
        spool_directory=folders.private,
        limit_bytes=job.log_bytes,
        masker=api.masker,
    )

    cache = InstallCache(api, job, log, Checkout(folders.source), folders.private)

    async def do() -> None:
        folders.make()
        # Opened here, where heartbeats are sent and the loss is reported; in a thread, because it may take seconds.
        try:
            sandbox = await asyncio.to_thread(
                open_sandbox, settings.isolation, job.allow_private_hosts, work=folders.build
            )
        except SandboxError as error:
            raise Lost(str(error)) from error
        await Build(job, api, log, folders, sandbox, cache).do()

    return Attempt(api, log, do, cache.save, late_lines_seconds=LATE_LINES_SECONDS if job.kafka else 0.0)


async def main() -> int:
    try:
        settings = take_settings(os.environ)
    except ValueError as error:
        logger.error("%s", error)
        return EXIT_USAGE
    task = asyncio.ensure_future(build(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except Ended as error:
        logger.warning("this attempt is over: %s", error)
        return EXIT_ENDED
    except (Lost, BuildFailed) as error:
        logger.error("the gateway could not be reached: %s", error.reason)
        return EXIT_UNREACHABLE
    except asyncio.CancelledError:
        logger.warning("stopped by a signal")
        return EXIT_ENDED


if __name__ == "__main__":
    hide_from_children()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    sys.exit(asyncio.run(main()))
