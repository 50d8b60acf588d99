"""Fetches a commit: with the history that builds read dates and versions from, or alone."""

from __future__ import annotations

import asyncio
import shutil

from builder.errors import BuildFailed
from builder.protocol.branches import is_commit
from builder.sources.program import Done
from builder.sources.refs import BRANCHES, TAGS, Wanted
from builder.sources.repository import Repository

HISTORY_COMMITS = 10_000
"""In a row. Without file contents they are small."""
HISTORY_SECONDS = 60.0
HISTORY_DISK = 1 / 4
"""Of the build's disk."""
HISTORY = (f"--depth={HISTORY_COMMITS}", "--filter=blob:none")
NEWEST = ("--depth=1", "--no-tags")
EVERYTHING = (f"+{BRANCHES}*:refs/remotes/origin/*", f"+{TAGS}*:{TAGS}*")
ONLY_NEWEST = "only the newest commit is there, so dates and tags of older ones are missing."


async def fetch_history(repository: Repository, wanted: Wanted) -> None:
    """With history where that is possible, because builds read dates and tags; with the newest commit otherwise."""
    if not repository.remote.can_filter:
        await repository.log.say(f"The server can't send history without file contents: {ONLY_NEWEST}")
    elif await _try_history(repository, wanted):
        return
    await fetch_commit(repository, wanted)


async def fetch_commit(repository: Repository, wanted: Wanted) -> None:
    """Without its history. Raises BuildFailed."""
    await repository.create(wanted.sha)
    done = await repository.fetch([wanted.refspec], NEWEST)
    if done.code != 0 and is_commit(wanted.source):
        done = await _fetch_everything(repository, wanted, done)
    if done.code != 0:
        raise repository.failed(done)


async def _try_history(repository: Repository, wanted: Wanted) -> bool:
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
