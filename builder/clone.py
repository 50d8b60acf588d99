"""Clones a repository: argument lists, one protocol, pinned addresses; no submodules, hooks, prompts or redirects."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from builder.errors import BuildFailed
from builder.logs import LineSender
from builder.protocol.branches import check_branch
from builder.protocol.giturls import GitUrl, parse_git_url
from builder.protocol.steps import Stream
from builder.remote import Remote, find_remote
from builder.run import Tail, empty_pipes, find_lack, plain_code, read_lines, watched_limits
from builder.sandbox import Limits
from builder.sandbox.inside.plan import Plan
from builder.sandbox.supervised import SupervisedSandbox

GIT_SECONDS = 600.0
SLOW_BYTES_PER_SECOND = 512
SLOW_SECONDS = 60
READ_BYTES = 64 * 1024
"""The subject of a commit may be gigabytes long."""
MESSAGE_LETTERS = 500
PASSED_ON = ("PATH", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    message: str


async def clone(
    url_text: str,
    branch: str | None,
    target: Path,
    log: LineSender,
    *,
    private: Path,
    allow_private_hosts: Sequence[str],
    disk_bytes: int,
    memory_bytes: int,
    environ: Mapping[str, str] = os.environ,
) -> Commit:
    """Check out the newest commit of the branch at `target`, which must not exist. Raises BuildFailed."""
    try:
        url = parse_git_url(url_text, allow_private_hosts)
        if branch is not None:
            check_branch(branch)
    except ValueError as error:
        raise BuildFailed(str(error)) from error
    await log.say(f"Cloning {url}" + (f", branch {branch}" if branch else ""))
    remote = await find_remote(url, allow_private_hosts, environ)
    if remote.url != url:
        await log.say(f"The server redirects to {remote.url}")
    git = _Git(private, remote.url.scheme, environ, memory_bytes=memory_bytes, disk_bytes=disk_bytes)
    code, tail = await git.run(_clone_arguments(remote, branch, target), log, target)
    if code != 0:
        raise BuildFailed(explain(url, branch, code, tail, git.limits), exit_code=plain_code(code))
    return await _read_commit(git, url, target)


def _clone_arguments(remote: Remote, branch: str | None, target: Path) -> list[str]:
    addresses = ",".join(f"[{address}]" if address.version == 6 else str(address) for address in remote.addresses)
    pinned = f"{remote.url.host}:{remote.url.port}:{addresses}"
    settings = [f"http.curloptResolve={pinned}"] if not _is_literal(remote.url) else []
    return [
        *(part for setting in settings for part in ("-c", setting)),
        "clone",
        "--progress",
        "--depth=1",
        "--single-branch",
        "--no-tags",
        "--no-recurse-submodules",
        "--template=",
        *([f"--branch={branch}"] if branch is not None else []),
        "--",
        str(remote.url),
        target.name,
    ]


def _is_literal(url: GitUrl) -> bool:
    return ":" in url.host or url.host.replace(".", "").isdigit()


class _Git:
    """Runs git without any configuration of the machine."""

    def __init__(
        self, private: Path, scheme: str, environ: Mapping[str, str], *, memory_bytes: int, disk_bytes: int
    ) -> None:
        self._home = private / "git-home"
        self._home.mkdir(parents=True, exist_ok=True)
        self.limits = Limits(memory_bytes=memory_bytes, disk_bytes=disk_bytes, time_limit_seconds=2 * GIT_SECONDS)
        self._environment = {name: environ[name] for name in PASSED_ON if name in environ} | {
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": scheme,
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_LFS_SKIP_SMUDGE": "1",
        }
        settings = {
            "core.hooksPath": os.devnull,
            "core.fsmonitor": "false",
            "core.askPass": "",
            "credential.helper": "",
            "protocol.allow": "never",
            f"protocol.{scheme}.allow": "always",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": str(SLOW_BYTES_PER_SECOND),
            "http.lowSpeedTime": str(SLOW_SECONDS),
            "transfer.bundleURI": "false",
            "fetch.writeCommitGraph": "false",
            "advice.detachedHead": "false",
            "gc.auto": "0",
            "maintenance.auto": "false",
        }
        self._settings = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    async def run(self, arguments: Sequence[str], log: LineSender, folder: Path) -> tuple[int, str]:
        """Returns the exit code and the last lines. All output goes into the log."""
        tail = Tail()

        async def keep(stream: Stream, text: str) -> None:
            tail.add(stream, text)
            await log.write(stream, text.rstrip())

        supervised = _Supervised(folder.parent)
        process = await self._start(arguments, supervised)
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - started with pipes
        try:
            async with asyncio.timeout(GIT_SECONDS), watched_limits(supervised, folder, self.limits):
                # Git prints its progress on stderr: it counts as an error only if the exit code does.
                await read_lines(process.stderr, Stream.STDOUT, keep)
                await read_lines(process.stdout, Stream.STDOUT, keep)
                return await process.wait(), tail.text()
        except TimeoutError as error:
            raise BuildFailed(f"The clone took longer than {GIT_SECONDS:.0f} s.") from error
        finally:
            await supervised.kill_all()
            await empty_pipes(process)
            await process.wait()

    async def read(self, arguments: Sequence[str]) -> str:
        """The first READ_BYTES of git's output. Empty if git fails."""
        supervised = _Supervised(self._home)
        process = await self._start(arguments, supervised)
        assert process.stdout is not None  # noqa: S101 - started with pipes
        output = b""
        try:
            async with asyncio.timeout(GIT_SECONDS):
                while len(output) < READ_BYTES and (chunk := await process.stdout.read(READ_BYTES)):
                    output += chunk
                code = await process.wait() if len(output) < READ_BYTES else 0
        finally:
            await supervised.kill_all()
            await empty_pipes(process)
            await process.wait()
        return output.decode(errors="replace") if code == 0 else ""

    async def _start(self, arguments: Sequence[str], supervised: _Supervised) -> asyncio.subprocess.Process:
        if shutil.which("git", path=self._environment.get("PATH")) is None:
            raise BuildFailed("This machine has no git. The operator must install it.")
        return await supervised.start(
            ["git", *self._settings, *arguments],
            environment=self._environment,
            directory=PurePath(),
            limits=self.limits,
        )


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


