"""Opens everything in order and closes it in reverse. An engine that is away does not stop the start."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from gateway.access.guard import Access
from gateway.background import Health
from gateway.config import Config
from gateway.consumer import LogConsumer
from gateway.control.deletion import Deleter
from gateway.control.dispatcher import Dispatcher
from gateway.control.install_caches import InstallCaches
from gateway.control.leases import Leases
from gateway.control.log_ends import LogEnds
from gateway.control.publishing import Publisher
from gateway.engines import opening
from gateway.engines.data_directory import lock_data_directory
from gateway.engines.databases import open_database
from gateway.engines.postgres.database import Database
from gateway.engines.postgres.embedded_postgres import EmbeddedPostgres
from gateway.engines.process.grades import Grade
from gateway.engines.process.isolation import IsolationChoice
from gateway.metrics import CountedLogs, Metrics
from gateway.models.addresses import Addresses
from gateway.proxy import SiteProxy
from gateway.roles import Launcher, LogStore, LogTransport, ObjectStore
from gateway.secrets.git_logins import GitLogins
from gateway.secrets.kms import KmsKey, open_kms
from gateway.secrets.ring import Ring
from gateway.secrets.variables import Variables
from gateway.secrets.vault import Vault
from gateway.sites.pointers import SitePointers
from gateway.stores.attempts import AttemptStore
from gateway.stores.data_keys import DataKeyStore
from gateway.stores.deletions import DeletionStore
from gateway.stores.deployments import DeploymentStore
from gateway.stores.git_logins import GitLoginStore
from gateway.stores.hosts import HostStore
from gateway.stores.install_caches import InstallCacheStore
from gateway.stores.installation import InstallationStore
from gateway.stores.projects import ProjectStore
from gateway.stores.releases import ReleaseStore
from gateway.stores.statistics import StatisticsStore
from gateway.stores.variables import VariableStore
from gateway.wire.clients import TrustedProxies


@dataclasses.dataclass(slots=True)
class Services:
    """What all handlers and jobs share."""

    config: Config
    health: Health
    addresses: Addresses
    database: Database
    projects: ProjectStore
    deployments: DeploymentStore
    attempts: AttemptStore
    releases: ReleaseStore
    hosts: HostStore
    installation: InstallationStore
    vault: Vault
    variables: Variables
    git_logins: GitLogins
    logs: LogStore
    objects: ObjectStore
    isolation: IsolationChoice
    launcher: Launcher
    dispatcher: Dispatcher
    leases: Leases
    log_ends: LogEnds
    deleter: Deleter
    publisher: Publisher
    caches: InstallCaches
    transport: LogTransport
    consumer: LogConsumer
    pointers: SitePointers
    proxy: SiteProxy
    access: Access
    metrics: Metrics
    postgres: EmbeddedPostgres | None
    prepared: asyncio.Event
    """Set once the database has this version's tables."""
    builders_api_open: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """Set once builders can call: no build starts before."""
    is_stopping: bool = False

    def stopping(self) -> bool:
        return self.is_stopping


SERVICES = web.AppKey("services", Services)
OpenLauncher = Callable[[Config, Callable[[], Grade]], contextlib.AbstractAsyncContextManager[Launcher]]


@dataclasses.dataclass(frozen=True, slots=True)
class Engines:
    """The engine of each role, and what was found while they were opened. `postgres`: the embedded server."""

    health: Health
    database: Database
    objects: ObjectStore
    logs: LogStore
    transport: LogTransport
    isolation: IsolationChoice
    launcher: Launcher
    postgres: EmbeddedPostgres | None = None
    kms: KmsKey | None = None


