"""Decides for each ended log whether it is complete. A job of its own, so that a slow log store delays nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

from gateway.background import Since, repeat
from gateway.errors import Conflict, NotFound, Unavailable
from gateway.models import lifecycle
from gateway.models.deployment import Deployment
from gateway.roles import LogStore
from gateway.stores.deployments import DeploymentStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
CALL_SECONDS = 20.0
LOGS_AT_ONCE = 50
_FIRST = uuid.UUID(int=0)


class LogEnds:
    """Any number of gateways may decide on the same logs: a complete log stays complete."""

    def __init__(
        self,
        deployments: DeploymentStore,
        logs: LogStore,
        *,
        is_transport_behind: Callable[[], bool],
        late_lines_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._deployments = deployments
        self._logs = logs
        self._is_transport_behind = is_transport_behind
        self._late_lines_seconds = late_lines_seconds
        self._clock = clock
        self._since = Since(clock)
        self._after = _FIRST
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A deployment has ended: work now."""
        self._woken.set()

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Work every two seconds, or when woken, until stopped."""
        await repeat(self.look, self._woken, LOOK_SECONDS, stopping=stopping, progress=progress)

    async def look(self) -> None:
        """Decides on some logs in each round, all in turn, so that logs that wait for lines hold up no others.

        Raises Unavailable if the log store or the database does not answer.
        """
        rows = await self._deployments.undecided_logs(self._after, LOGS_AT_ONCE)
        try:
            for row in rows:
                await self._decide(row)
        except (Unavailable, TimeoutError) as error:
            # Without the store nothing is decided, and the quiet time starts again once it answers.
            self._since = Since(self._clock)
            raise Unavailable(str(error) or "The log store does not answer.") from error
        self._after = rows[-1].id if len(rows) == LOGS_AT_ONCE else _FIRST
        if self._after == _FIRST:
            self._since.forget_unasked()

    async def _decide(self, row: Deployment) -> None:
        async with asyncio.timeout(CALL_SECONDS):
            missing = await self._logs.missing(row.id, row.attempt, lifecycle.look_until(row.last_seq))
        if missing and (self._is_transport_behind() or self._is_builder_bringing(row)):
            return  # lines may still be in the transport; the quiet time starts after that
        quiet = self._since.seconds(("log", row.id, row.attempt, tuple(missing)))
        end = lifecycle.decide_log_end(row.last_seq, missing, quiet)
        if end is not None:
            with contextlib.suppress(Conflict, NotFound):
                await self._deployments.set_log_end(row.id, row.attempt, end.complete, end.missing)
                await self._logs.compact(row.id)
            log.info("log ended deployment %s attempt %d complete %s", row.id, row.attempt, end.complete)

    def _is_builder_bringing(self, row: Deployment) -> bool:
        """Whether the builder may still deliver lines. Limited in time, because no gateway may be able to find it."""
        if row.handle is None or not lifecycle.may_bring_lines(row):
            return False
        return self._since.seconds(("late", row.id, row.attempt)) < self._late_lines_seconds
