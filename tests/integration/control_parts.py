"""The control plane on real stores, with a launcher in memory: composed as the gateway does it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp.test_utils import TestServer

from builder.api import BuildersApi, open_api
from builder.protocol.tokens import make_token
from gateway import config
from gateway.background import Health, kept_running
from gateway.control.dispatcher import Dispatcher
from gateway.control.retention import Sweeper
from gateway.engines.directory.directory_objects import DirectoryObjectStore
from gateway.engines.http_transport import HttpLogTransport
from gateway.engines.postgres.database import Database, open_pool
from gateway.engines.postgres.postgres_logs import PostgresLogStore
from gateway.engines.process.isolation import IsolationChoice
from gateway.models.actor import OWNER
from gateway.models.addresses import Addresses
from gateway.models.deployment import Deployment
from gateway.models.log import LogPosition
from gateway.routes import create_builders_app
from gateway.services import Engines, compose
from gateway.stores.install_caches import InstallCacheStore
from gateway.stores.sweeps import SweepStore
from gateway.wire.clients import NO_PROXIES
from tests.engines.stores import LifeStore, new_project
from tests.unit.control.fake_engines import FakeLauncher
from tests.unit.control.fakes import Clock, no_login


class Parts:
    """One gateway's control plane. `clock` measures how long the jobs wait."""

    def __init__(self, database: Database, folder: Path, settings: config.Builder, launcher: FakeLauncher) -> None:
        self.database = database
        self.settings = settings
        self.launcher = launcher
        self.health = Health()
        self.clock = Clock()
        engines = Engines(
            health=self.health,
            database=database,
            objects=DirectoryObjectStore(folder / "objects"),
            logs=PostgresLogStore(database),
            transport=HttpLogTransport(),
            isolation=IsolationChoice(self.health),
            launcher=launcher,
        )
        self.services = compose(config.Config(builder=settings), engines, clock=self.clock)
        self.projects = self.services.projects
        self.deployments = LifeStore(database)
        self.installation = self.services.installation
        self.logs, self.objects, self.transport = engines.logs, engines.objects, engines.transport
        self.consumer = self.services.consumer
        self.publisher = self.services.publisher
        self.dispatcher = self.services.dispatcher
        self.leases = self.services.leases
        self.log_ends = self.services.log_ends
        self.url = ""

    def make_dispatcher(self, **options) -> Dispatcher:
        key = self.installation.install_key
        url = self.services.config.builders_url
        return Dispatcher(self.deployments, self.launcher, key, url, self.settings, **options)

    def make_sweeper(self, retention: config.Retention, **options) -> Sweeper:
        return Sweeper(
            self.deployments,
            self.deployments,
            self.objects,
            self.logs,
            SweepStore(self.database),
            retention,
            InstallCacheStore(self.database).hashes,
            **options,
        )

    async def create(self, name: str = "Blog") -> Deployment:
        return await new_project(self.projects, name)

    async def launch(self) -> Deployment:
        """A deployment of a new project whose builder was launched."""
        waiting = await self.create()
        await self.dispatcher.dispatch()
        return await self.deployments.get(OWNER, waiting.id)

    async def look(self, seconds: float = 0.0) -> None:
        """The next look of the leases and of the log ends, so much later."""
        self.clock.pass_by(seconds)
        await self.leases.look()
        await self.log_ends.look()

    @contextlib.asynccontextmanager
    async def builder(self, deployment_id: uuid.UUID, attempt: int = 1) -> AsyncIterator[BuildersApi]:
        """The builder's own client for this attempt."""
        token = make_token(await self.installation.install_key(), deployment_id, attempt)
        async with open_api(self.url, token, deployment_id, attempt, patience_seconds=5.0) as api:
            yield api

    async def texts(self, deployment_id: uuid.UUID) -> list[str]:
        return [line.text for line in await self.logs.read(deployment_id, LogPosition(), 10_000)]


@contextlib.asynccontextmanager
async def open_parts(
    url: str, folder: Path, *, settings: config.Builder | None = None, launcher: FakeLauncher | None = None
) -> AsyncIterator[Parts]:
    """The parts, their API listening and their consumer running."""
    async with open_pool(url, 8) as database:
        parts = Parts(database, folder, settings or config.Builder(), launcher or FakeLauncher())
        app = create_builders_app(
            parts.deployments,
            parts.deployments,
            parts.publisher,
            parts.transport,
            parts.settings,
            parts.installation.install_key,
            Addresses("http://{slug}.localhost:8000"),
            NO_PROXIES,
            parts.services.variables.of_build,
            no_login,
            parts.services.caches,
        )
        server = TestServer(app)
        await server.start_server()
        parts.url = str(server.make_url("/"))
        try:
            async with kept_running("log consumer", parts.consumer.run, parts.health, first_delay_seconds=0.05):
                yield parts
        finally:
            await server.close()