@contextlib.asynccontextmanager
async def open_services(
    config: Config, *, open_launcher: OpenLauncher = opening.open_launcher
) -> AsyncIterator[Services]:
    """The engines and what uses them; no job runs yet (`gateway.duties` starts them).

    Raises ConfigError for what only a person can fix.
    """
    async with contextlib.AsyncExitStack() as stack:
        health = Health()
        stack.enter_context(lock_data_directory(config.data_directory))
        database, postgres = await stack.enter_async_context(open_database(config, health))
        isolation = IsolationChoice(health)
        read_install_key, is_known = InstallationStore(database).install_key, DeploymentStore(database).is_known
        engines = Engines(
            health=health,
            database=database,
            objects=await stack.enter_async_context(opening.open_objects(config)),
            logs=await stack.enter_async_context(opening.open_logs(config, database)),
            transport=await stack.enter_async_context(opening.open_transport(config, read_install_key, is_known)),
            isolation=isolation,
            launcher=await stack.enter_async_context(open_launcher(config, isolation.grade)),
            postgres=postgres,
            kms=await stack.enter_async_context(open_kms(config.secrets)),
        )
        yield compose(config, engines)


def compose(config: Config, engines: Engines, *, clock: Callable[[], float] = time.monotonic) -> Services:
    """The services on these engines; nothing is opened and no job runs. `clock` measures how long the jobs wait."""
    database, health, launcher, transport = engines.database, engines.health, engines.launcher, engines.transport
    hosts = HostStore(database)
    pointers = SitePointers(hosts, config.sites.url, config.sites.pointer_seconds)
    api_labels = [pointers.label_of(name) for name in config.api.own_names]
    queue_length = config.builder.queue_length
    projects = ProjectStore(database, [label for label in api_labels if label is not None], queue_length=queue_length)
    deployments = DeploymentStore(database, queue_length)
    attempts, releases = AttemptStore(database), ReleaseStore(database)
    installation = InstallationStore(database)
    vault = Vault(DataKeyStore(database), Ring(config.data_directory, config.secrets.key, engines.kms))
    access = Access(config.api, installation, config.auth.token)
    metrics = Metrics(StatisticsStore(database), health)
    dispatcher = Dispatcher(attempts, launcher, access.install_key, config.builders_url, config.builder)
    leases = Leases(
        attempts,
        launcher,
        config.builder.attempts,
        time_limit_seconds=config.builder.time_limit_seconds,
        late_lines_seconds=transport.late_lines_seconds,
        clock=clock,
    )
    log_ends = LogEnds(
        deployments,
        engines.logs,
        is_transport_behind=transport.is_behind,
        late_lines_seconds=transport.late_lines_seconds,
        clock=clock,
    )

    def on_finished() -> None:
        dispatcher.wake()
        leases.wake()
        log_ends.wake()

    return Services(
        config=config,
        health=health,
        addresses=Addresses(config.sites.url, config.api.url),
        database=database,
        projects=projects,
        deployments=deployments,
        attempts=attempts,
        releases=releases,
        hosts=hosts,
        installation=installation,
        vault=vault,
        variables=Variables(projects, VariableStore(database), vault),
        git_logins=GitLogins(projects, GitLoginStore(database), vault),
        logs=engines.logs,
        objects=engines.objects,
        isolation=engines.isolation,
        launcher=launcher,
        dispatcher=dispatcher,
        leases=leases,
        log_ends=log_ends,
        deleter=Deleter(DeletionStore(database), releases, engines.objects, engines.logs),
        publisher=Publisher(deployments, attempts, releases, engines.objects, config.builder, on_finished),
        caches=InstallCaches(InstallCacheStore(database), engines.objects, config.builder.cache_bytes),
        transport=transport,
        consumer=LogConsumer(transport, CountedLogs(engines.logs, metrics.log_lines)),
        pointers=pointers,
        proxy=SiteProxy(
            pointers,
            engines.objects,
            proxies=TrustedProxies(config.sites.trusted_proxies),
            cache_bytes=config.sites.cache_bytes,
            on_response=metrics.count_site_response,
        ),
        access=access,
        metrics=metrics,
        postgres=engines.postgres,
        prepared=asyncio.Event(),
    )
