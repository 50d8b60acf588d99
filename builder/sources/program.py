"""Runs git: argument lists, one protocol, limits, and nothing of the machine's configuration."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import resource
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePath

from builder.errors import BuildFailed, Lost
from builder.failures import Tail, plain_code
from builder.logs import LineSender
from builder.protocol.steps import Stream
from builder.run import empty_pipes, read_lines, watched_limits
from builder.sandbox import Limits
from builder.sandbox.inside.plan import Plan
from builder.sandbox.supervised import SupervisedSandbox

GIT_SECONDS = 600.0
SLOW_BYTES_PER_SECOND = 512
SLOW_SECONDS = 60
READ_BYTES = 64 * 1024
"""The subject of a commit may be gigabytes long."""
OUT_OF_TIME = 124
OWN_CODES = (128, 129)
"""With these git itself fails; with others from 124 on it was ended."""
PASSED_ON = ("PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """How a git ended: its exit code as in a shell, and its last lines."""

    code: int
    tail: str


class GitFailed(Exception):
    """A git that was asked for something ended with another exit code than 0."""

    def __init__(self, done: Done) -> None:
        super().__init__(done.tail)
        self.done = done


class Git:
    """`limits` bound each command; the disk limit counts the whole folder that a command is given."""

    def __init__(
        self, private: Path, scheme: str, environ: Mapping[str, str], login: Mapping[str, str], limits: Limits
    ) -> None:
        self._home = private / "git-home"
        self._home.mkdir(parents=True, exist_ok=True)
        self.limits = limits
        self._environment = {name: environ[name] for name in PASSED_ON if name in environ} | {
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": scheme,
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_LFS_SKIP_SMUDGE": "1",
            **login,
        }
        settings = {
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "core.askPass": "",
            "credential.helper": "",
            "protocol.allow": "never",
            f"protocol.{scheme}.allow": "always",
            "protocol.version": "2",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": str(SLOW_BYTES_PER_SECOND),
            "http.lowSpeedTime": str(SLOW_SECONDS),
            "transfer.bundleURI": "false",
            "fetch.writeCommitGraph": "false",
            "fetch.recurseSubmodules": "false",
            "advice.detachedHead": "false",
            "gc.auto": "0",
            "maintenance.auto": "false",
        }
        self._settings = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    async def run(
        self,
        arguments: Sequence[str],
        log: LineSender,
        folder: Path,
        *,
        seconds: float = GIT_SECONDS,
        disk_bytes: int | None = None,
    ) -> Done:
        """All output goes into the log. Raises BuildFailed if it takes too long, or too much memory or disk."""
        limits = dataclasses.replace(
            self.limits, disk_bytes=self.limits.disk_bytes if disk_bytes is None else disk_bytes
        )
        tail = Tail(log.masker)

        async def keep(stream: Stream, text: str) -> None:
            tail.add(text)
            await log.write(stream, text.rstrip())

        try:
            async with self._started(arguments, folder, limits) as (process, supervised):
                assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - pipes
                async with asyncio.timeout(seconds), watched_limits(supervised, folder, limits):
                    # Git prints its progress on stderr: it counts as an error only if the exit code does.
                    await read_lines(process.stderr, Stream.STDOUT, keep, log.masker)
                    await read_lines(process.stdout, Stream.STDOUT, keep, log.masker)
                    return Done(plain_code(await process.wait()), tail.text())
        except TimeoutError as error:
            raise BuildFailed(f"The clone took longer than {seconds:.0f} s.") from error

    async def ask(self, arguments: Sequence[str], most_bytes: int) -> str:
        """The first `most_bytes` of what git prints about a server. Raises GitFailed; Lost if git was ended."""
        async with self._started(arguments, self._home, self.limits) as (process, _):
            return await _output(process, most_bytes)

    async def read(self, arguments: Sequence[str], most_bytes: int = READ_BYTES) -> str:
        """As `ask`, about a repository on this machine: quicker, because such a git ends soon by itself."""
        process = await asyncio.create_subprocess_exec(
            *self._command(arguments),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            with contextlib.suppress(ProcessLookupError):
                most = self.limits.memory_bytes
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (most, most))
            return await _output(process, most_bytes)
        finally:
            if process.returncode is None:
                # Not `process.kill()`, which reaps a process that has just ended before the loop notices.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            await empty_pipes(process)
            await process.wait()

    def _command(self, arguments: Sequence[str]) -> list[str]:
        if shutil.which("git", path=self._environment.get("PATH")) is None:
            raise BuildFailed("This machine has no git. The operator must install it.")
        return ["git", *self._settings, *arguments]

    @contextlib.asynccontextmanager
    async def _started(
        self, arguments: Sequence[str], folder: Path, limits: Limits
    ) -> AsyncIterator[tuple[asyncio.subprocess.Process, SupervisedSandbox]]:
        supervised = _Supervised(folder.parent)
        process = await supervised.start(
            self._command(arguments),
            environment=self._environment,
            directory=PurePath(),
            limits=limits,
        )
        try:
            yield process, supervised
        finally:
            await supervised.kill_all()
            await empty_pipes(process)
            await process.wait()


class _Supervised(SupervisedSandbox):
    """Git is trusted and not confined, but all its processes end with it, and with a builder that is killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ())
        self.account = None

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        plan = super()._plan(argv, environment, directory, limits, read_only)
        return dataclasses.replace(plan, keeps_capabilities=True)


async def _output(process: asyncio.subprocess.Process, most_bytes: int) -> str:
    """The exit code counts unless there is more output than that."""
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - started with pipes
    errors = asyncio.create_task(_first_bytes(process.stderr, READ_BYTES))
    try:
        async with asyncio.timeout(GIT_SECONDS):
            output = await _first_bytes(process.stdout, most_bytes)
            if len(output) < most_bytes:
                _check(plain_code(await process.wait()), (await errors).decode(errors="replace").strip())
    except TimeoutError as error:
        raise Lost(f"git did not answer within {GIT_SECONDS:.0f} s.") from error
    finally:
        errors.cancel()
        await asyncio.gather(errors, return_exceptions=True)
    return output.decode(errors="replace")


async def _first_bytes(reader: asyncio.StreamReader, most: int) -> bytes:
    found = b""
    while len(found) < most and (chunk := await reader.read(most - len(found))):
        found += chunk
    return found


def _check(code: int, errors: str) -> None:
    if code >= OUT_OF_TIME and code not in OWN_CODES:
        # A git that was killed says nothing about the repository.
        raise Lost(f"git ended with exit code {code} before it had answered. {errors[-500:]}".rstrip())
    if code != 0:
        raise GitFailed(Done(code, errors))
