"""A PostgreSQL of our own: a child process on a Unix socket in the data directory, restarted when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import asyncpg

from gateway.background import wait_until
from gateway.engines.postgres.postgres_files import (
    Owner,
    check_major,
    clear_stale,
    find_binaries,
    give_to,
    is_postmaster,
    is_reachable,
    maker_for,
    mark_of,
    owner_of,
    reachable_copy,
    remove_copy,
)
from gateway.errors import ConfigError, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

USER = "buildspace"
DATABASE = "postgres"
INITDB_SECONDS = 120.0
READY_SECONDS = 15.0
"""Recovery after a crash may take longer. The gateway then starts without it and uses it once it answers."""
STOP_SECONDS = 20.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02
WATCH_SECONDS = 0.5
LOG_BYTES = 10 * 1024 * 1024
MAX_SOCKET_FOLDER = 90
"""The kernel allows 107 bytes, including `/.s.PGSQL.5432`."""
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "log_checkpoints": "off",
}
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedPostgres:
    """Everything lives in `data_directory/postgres`. Use it only while holding `lock_data_directory`.

    When the gateway runs as root, PostgreSQL gets an account of its own and reaches its folders through inherited
    descriptors, so the folders above stay closed to that account.
    """

    def __init__(self, data_directory: Path, bin_dir: str = "", settings: Mapping[str, str] | None = None) -> None:
        self._home = data_directory.absolute() / "postgres"
        self._cluster = self._home / "data"
        self._sockets = self._home / "socket"
        self._log = self._home / "log"
        self._copy_note = self._home / "copy"
        self._bin_dir = bin_dir
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: Path | None = None
        self._socket_folder: int | None = None
        self._is_stopped = False
        self._log_start = 0
        self.url = "" if _is_too_long(self._sockets) else _url_of(str(self._sockets))

    async def start(self) -> str:
        """Start the server, create its cluster if there is none, and wait until it answers. Returns its URL.

        Raises ConfigError for what only a person can fix, and Unavailable for what `watch` may still repair; `url` is
        set by then.
        """
        self._is_stopped = False
        owner = await _in_our_words(self._prepare)
        if not self._cluster.exists():
            await self._make_cluster(owner)
        await self._stop_leftover()
        self._launch(owner)
        await self._wait_until_ready()
        return self.url

    async def stop(self) -> None:
        """Stop cleanly: committed data stays, clients are disconnected. Harmless when nothing runs."""
        self._is_stopped = True
        if self._process is not None:
            await _end(self._process.pid, self._process_ended)
            self._process = None
        if self._socket_folder is not None:
            os.close(self._socket_folder)
            self._socket_folder = None
        self._programs = None
        await asyncio.to_thread(remove_copy, self._copy_note)

    async def watch(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Start the server again each time it dies. A job body: errors are raised, and the job runs again."""
        while not stopping.is_set():
            if self._process_ended() and not self._is_stopped:
                log.error("postgres ended unexpectedly; restarting it")
                await self.start()
            progress()
            await wait_until(stopping, WATCH_SECONDS)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _process_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _prepare(self) -> Owner:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_unfinished()
        owner = owner_of(self._cluster)
        binaries = find_binaries(self._bin_dir)
        if self._cluster.exists():
            check_major(self._cluster, binaries)
            give_to(owner, self._cluster)
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        give_to(owner, self._sockets)
        self._find_url()
        if self._programs is None:
            remove_copy(self._copy_note)
            reachable = is_reachable(binaries / "postgres", owner)
            self._programs = binaries if reachable else self._copy(binaries, owner)
        return owner

    def _copy(self, binaries: Path, owner: Owner) -> Path:
        if self._bin_dir:
            raise ConfigError(
                f"PostgreSQL does not run as root, and user {owner.uid} cannot reach postgres.bin_dir {binaries}:"
                " choose a folder that every user can read, or start Buildspace as an ordinary user."
            )
        return reachable_copy(binaries, self._copy_note)

    def _remove_unfinished(self) -> None:
        for left in self._home.glob("new-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _find_url(self) -> None:
        if _is_too_long(self._sockets) and self._socket_folder is None:
            # Too long for a socket's address: the path goes through our descriptor of the folder.
            self._socket_folder = os.open(self._sockets, os.O_RDONLY | os.O_DIRECTORY)
            self.url = _url_of(f"/proc/self/fd/{self._socket_folder}")

    async def _make_cluster(self, owner: Owner) -> None:
        """All or nothing: created under another name, then renamed."""
        fresh = self._home / f"new-{secrets.token_hex(8)}"
        maker = maker_for(owner)
        await _in_our_words(functools.partial(fresh.mkdir, mode=0o700))
        give_to(maker, fresh)
        process = self._spawn(
            maker,
            "initdb",
            [fresh],
            lambda paths: [
                *("-D", paths[0]),
                *("--username", USER, "--auth-local", "trust", "--auth-host", "reject"),
                *("--encoding", "UTF8", "--locale", "C", "--no-instructions"),
            ],
        )
        try:
            ended = await _comes_true(lambda: process.poll() is not None, INITDB_SECONDS)
        finally:
            process.kill()
            process.wait()
        if not ended:
            raise Unavailable(f"PostgreSQL's initdb did not finish within {INITDB_SECONDS:.0f} seconds.")
        if process.returncode != 0:
            self._remove_unfinished()
            raise Unavailable(self._what_went_wrong("PostgreSQL's initdb failed"))
        await _in_our_words(functools.partial(give_to, owner, fresh))
        await _in_our_words(functools.partial(_rename_durably, fresh, self._cluster))

    async def _stop_leftover(self) -> None:
        pid = await asyncio.to_thread(clear_stale, self._cluster, self._sockets)
        if pid is None:
            return
        log.warning("stopping the postgres of a gateway that was killed: pid %s", pid)
        await _end(pid, lambda: not is_postmaster(pid, self._cluster))
        await asyncio.to_thread(clear_stale, self._cluster, self._sockets)

    def _launch(self, owner: Owner) -> None:
        name, _, value = mark_of(self._cluster).partition("=")
        settings = {**self._settings, name: value}
        self._process = self._spawn(
            owner,
            "postgres",
            [self._cluster, self._sockets],
            lambda paths: [
                *("-D", paths[0], "-k", paths[1]),
                *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
            ],
        )

    def _spawn(
        self, owner: Owner, program: str, folders: list[Path], arguments: Callable[[list[str]], list[str]]
    ) -> subprocess.Popen[bytes]:
        """A child in a session of its own, so that Ctrl-C in the terminal reaches the gateway alone."""
        assert self._programs is not None  # noqa: S101 - _prepare found them
        with contextlib.ExitStack() as stack:
            try:
                descriptors = [_opened(stack, folder) for folder in folders]
                by_descriptor = owner.is_other or self._socket_folder is not None
                paths = [f"/proc/self/fd/{each}" for each in descriptors] if by_descriptor else list(map(str, folders))
                output = stack.enter_context(self._open_log())
                return subprocess.Popen(
                    [self._programs / program, *arguments(paths)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=ENVIRONMENT,
                    cwd="/",
                    start_new_session=True,
                    pass_fds=descriptors if by_descriptor else (),
                    umask=0o077,
                    **_as_user(owner),
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise _start_error(error, owner) from error

    async def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self._process_ended():
                raise Unavailable(self._what_went_wrong("PostgreSQL did not start"))
            if await _answers(self.url):
                return
            await asyncio.sleep(POLL_SECONDS)
        raise Unavailable("PostgreSQL is still recovering from its last stop.")

    def _open_log(self) -> BinaryIO:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self._log.with_suffix(".1"))
        file = self._log.open("ab")
        self._log_start = file.tell()
        return file

    def _what_went_wrong(self, what: str) -> str:
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read(64 * 1024).decode(errors="replace").splitlines()
        if any("No space left on device" in line for line in lines):
            return f"{what}: the disk of {self._home} is full."
        telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "error:"))]
        return f"{what}: {(telling or lines or ['it said nothing'])[-1].strip()[:500]} (more in {self._log})"


