"""What the gateway does by itself once everything is open: the jobs, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.access.guard import Access
from gateway.background import Job, kept_running, repeat, wait_until
from gateway.config.resources import migrations_folder
from gateway.control.mirroring import Mirror
from gateway.control.retention import AGAIN_SECONDS, Sweeper
from gateway.engines import opening
from gateway.engines.data_directory import keep_usable
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.errors import Unavailable
from gateway.services import Services
from gateway.stores.install_caches import InstallCacheStore
from gateway.stores.mirrors import MirrorStore
from gateway.stores.projects import SITE_CHANGED
from gateway.stores.sweeps import SweepStore

log = logging.getLogger(__name__)

DATABASE = "database"
WATCH_SECONDS = 3.0
CHECK_SECONDS = 10.0
TIDY_SECONDS = 5.0
PREPARE_SECONDS = 20.0
"""How long a start waits for the database before it serves without it."""


@contextlib.asynccontextmanager
async def keep_working(services: Services, *, on_first_token: Callable[[str], None]) -> AsyncIterator[None]:
    """Run the jobs. They stop in reverse order: no more launches, then builders end, then their lines are stored."""
    async with contextlib.AsyncExitStack() as stack:

        async def keep(name: str, job: Job, *, needs_database: bool = True, again_seconds: float = 0.5) -> None:
            ready = services.prepared if needs_database else None
            kept = kept_running(name, _after(ready, job), services.health, first_delay_seconds=again_seconds)
            await stack.enter_async_context(kept)

        if services.postgres is not None:
            await keep("postgres", services.postgres.watch, needs_database=False)
        watch, _ = await asyncio.gather(_prepare(services, on_first_token), _choose_isolation(services))
        await keep(DATABASE, watch, needs_database=False)
        await keep("secrets", services.vault.watch)
        await keep("site changes", _listener(services))
        if services.launcher.needs_sandbox:
            await keep("data directory", _watch("data directory", _usable(services)), needs_database=False)
        await keep("object store", _watch("object store", services.objects.check), needs_database=False)
        await keep("releases", _watch("releases", services.proxy.releases.check), needs_database=False)
        await keep("log store", _watch("log store", services.logs.check), needs_database=False)
        await keep("launcher", _watch("launcher", services.launcher.check), needs_database=False)
        await keep("leftovers of builds", _tidy(services), needs_database=False)
        await keep("log consumer", services.consumer.run, needs_database=False)
        stack.push_async_callback(services.launcher.close)
        await keep("leases", services.leases.run)
        await keep("log ends", services.log_ends.run)
        await keep("deletion", services.deleter.run)
        await keep("retention", _sweeper(services).run, again_seconds=AGAIN_SECONDS)
        if services.config.storage.mirror_outputs:
            await keep("mirror", _mirror(services).run)
        await keep("dispatcher", _after(services.builders_api_open, services.dispatcher.run))
        yield


def _usable(services: Services) -> Callable[[], Awaitable[None]]:
    return functools.partial(asyncio.to_thread, keep_usable, services.config.data_directory)


def _mirror(services: Services) -> Mirror:
    mirrors = MirrorStore(services.database, opening.place_of_objects(services.config))
    return Mirror(mirrors, services.objects)


async def prepare_database(database: Database, access: Access, on_first_token: Callable[[str], None]) -> None:
    """Tables, install key, token. Raises Unavailable, and ConfigError for an edited migration."""
    applied = await migrate(database, migrations_folder())
    if applied:
        log.info("migrations applied %d", len(applied))
    await access.install_key()
    async with database.lock("access token"):
        token = await access.make_first_token()
    if token is not None:
        on_first_token(token)


async def _choose_isolation(services: Services) -> None:
    config = services.config
    if services.launcher.needs_sandbox:
        await services.isolation.choose(config.builder.isolation, is_loopback_only=config.is_loopback_only)
    else:
        services.isolation.leave_to_containers()


async def _prepare(services: Services, on_first_token: Callable[[str], None]) -> Job:
    """Prepare the database now if it answers. Returns the job that watches it, and that prepares it later otherwise."""

    async def prepare() -> None:
        await prepare_database(services.database, services.access, on_first_token)
        services.prepared.set()

    async def watch(*, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        while not stopping.is_set():
            if not services.prepared.is_set():
                await prepare()
            async with services.database.acquire() as connection:
                await connection.execute("SELECT 1")
            progress()
            await wait_until(stopping, 2.0)

    try:
        async with asyncio.timeout(PREPARE_SECONDS):
            await prepare()
    except (Unavailable, TimeoutError) as error:
        log.warning("database away at start: %s", error)
        services.health.trouble(DATABASE, str(error) or "The database does not answer.")
    return watch


def _after(ready: asyncio.Event | None, job: Job) -> Job:
    """The job, once the event is set: before that it would only fail."""
    if ready is None:
        return job

    async def wait_and_run(*, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        while not stopping.is_set() and not ready.is_set():
            await wait_until(ready, 0.5)
        if not stopping.is_set():
            await job(stopping=stopping, progress=progress)

    return wait_and_run


def _listener(services: Services) -> Job:
    async def listen(*, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        await services.database.listen(SITE_CHANGED, services.pointers.forget, stopping=stopping, progress=progress)

    return listen


def _watch(name: str, check: Callable[[], Awaitable[None]]) -> Job:
    """Check an engine even when nothing uses it, so that `/ready` reports an outage before a user meets it."""

    async def watch(*, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        while not stopping.is_set():
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await check()
            except TimeoutError as error:
                raise Unavailable(f"The {name} did not answer within {CHECK_SECONDS:.0f} s.") from error
            progress()
            await wait_until(stopping, WATCH_SECONDS)

    return watch


def _tidy(services: Services) -> Job:
    return functools.partial(repeat, services.launcher.tidy, asyncio.Event(), TIDY_SECONDS)


def _sweeper(services: Services) -> Sweeper:
    sweeps = SweepStore(services.database)
    return Sweeper(
        services.deployments,
        services.releases,
        services.objects,
        services.logs,
        sweeps,
        services.config.retention,
        InstallCacheStore(services.database).hashes,
    )
