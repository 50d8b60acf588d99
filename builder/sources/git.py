"""Clones a repository: one protocol, pinned addresses; history without file contents; no hooks, prompts or links."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.errors import BuildFailed
from builder.logs import LineSender
from builder.protocol.branches import check_branch
from builder.protocol.calls import DeployKey, GitToken
from builder.protocol.giturls import parse_git_url, parse_ssh_url
from builder.sandbox import Limits
from builder.sources.history import fetch_history
from builder.sources.lfs import LargeFiles
from builder.sources.logins import Logins
from builder.sources.program import GIT_SECONDS
from builder.sources.repository import Opener, Repository
from builder.sources.submodules import Submodules

MESSAGE_LETTERS = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """`branch` is None if a tag or a commit was named. `pointers`: as LargeFiles.missing.

    `moved_to`: the URL to which the server redirects for good.
    """

    sha: str
    message: str
    branch: str | None = None
    pointers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    moved_to: str | None = None


async def clone(
    url_text: str,
    ref: str | None,
    target: Path,
    log: LineSender,
    *,
    private: Path,
    allow_private_hosts: Sequence[str],
    disk_bytes: int,
    memory_bytes: int,
    token: GitToken | None = None,
    key: DeployKey | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Commit:
    """Check out a branch, a tag, a commit or what HEAD names at `target`, which must not exist. Raises BuildFailed."""
    try:
        parse = parse_git_url if key is None else parse_ssh_url
        url = parse(url_text, allow_private_hosts)
        if ref is not None:
            check_branch(ref)
    except ValueError as error:
        raise BuildFailed(str(error)) from error
    await log.say(f"Cloning {url}" + (f", {ref}" if ref else ""))
    limits = Limits(memory_bytes=memory_bytes, disk_bytes=disk_bytes, time_limit_seconds=2 * GIT_SECONDS)
    logins = Logins(url, private, token, key)
    opener = Opener(target, private, log, limits, allow_private_hosts, environ, logins)
    with logins.written():
        repository = await opener.open(url, target)
        wanted = (await repository.read_refs()).choose(ref, url)
        await fetch_history(repository, wanted)
        await repository.check_out(wanted)
        large_files = LargeFiles(opener)
        await Submodules(opener, large_files).complete(repository)
    sha, message = await _read_commit(repository)
    moved_to = str(repository.remote.url) if repository.remote.has_moved else None
    return Commit(sha, message, wanted.branch, large_files.missing, moved_to)


async def _read_commit(repository: Repository) -> tuple[str, str]:
    """Its id and the first line of its message. Called before anything of the repository runs."""
    shown = await repository.read("log", "-1", "--no-show-signature", "--format=%H%n%s")
    sha, _, message = shown.partition("\n")
    return sha.strip(), message.strip()[:MESSAGE_LETTERS]
