"""Puts the gateway together: read this first. Three listeners and the jobs, on one uvloop loop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from aiohttp import web

from gateway.access.guard import cors, guard
from gateway.access.middlewares import add_headers, errors_to_responses, log_access, refuse_request
from gateway.background import kept_running
from gateway.config import Config
from gateway.duties import keep_working
from gateway.engines import opening
from gateway.errors import PortTaken, Unavailable
from gateway.metrics import count_requests
from gateway.proxy import create_site_server
from gateway.routes import create_builders_app, setup_routes
from gateway.routes.compression import compress_answers
from gateway.routes.projects import follow_renames
from gateway.routes.table import asked_scope
from gateway.services import SERVICES, OpenLauncher, Services, open_services
from gateway.wire.clients import TrustedProxies
from gateway.wire.listeners import (
    SHUTDOWN_SECONDS,
    AppRunner,
    bound_sockets,
    bound_unix_socket,
    listening,
    port_of,
    url_of,
)
from gateway.wire.lost_errors import name_lost_errors

log = logging.getLogger(__name__)

BUILDERS_API = "builders' API"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 1.0
"""Launchers such as uvx pass on a Ctrl-C that the terminal has sent already. Both together are one press."""
STOP_SECONDS = 18.0
"""A stop that takes longer is cut off. The next start repairs what that leaves."""


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers. `config` has the real ports where 0 was asked for."""

    config: Config
    services: Services
    sites_urls: tuple[str, ...]
    api_urls: tuple[str, ...]


def create_api_app(services: Services) -> web.Application:
    """The API and the pages."""
    proxies = TrustedProxies(services.config.api.trusted_proxies)
    app = web.Application(
        middlewares=[
            count_requests(services.metrics),
            log_access(proxies),
            errors_to_responses,
            guard(services.access, asked_scope),
            compress_answers,
            follow_renames,
        ],
        client_max_size=services.config.api.body_bytes,
    )
    app[SERVICES] = services
    app.on_response_prepare.append(add_headers)
    app.on_response_prepare.append(cors(services.config.api))
    app.on_shutdown.append(_end_streams)
    setup_routes(app)
    return app


@contextlib.asynccontextmanager
async def running(
    config: Config,
    *,
    on_first_token: Callable[[str], None],
    open_launcher: OpenLauncher = opening.open_launcher,
) -> AsyncIterator[Running]:
    """The whole gateway. The site listener opens first and closes last.

    Raises ConfigError for what only a person can fix; nothing was changed by then.
    """
    async with contextlib.AsyncExitStack() as stack:
        sites = stack.enter_context(bound_sockets("sites", config.sites.host, config.sites.port))
        api = stack.enter_context(bound_sockets("api", config.api.host, config.api.port))
        builders: list[socket.socket] = []
        if config.builders_socket is None:
            with contextlib.suppress(PortTaken):
                builders = stack.enter_context(_builders_port(config))
        config = _with_ports(
            config, port_of(sites), port_of(api), port_of(builders) if builders else config.builders.port
        )
        services = await stack.enter_async_context(open_services(config, open_launcher=open_launcher))
        await stack.enter_async_context(listening(_site_runner(services), sites))
        if config.builders_socket is not None:
            # Only now, because the data directory has to be ours first.
            builders = stack.enter_context(bound_unix_socket(config.builders_socket))
        await stack.enter_async_context(_answering_builders(services, builders))
        await stack.enter_async_context(keep_working(services, on_first_token=on_first_token))
        await stack.enter_async_context(listening(_api_runner(services), api))
        yield Running(config, services, _urls(sites), _urls(api))


def _builders_port(config: Config) -> contextlib.AbstractContextManager[list[socket.socket]]:
    return bound_sockets("builders", [config.builders.host], config.builders.port)


