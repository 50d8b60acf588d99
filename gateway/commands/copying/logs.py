"""`buildspace copy logs`: copies build logs from one log store into another, deployment by deployment."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from builder.protocol.lines import Line, LineBatch
from gateway.commands.copying.progress import Progress
from gateway.config import Config
from gateway.config.resources import migrations_folder
from gateway.engines import opening
from gateway.engines.databases import reach_database
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.errors import ConfigError
from gateway.models.deployment import Deployment
from gateway.models.log import LogLine, LogPosition
from gateway.roles import LogStore
from gateway.stores.deployments import DeploymentStore

PAGE_LINES = 5000
BATCH_LINES = 500
DEPLOYMENTS_AT_ONCE = 200
_FIRST = uuid.UUID(int=0)


async def copy_logs(old: Config, new: Config, say: Callable[[str], None]) -> None:
    """Copy every line of the deployments that the new database has. Running it again is harmless.

    Raises ConfigError if the lines move with the projects, or if the new database has no deployments, and Unavailable.
    """
    if opening.are_logs_in_database(old) and opening.are_logs_in_database(new):
        raise ConfigError("Both configurations keep logs in PostgreSQL: `buildspace copy projects` copies them.")
    if opening.log_store_of(old) == opening.log_store_of(new):
        raise ConfigError("Both configurations use the same log store: there is nothing to copy.")
    async with reach_database(old) as source_database, reach_database(new) as target_database:
        await migrate(target_database, migrations_folder())
        deployments = DeploymentStore(target_database)
        if not await deployments.page(_FIRST, 1):
            raise ConfigError(
                "The new database has no deployments yet, so there are no logs to copy. Run"
                " `buildspace copy projects` first, then copy the logs."
            )
        async with (
            opening.open_logs(old, source_database) as source,
            opening.open_logs(new, target_database) as target,
        ):
            progress, lacking = Progress("logs", say), 0
            async for deployment in _every_deployment(deployments):
                has_lines = await _copy_log(deployment, source, target, progress)
                lacking += bool(deployment.last_seq) and not has_lines
    say(f"{progress}.")
    if not progress.copied:
        say("The old store has no line of any deployment in the new database. Copy the projects first.")
    elif lacking:
        say(
            f"Of {lacking} logs the old store has no line: they are older than retention.log_days, or the file after"
            " --from does not name the store that was in use until now."
        )


async def _every_deployment(deployments: DeploymentStore) -> AsyncIterator[Deployment]:
    last = _FIRST
    while page := await deployments.page(last, DEPLOYMENTS_AT_ONCE):
        for deployment in page:
            yield deployment
        last = page[-1].id


async def _copy_log(deployment: Deployment, source: LogStore, target: LogStore, progress: Progress) -> bool:
    """True if the log has lines."""
    position, size = LogPosition(), 0
    while lines := await source.read(deployment.id, position, PAGE_LINES):
        await target.append([_batch(deployment, run) for run in _runs(lines)])
        size += sum(len(line.text) for line in lines)
        position = LogPosition(lines[-1].attempt, lines[-1].seq)
    if position == LogPosition():
        return False
    progress.add(size)
    return True


def _runs(lines: Iterable[LogLine]) -> Iterator[list[LogLine]]:
    """Lines of one attempt without a gap between them, at most a batch's worth."""
    numbered = enumerate(lines)
    for _, group in itertools.groupby(numbered, lambda pair: (pair[1].attempt, pair[1].seq - pair[0])):
        run = [line for _, line in group]
        for start in range(0, len(run), BATCH_LINES):
            yield run[start : start + BATCH_LINES]


def _batch(deployment: Deployment, run: list[LogLine]) -> LineBatch:
    lines = tuple(Line(line.timestamp, line.stream, line.step, line.text) for line in run)
    return LineBatch(deployment.project_slug, deployment.id, run[0].attempt, run[0].seq, lines)
