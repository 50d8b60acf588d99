"""`buildspace doctor`: writes, reads and deletes something in each store, and examines the other engines and the
machine.

Prints what is wrong and what to do. What a start would create or migrate is named, not done. Only the firewall rules of
an existing builders' network on Docker are renewed.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

from gateway.background import Health
from gateway.commands.examine_machine import examine_directory, examine_disk, examine_git, examine_node
from gateway.commands.examine_sites import examine_sites
from gateway.config import Config
from gateway.engines import opening
from gateway.engines.databases import embedded_folder, try_database
from gateway.engines.process.isolation import IsolationChoice
from gateway.errors import ConfigError, GatewayError, Unavailable
from gateway.models.addresses import Addresses, is_loopback_address
from gateway.roles import LogStore, LogTransport, ObjectStore

CHECK_SECONDS = 60.0
"""Longer than the time limits of the engines, which have better error messages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`sentence`: what was found and, if that is wrong, what to do. `is_warning`: it works, but could be safer."""

    name: str
    is_well: bool
    sentence: str
    is_warning: bool = False

    def __str__(self) -> str:
        mark = "WRONG" if not self.is_well else "warn " if self.is_warning else "ok   "
        return f"{mark} {self.name}: {self.sentence}"


async def examine(config: Config, *, say: Callable[[str], None]) -> int:
    """Prints one line for each engine. The exit code is 1 if any of them is wrong."""
    findings: list[Finding] = []
    was_there = await asyncio.to_thread(config.data_directory.exists)
    try:
        async for finding in _findings(config):
            findings.append(finding)
            say(str(finding))
    finally:
        if not was_there:
            await asyncio.to_thread(_remove_empty, config.data_directory)
    wrong = sum(not finding.is_well for finding in findings)
    say("All checks passed." if not wrong else f"{wrong} of {len(findings)} checks failed.")
    return 1 if wrong else 0


async def _findings(config: Config) -> AsyncIterator[Finding]:
    yield await _find("data directory", lambda: examine_directory(config.data_directory))
    async for finding in _database_findings(config):
        yield finding
    yield await _find("object store", lambda: _examine(opening.open_objects(config)))
    yield await _find("log transport", lambda: _examine(opening.open_transport(config, _no_key, _no_deployment)))
    yield await _find("disk", lambda: examine_disk(config.data_directory))
    async for finding in _builder_findings(config):
        yield finding
    yield check_access(config)
    if not config.is_loopback_only:
        yield check_links(config)
    yield check_builders_url(config)


async def _database_findings(config: Config) -> AsyncIterator[Finding]:
    try:
        async with try_database(config) as database:
            yield await _find("postgres", database.examine)
            yield await _find("log store", lambda: _examine(opening.open_logs(config, database)))
            yield await _find("sites", lambda: examine_sites(config, database))
    except GatewayError as error:
        yield Finding("postgres", False, f"{error.sentence}{_database_advice(config)}")
    except OSError as error:
        yield Finding("postgres", False, f"No test database can be made in the data directory: {error.strerror}.")


async def _builder_findings(config: Config) -> AsyncIterator[Finding]:
    isolation = IsolationChoice(Health())
    needs_sandbox = False

    async def examine_builders() -> str:
        nonlocal needs_sandbox
        async with opening.open_launcher(config, isolation.grade, is_rehearsal=True) as launcher:
            needs_sandbox = launcher.needs_sandbox
            if needs_sandbox:
                await isolation.choose(config.builder.isolation, is_loopback_only=config.is_loopback_only)
            return await launcher.examine()

    yield await _find("builders", examine_builders)
    if needs_sandbox:
        yield await _find("git", examine_git)
        yield await _find("node", examine_node)


async def _find(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Finding(name, True, await check())
    except GatewayError as error:
        return Finding(name, False, error.sentence)
    except TimeoutError:
        return Finding(
            name, False, f"It did not answer within {CHECK_SECONDS:.0f} seconds. Check its load and its log."
        )
    except Exception as error:  # noqa: BLE001  an unforeseen failure of one check must not stop the others
        return Finding(name, False, f"The check failed: {type(error).__name__}: {error}.")


async def _examine(engine: AbstractAsyncContextManager[ObjectStore | LogStore | LogTransport]) -> str:
    async with engine as opened:
        return await opened.examine()


async def _no_key() -> bytes:
    raise Unavailable("An examination signs nothing.")


async def _no_deployment(_: uuid.UUID) -> bool:
    return False


def check_access(config: Config) -> Finding:
    if config.is_loopback_only:
        return Finding("access", True, "the API listens on this machine only and needs no account.")
    site = urlsplit(config.sites.url.replace("{slug}.", "")).hostname or ""
    shared = [name for name in config.api.own_names if _registrable(name) == _registrable(site)]
    if shared:
        sentence = (
            f"the pages ({shared[0]}) and the sites ({config.sites.url}) share a domain: a site's code is close to your"
            " session. Give sites a registrable domain of their own in sites.url."
        )
        return Finding("access", True, sentence, is_warning=True)
    return Finding("access", True, "the API listens beyond this machine and requires the token.")


def check_links(config: Config) -> Finding:
    try:
        return Finding("links", True, f"links that are sent out begin with {Addresses('', config.api.url).link('/')}.")
    except ConfigError as error:
        return Finding("links", True, error.sentence, is_warning=True)


def check_builders_url(config: Config) -> Finding:
    host = urlsplit(config.builders_url).hostname or ""
    if opening.are_builders_on_other_machines(config) and (host == "localhost" or is_loopback_address(host)):
        sentence = (
            f"{config.builders_url} is an address of this machine only, and ECS tasks run on others: set builders.url"
            " to an address inside the VPC, and builders.host to one that listens there."
        )
        return Finding("builders' API", True, sentence, is_warning=True)
    return Finding("builders' API", True, f"builders call {config.builders_url}.")


def _registrable(name: str) -> str:
    """The last two labels. Right for most domains; that is enough for a warning."""
    return name if is_loopback_address(name) else ".".join(name.lower().split(".")[-2:])


def _database_advice(config: Config) -> str:
    folder = embedded_folder(config)
    return f" Its log is {folder / 'log'}." if folder is not None else ""


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it is in use by now, or could not be created
        folder.rmdir()
