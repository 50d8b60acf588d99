"""Opens everything in order and closes it in reverse. What is away does not stop the start: it is tried again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from builder.protocol.calls import LATE_LINES_SECONDS
from gateway import engines, lifecycle
from gateway.addresses import Addresses
from gateway.background import Health, Job, kept_running, wait_until
from gateway.config import Config
from gateway.consumer import LogConsumer
from gateway.dispatcher import Dispatcher
from gateway.embedded_postgres import EmbeddedPostgres, lock_data_directory
from gateway.entrance import Access
from gateway.errors import LaunchRefused, Unavailable
from gateway.launchers.sandbox import Grade, choose_grade
from gateway.metrics import CountedLogs, Metrics
from gateway.migrations import migrate
from gateway.mirroring import Mirror
from gateway.proxy import SiteProxy
from gateway.publishing import Publisher
from gateway.reconciler import Reconciler
from gateway.resources import migrations_folder
from gateway.retention import Sweeper
from gateway.roles import Launcher, LogStore, LogTransport, ObjectStore
from gateway.sites.pointers import SitePointers
from gateway.stores.deployments import DeploymentStore
from gateway.stores.installation import InstallationStore
from gateway.stores.mirrors import MirrorStore
from gateway.stores.postgres import Database, open_pool
from gateway.stores.projects import SITE_CHANGED, ProjectStore
from gateway.stores.statistics import StatisticsStore

log = logging.getLogger(__name__)

DATABASE = "database"
BUILDERS = "builders"
WATCH_SECONDS = 3.0
CHECK_SECONDS = 10.0
PREPARE_SECONDS = 20.0
"""How long a start waits for the database before it serves without it."""


class Isolation:
    """The sandbox that builds get: chosen once, by running it. Until then, and when there is none, builds wait."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._grade: Grade | None = None
        self._refusal = LaunchRefused("The sandbox is not chosen yet.")

    @property
    def name(self) -> str | None:
        return self._grade.name if self._grade else None

    @property
    def sentence(self) -> str:
        """The grade in words, or why there is none."""
        return self._grade.sentence if self._grade else self._refusal.sentence

    def grade(self) -> Grade:
        """Raises LaunchRefused while builds may not run."""
        if self._grade is None:
            raise self._refusal
        return self._grade

    def leave_to_containers(self) -> None:
        """Builders run elsewhere, each in a container of its own; what holds inside is its own choice."""
        self._grade = Grade("container", "Each build runs in a container of its own.")

    async def choose(self, wanted: str, *, is_loopback_only: bool) -> None:
        """Sites are served in any case: what can't be had shows in the health and holds the builds alone."""
        try:
            self._grade = await choose_grade(wanted, is_loopback_only)
        except LaunchRefused as refusal:
            self._refusal = refusal
            self._health.trouble(BUILDERS, refusal.sentence)


@dataclasses.dataclass(slots=True)
class Services:
    """All that handlers and jobs share."""

    config: Config
    health: Health
    addresses: Addresses
    database: Database
    projects: ProjectStore
    deployments: DeploymentStore
    installation: InstallationStore
    logs: LogStore
    objects: ObjectStore
    isolation: Isolation
    launcher: Launcher
    dispatcher: Dispatcher
    reconciler: Reconciler
    publisher: Publisher
    transport: LogTransport
    consumer: LogConsumer
    pointers: SitePointers
    proxy: SiteProxy
    access: Access
    metrics: Metrics
    postgres: EmbeddedPostgres | None
    prepared: asyncio.Event
    """Set once the database has this version's tables."""
    is_stopping: bool = False

    def stopping(self) -> bool:
        return self.is_stopping