@contextlib.asynccontextmanager
async def _answering_builders(services: Services, sockets: list[socket.socket]) -> AsyncIterator[None]:
    """Answer builders now, or without sockets as soon as their port is free: sites and pages do not wait for it."""

    async def answer_late(*, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        with contextlib.ExitStack() as stack:
            try:
                # In a thread: naming the program that has the port takes a look at all processes.
                late = await asyncio.to_thread(stack.enter_context, _builders_port(services.config))
            except PortTaken as error:
                raise Unavailable(f"{error.sentence} Until then no build starts.") from error
            async with listening(_builders_runner(services), late):
                services.builders_api_open.set()
                progress()
                await stopping.wait()

    if not sockets:
        services.health.trouble(BUILDERS_API, f"Port {services.config.builders.port} is not free yet.")
        async with kept_running(BUILDERS_API, answer_late, services.health):
            yield
        return
    async with listening(_builders_runner(services), sockets):
        services.builders_api_open.set()
        yield


async def serve(config: Config, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM, Ctrl-C or the end of the terminal. A second signal ends the process at once."""
    stop = _stop_on_signals()
    name_lost_errors(asyncio.get_running_loop())
    async with running(config, on_first_token=lambda token: say(_first_token(token))) as gateway:
        for line in _greeting(gateway):
            say(line)
        await stop.wait()
        say("Stopping. Press Ctrl-C again to stop at once.")
        gateway.services.is_stopping = True
    say("Stopped.")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked_at = 0.0

    def on_signal() -> None:
        nonlocal asked_at
        if stop.is_set() and loop.time() - asked_at >= AGAIN_SECONDS:
            # The same as kill -9: the next start adopts or stops what is left, and nothing is lost.
            os._exit(1)
        if not stop.is_set():
            asked_at = loop.time()
            stop.set()
            loop.call_later(STOP_SECONDS, _cut_short)

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants to outlive the terminal
            loop.add_signal_handler(number, on_signal)
    return stop


def _cut_short() -> None:
    log.error("the stop took longer than %.0f s; ending the process", STOP_SECONDS)
    os._exit(0)


def _site_runner(services: Services) -> web.ServerRunner:
    server = create_site_server(services.proxy, services.metrics.count_malformed("sites"))
    return web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)


def _api_runner(services: Services) -> AppRunner:
    return AppRunner(create_api_app(services), refuse_request, services.metrics.count_malformed("api"))


def _builders_runner(services: Services) -> AppRunner:
    app = create_builders_app(
        services.deployments,
        services.attempts,
        services.publisher,
        services.transport,
        services.config.builder,
        services.access.install_key,
        services.addresses,
        TrustedProxies(services.config.api.trusted_proxies),
        services.variables.of_build,
        services.git_logins.of_build,
        services.caches,
    )
    return AppRunner(app, refuse_request, services.metrics.count_malformed("builders"))


def _with_ports(config: Config, sites: int, api: int, builders: int) -> Config:
    """The configuration with the real ports in place of 0."""
    url = config.sites.url if config.sites.port else re.sub(r"(:\d+)?/?\Z", f":{sites}", config.sites.url, count=1)
    return dataclasses.replace(
        config,
        sites=dataclasses.replace(config.sites, port=sites, url=url),
        api=dataclasses.replace(config.api, port=api),
        builders=dataclasses.replace(config.builders, port=builders),
    )


def _urls(sockets: list[socket.socket]) -> tuple[str, ...]:
    return tuple(url_of(each) for each in sockets)


async def _end_streams(app: web.Application) -> None:
    """Ends the streams of logs, because an open one would delay the stop."""
    app[SERVICES].is_stopping = True


def _greeting(gateway: Running) -> list[str]:
    config, services = gateway.config, gateway.services
    lines = [
        f"Buildspace API and pages on {', '.join(gateway.api_urls)}",
        f"Buildspace sites on {config.sites.url} ({', '.join(gateway.sites_urls)})",
        f"Data in {config.data_directory}",
        f"Builds: {services.isolation.sentence}",
    ]
    if used := opening.in_use(config):
        lines.append(f"Engines: {', '.join(used)}")
    lines += [f"Trouble: {sentence}" for sentence in services.health.troubles.values()]
    if config.api.url:
        lines.append(f"Sign in at {services.addresses.link('/login')}")
    return lines + other_port(config.sites.url, config.sites.port)


def other_port(url: str, port: int) -> list[str]:
    """Nothing translates ports under localhost, so addresses with another port than the listener's do not work."""
    parts = urlsplit(url.replace("{slug}", "slug"))
    if not (parts.hostname or "").endswith(".localhost") or (parts.port or 80) == port:
        return []
    return [f"Warning: sites.url names port {parts.port or 80}, but sites are served on port {port}."]


def _first_token(token: str) -> str:
    return (
        f"Access token: {token}\n"
        "Calls from other machines need it. It is not shown again;"
        " `buildspace token rotate` makes a new one."
    )