async def _in_our_words(function: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(function)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable("The disk of the data directory is full: PostgreSQL cannot start.") from error
        where = f" {error.filename}" if error.filename else ""
        raise ConfigError(f"The data directory cannot be used: {error.strerror}{where}.") from error


def _is_too_long(folder: Path) -> bool:
    return len(os.fsencode(folder)) > MAX_SOCKET_FOLDER


def _url_of(socket_folder: str) -> str:
    return f"postgresql://{USER}@/{DATABASE}?host={urllib.parse.quote(socket_folder)}"


def _opened(stack: contextlib.ExitStack, folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, descriptor)
    return descriptor


def _as_user(owner: Owner) -> dict[str, Any]:
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner.is_other else {}


def _start_error(error: Exception, owner: Owner) -> Exception:
    number = getattr(error, "errno", None)
    if owner.is_other and number in (errno.EPERM, errno.EINVAL):
        return ConfigError(
            f"PostgreSQL must not run as root, and root may not change to user {owner.uid} on this machine:"
            " start Buildspace as an ordinary user, or set postgres.url to a server."
        )
    return Unavailable(f"PostgreSQL could not be started: {getattr(error, 'strerror', None) or error}.")


def _rename_durably(old: Path, new: Path) -> None:
    old.rename(new)
    above = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(above)
    finally:
        os.close(above)


async def _end(pid: int, has_ended: Callable[[], bool]) -> None:
    """Send signals from the gentlest to SIGKILL until it has ended."""
    steps = ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, KILL_SECONDS), (signal.SIGKILL, KILL_SECONDS))
    for request, patience_seconds in steps:
        if not has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, request)
        if await _comes_true(has_ended, patience_seconds):
            return
    raise Unavailable(f"The PostgreSQL process {pid} does not stop.")


async def _comes_true(claim: Callable[[], bool], timeout_seconds: float) -> bool:
    for _ in range(int(timeout_seconds / POLL_SECONDS)):
        if claim():
            return True
        await asyncio.sleep(POLL_SECONDS)
    return claim()


async def _answers(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True