async def _read_commit(git: _Git, url: GitUrl, target: Path) -> Commit:
    """Called before anything of the repository runs."""
    shown = await git.read(["-C", str(target), "log", "-1", "--no-show-signature", "--format=%H%n%s"])
    sha, _, message = shown.partition("\n")
    if not sha:
        raise BuildFailed(f"The repository {url} is empty.")
    return Commit(sha.strip(), message.strip()[:MESSAGE_LETTERS])


def explain(url: GitUrl, branch: str | None, code: int, tail: str, limits: Limits) -> str:
    """The reason of a failed clone: a sentence if its last lines are known, otherwise those lines."""
    if "Remote branch" in tail and "not found" in tail:
        return f"There is no branch or tag called {branch!r} in {url}."
    if "Authentication failed" in tail or "could not read Username" in tail:
        return f"{url} is private or does not exist: the server asks for a login. Only public ones are built."
    if "not found" in tail and "repository" in tail:
        return f"There is no git repository at {url}."
    if "No space left on device" in tail or "Out of diskspace" in tail:
        return "The builder's disk is full."
    if "invalid index-pack output" in tail:
        # Its own part was ended by a limit, and git does not say by which.
        disk, memory = limits.disk_bytes // 2**20, limits.memory_bytes // 2**20
        return (
            f"The repository is too large: a build has at most {disk} MiB of disk and {memory} MiB of memory.\n{tail}"
        )
    if lack := find_lack(plain_code(code), tail, limits):
        return f"git clone {lack}\n{tail}"
    return f"git clone failed with exit code {plain_code(code)}.\n{tail}"