SERVICES = web.AppKey("services", Services)
OpenLauncher = Callable[[Config, Callable[[], Grade]], contextlib.AbstractAsyncContextManager[Launcher]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Engines:
    objects: ObjectStore
    logs: LogStore
    transport: LogTransport
    launcher: Launcher


@contextlib.asynccontextmanager
async def open_services(
    config: Config, *, open_launcher: OpenLauncher = engines.open_launcher
) -> AsyncIterator[Services]:
    """The engines and what stands on them; nothing works yet by itself (`keep_working`).

    Raises ConfigError for what only the user can put right.
    """
    async with contextlib.AsyncExitStack() as stack:
        health = Health()
        stack.enter_context(lock_data_directory(config.data_directory))
        postgres, url = await _find_database(config, health, stack)
        is_pooled = config.postgres.is_pooled and postgres is None
        database = await stack.enter_async_context(open_pool(url, config.postgres.pool_size, is_pooled=is_pooled))
        isolation = Isolation(health)
        opened = _Engines(
            objects=await stack.enter_async_context(engines.open_objects(config)),
            logs=await stack.enter_async_context(engines.open_logs(config, database)),
            transport=await stack.enter_async_context(engines.open_transport(config, database)),
            launcher=await stack.enter_async_context(open_launcher(config, isolation.grade)),
        )
        yield _compose(config, health, database, postgres, isolation, opened)


@contextlib.asynccontextmanager
async def keep_working(services: Services, *, on_first_token: Callable[[str], None]) -> AsyncIterator[None]:
    """Run the jobs. On leaving they stop in reverse: no more launches, builders end, their lines are stored."""
    async with contextlib.AsyncExitStack() as stack:

        async def keep(name: str, job: Job, *, needs_database: bool = True) -> None:
            ready = services.prepared if needs_database else None
            await stack.enter_async_context(kept_running(name, _after(ready, job), services.health))

        if services.postgres is not None:
            await keep("postgres", services.postgres.watch, needs_database=False)
        watch, _ = await asyncio.gather(_prepare(services, on_first_token), _choose_isolation(services))
        await keep(DATABASE, watch, needs_database=False)
        await keep("site changes", _listener(services))
        await keep("object store", _watch("object store", services.objects.check), needs_database=False)
        await keep("log store", _watch("log store", services.logs.check))
        await keep("launcher", _watch("launcher", services.launcher.check), needs_database=False)
        await keep("log consumer", services.consumer.run)
        stack.push_async_callback(_close_launcher, services.launcher)
        await keep("reconciler", services.reconciler.run)
        await keep("retention", _sweeper(services).run)
        if services.config.storage.mirror_outputs:
            await keep("mirror", Mirror(MirrorStore(services.database), services.objects).run)
        await keep("dispatcher", services.dispatcher.run)
        yield


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


async def _find_database(
    config: Config, health: Health, stack: contextlib.AsyncExitStack
) -> tuple[EmbeddedPostgres | None, str]:
    if config.postgres.url:
        return None, config.postgres.url.reveal()
    postgres = EmbeddedPostgres(config.data_directory, config.postgres.bin_dir)
    stack.push_async_callback(postgres.stop)
    try:
        return postgres, await postgres.start()
    except Unavailable as error:
        if not postgres.url:
            raise
        health.trouble("postgres", error.sentence)
        return postgres, postgres.url


def _compose(
    config: Config,
    health: Health,
    database: Database,
    postgres: EmbeddedPostgres | None,
    isolation: Isolation,
    opened: _Engines,
) -> Services:
    projects, deployments = ProjectStore(database), DeploymentStore(database)
    installation = InstallationStore(database)
    objects, logs, transport, launcher = opened.objects, opened.logs, opened.transport, opened.launcher
    access = Access(config.api, installation, config.auth.token)
    metrics = Metrics(StatisticsStore(database), health)
    pointers = SitePointers(projects, config.sites.url, config.sites.pointer_seconds)
    dispatcher = Dispatcher(
        deployments,
        launcher,
        access.install_key,
        config.builders_url,
        config.builder,
        start_seconds=lifecycle.CONTAINER_START_SECONDS if config.has_builders_elsewhere else 0.0,
    )
    reconciler = Reconciler(
        deployments,
        launcher,
        logs,
        config.builder.attempts,
        compact_log=logs.compact,
        time_limit_seconds=config.builder.time_limit_seconds,
        is_transport_behind=transport.is_behind,
        late_lines_seconds=LATE_LINES_SECONDS if transport.for_builders else 0.0,
    )

    def on_finished() -> None:
        dispatcher.wake()
        reconciler.wake()

    return Services(
        config=config,
        health=health,
        addresses=Addresses(config.sites.url),
        database=database,
        projects=projects,
        deployments=deployments,
        installation=installation,
        logs=logs,
        objects=objects,
        isolation=isolation,
        launcher=launcher,
        dispatcher=dispatcher,
        reconciler=reconciler,
        publisher=Publisher(deployments, objects, config.builder, on_finished),
        transport=transport,
        consumer=LogConsumer(transport, CountedLogs(logs, metrics.log_lines)),
        pointers=pointers,
        proxy=SiteProxy(
            pointers, objects, cache_bytes=config.sites.cache_bytes, on_response=metrics.count_site_response
        ),
        access=access,
        metrics=metrics,
        postgres=postgres,
        prepared=asyncio.Event(),
    )


async def _choose_isolation(services: Services) -> None:
    config = services.config
    if config.has_builders_elsewhere:
        services.isolation.leave_to_containers()
        return
    await services.isolation.choose(config.builder.isolation, is_loopback_only=config.is_loopback_only)


async def _prepare(services: Services, on_first_token: Callable[[str], None]) -> Job:
    """Prepare the database now, if it is there; the job that watches it, and prepares it as soon as it is."""

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
    """The job, once the event is set: without tables it could only complain."""
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
    """Look at an engine even when nobody uses it: `/ready` tells what is away before a user finds out."""

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


def _sweeper(services: Services) -> Sweeper:
    return Sweeper(services.deployments, services.objects, services.logs, services.config.retention)


async def _close_launcher(launcher: Launcher) -> None:
    """A stop by the user leaves no builder behind; the next start finds them gone and starts other attempts."""
    close = getattr(launcher, "close", None)
    if close is not None:
        await close(stop_builders=True)
