"""Clones a repository: one protocol, pinned addresses; history without file contents; no hooks, prompts or links."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.errors import BuildFailed
from builder.logs import LineSender
from builder.protocol.branches import check_branch, is_commit
from builder.protocol.giturls import parse_git_url
from builder.sandbox import Limits
from builder.sources.program import GIT_SECONDS, Done, Git
from builder.sources.refs import BRANCHES, TAGS, Wanted
from builder.sources.remote import find_remote
from builder.sources.repository import Repository

HISTORY_COMMITS = 10_000
"""In a row. Without file contents they are small."""
HISTORY_SECONDS = 60.0
HISTORY_DISK = 1 / 4
"""Of the build's disk."""
HISTORY = (f"--depth={HISTORY_COMMITS}", "--filter=blob:none")
NEWEST = ("--depth=1", "--no-tags")
EVERYTHING = (f"+{BRANCHES}*:refs/remotes/origin/*", f"+{TAGS}*:{TAGS}*")
MESSAGE_LETTERS = 500
ONLY_NEWEST = "only the newest commit is there, so dates and tags of older ones are missing."


@dataclasses.dataclass(frozen=True, slots=True)
class Commit:
    """`branch` is None if a tag or a commit was named."""

    sha: str
    message: str
    branch: str | None = None


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
    environ: Mapping[str, str] = os.environ,
) -> Commit:
    """Check out a branch, a tag, a commit or what HEAD names at `target`, which must not exist. Raises BuildFailed."""
    try:
        url = parse_git_url(url_text, allow_private_hosts)
        if ref is not None:
            check_branch(ref)
    except ValueError as error:
        raise BuildFailed(str(error)) from error
    await log.say(f"Cloning {url}" + (f", {ref}" if ref else ""))
    remote = await find_remote(url, allow_private_hosts, environ)
    if remote.url != url:
        await log.say(f"The server redirects to {remote.url}")
    limits = Limits(memory_bytes=memory_bytes, disk_bytes=disk_bytes, time_limit_seconds=2 * GIT_SECONDS)
    repository = Repository(Git(private, remote.url.scheme, environ, limits), remote, target, log)
    wanted = (await repository.read_refs()).choose(ref, url)
    await _fetch(repository, wanted)
    branch = ["-B", wanted.branch] if wanted.branch else ["--detach"]
    await repository.check_out([*branch, f"{wanted.target}^{{commit}}" if not wanted.branch else wanted.target])
    return await _read_commit(repository, wanted.branch)


async def _fetch(repository: Repository, wanted: Wanted) -> None:
    """With history where that is possible, because builds read dates and tags; with the newest commit otherwise."""
    if not repository.remote.can_filter:
        await repository.log.say(f"The server can't send history without file contents: {ONLY_NEWEST}")
    elif await _fetch_history(repository, wanted):
        return
    await repository.create(wanted.sha)
    done = await repository.fetch([wanted.refspec], NEWEST)
    if done.code != 0 and is_commit(wanted.source):
        done = await _fetch_everything(repository, wanted, done)
    if done.code != 0:
        raise repository.failed(done)


async def _fetch_history(repository: Repository, wanted: Wanted) -> bool:
    await repository.create(wanted.sha)
    try:
        done = await repository.fetch(
            [wanted.refspec],
            HISTORY,
            seconds=HISTORY_SECONDS,
            disk_bytes=int(repository.git.limits.disk_bytes * HISTORY_DISK),
        )
        trouble = f"The history was not sent (exit code {done.code})" if done.code else None
    except BuildFailed as error:
        trouble = f"The history is too large. {error.reason}"
    if trouble is None:
        await _say_where_history_ends(repository)
        return True
    await repository.log.say(f"{trouble.removesuffix('.')}: {ONLY_NEWEST}")
    await asyncio.to_thread(shutil.rmtree, repository.folder)
    return False


async def _say_where_history_ends(repository: Repository) -> None:
    if repository.is_shallow:
        await repository.log.say(
            f"Of the history, the newest {HISTORY_COMMITS} commits are there: dates and tags of older ones are missing."
        )


async def _fetch_everything(repository: Repository, wanted: Wanted, refused: Done) -> Done:
    """For servers that send a commit only as a part of a branch or tag."""
    if "not our ref" in refused.tail:
        raise _no_commit(repository, wanted)
    options = HISTORY if repository.remote.can_filter else (f"--depth={HISTORY_COMMITS}",)
    done = await repository.fetch(EVERYTHING, options)
    if done.code != 0:
        return done
    try:
        await repository.read("update-ref", wanted.target, wanted.sha)
    except BuildFailed as error:
        raise _no_commit(repository, wanted) from error
    return done


def _no_commit(repository: Repository, wanted: Wanted) -> BuildFailed:
    return BuildFailed(
        f"There is no commit {wanted.sha} in {repository.remote.url}. A forced push may have removed it."
        " Deploy a branch, or a commit that is there."
    )


async def _read_commit(repository: Repository, branch: str | None) -> Commit:
    """Called before anything of the repository runs."""
    shown = await repository.read("log", "-1", "--no-show-signature", "--format=%H%n%s")
    sha, _, message = shown.partition("\n")
    return Commit(sha.strip(), message.strip()[:MESSAGE_LETTERS], branch)
