"""Ends lost and overdue builds, and stops the builders of attempts that have ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from builder.protocol.calls import LEASE_SECONDS, SAVE_SECONDS
from gateway.background import Since, each_of, repeat
from gateway.errors import Conflict, Unavailable
from gateway.models import lifecycle
from gateway.models.attempt import EndedBuilder
from gateway.models.deployment import Deployment
from gateway.roles import BuilderState, Launcher
from gateway.stores.attempts import AttemptStore

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
CALL_SECONDS = 20.0
GONE_SECONDS = 3.0
"""A builder is lost if two checks this far apart find it gone: its last call may arrive in between."""
LEAVE_SECONDS = 5.0
"""A builder that has reported its end gets this long to exit by itself."""
BLIND_SECONDS = 15.0
"""After a gap this long, an expired lease may only mean that heartbeats were not recorded."""
STOPS_AT_ONCE = 20
NO_ANSWER = "The launcher does not answer."
NO_WORDS = "The builder ended without finishing: it was killed, or its machine went away."


Answer = TypeVar("Answer")
_Try = tuple[uuid.UUID, int]


class Leases:
    """Any number of gateways may work on the same rows: every change is fenced, and stopping twice is harmless."""

    def __init__(
        self,
        attempts: AttemptStore,
        launcher: Launcher,
        attempts_limit: int,
        *,
        time_limit_seconds: float,
        late_lines_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._attempts = attempts
        self._launcher = launcher
        self._attempts_limit = attempts_limit
        self._time_limit_seconds = time_limit_seconds
        self._late_lines_seconds = late_lines_seconds
        self._clock = clock
        self._looked_at = float("-inf")
        self._reap_after = float("inf")
        self._since = Since(clock)
        self._troubles: list[str] = []
        self._is_launcher_silent = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A deployment has ended: work now, so that its builder is stopped."""
        self._woken.set()

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Work every two seconds, or when woken, until stopped."""
        await repeat(self.look, self._woken, LOOK_SECONDS, stopping=stopping, progress=progress)

    async def look(self) -> None:
        """Work through everything once. Raises Unavailable: at once for the database, at the end for other engines."""
        self._wait_after_gap()
        self._troubles.clear()
        self._is_launcher_silent = False
        # First the work without the launcher, because a silent launcher takes until its time limit.
        urgent = await self._fail_overdue() | await self._reap_expired()
        ours = {
            row.handle: row
            for row in await self._attempts.building()
            if row.handle is not None and row.launcher == self._launcher.name
        }
        ended = await self._attempts.builders_to_stop(self._launcher.name)
        states = await self._find([*ours, *(builder.handle for builder in ended)])
        for handle, row in ours.items():
            await self._lose_if_gone(row, handle, states.get(handle))

        async def stop(builder: EndedBuilder) -> None:
            is_urgent = (builder.deployment_id, builder.attempt) in urgent
            await self._stop_ended(builder, states.get(builder.handle), is_urgent=is_urgent)

        await each_of(ended, stop, at_once=STOPS_AT_ONCE)
        self._since.forget_unasked()
        self._looked_at = self._clock()
        if self._troubles:
            raise Unavailable(self._troubles[0])

    def _wait_after_gap(self) -> None:
        """After a gap this long, an expired lease may only mean that heartbeats were not recorded: wait one lease."""
        if self._clock() - self._looked_at > BLIND_SECONDS:
            self._reap_after = self._clock() + LEASE_SECONDS

    async def _lose_if_gone(self, row: Deployment, handle: str, state: BuilderState | None) -> None:
        if state is BuilderState.GONE and self._since.seconds(("gone", row.id, handle)) >= GONE_SECONDS:
            await self._lose(row, await self._last_words(handle))

    async def _fail_overdue(self) -> set[_Try]:
        """Fails builds that exceed their time.

        It happens before their builders are stopped, because a builder that is stopped first reports a lost attempt.
        """
        reason = lifecycle.time_limit_sentence(self._time_limit_seconds)
        overdue = await self._attempts.overdue(lifecycle.bound_seconds(self._time_limit_seconds))
        for row in overdue:
            step = row.steps[-1].name if row.steps else None
            with contextlib.suppress(Conflict):
                await self._attempts.fail(row.id, row.attempt, reason, step, None, None)
                log.warning("failed deployment %s attempt %d: %s", row.id, row.attempt, reason)
        return {(row.id, row.attempt) for row in overdue}

    async def _reap_expired(self) -> set[_Try]:
        """Ends attempts whose lease is over, before their builders are stopped."""
        if self._clock() < self._reap_after:
            return set()
        expired = await self._attempts.expired()
        for row in expired:
            await self._lose(row, f"The builder sent no heartbeat for {LEASE_SECONDS:.0f} seconds.")
        return {(row.id, row.attempt) for row in expired}

    async def _lose(self, row: Deployment, reason: str) -> None:
        with contextlib.suppress(Conflict):  # it ended meanwhile
            status = await self._attempts.lost(row.id, row.attempt, reason, self._attempts_limit)
            log.warning("builder lost deployment %s attempt %d, now %s: %s", row.id, row.attempt, status, reason)

    async def _stop_ended(self, builder: EndedBuilder, state: BuilderState | None, *, is_urgent: bool) -> None:
        """Stops canceled and urgent builders now, others if they do not exit by themselves.

        A builder that cannot be stopped ends itself, because the token of its attempt is no longer valid.
        """
        late = self._late_lines_seconds if builder.may_bring_lines else 0.0
        late = max(late, SAVE_SECONDS if builder.may_save else 0.0)
        overstayed = self._since.seconds(("ended", builder.handle)) >= LEAVE_SECONDS + late
        if state is None or not (state is BuilderState.GONE or overstayed or builder.is_canceled or is_urgent):
            return

        async def stop() -> bool:
            await self._launcher.stop(builder.handle, builder.reason)
            return True

        # Also for a builder that is gone, because its launcher removes what it has left.
        if await self._ask(stop):
            await self._attempts.builder_gone(builder)
            log.info("builder gone deployment %s attempt %d", builder.deployment_id, builder.attempt)

    async def _find(self, handles: list[str]) -> dict[str, BuilderState]:
        """The states of the builders, without those that the launcher does not know."""
        if not handles:
            return {}
        states = await self._ask(lambda: self._launcher.find(handles))
        if states is None:
            return {}
        unsaid = [handle for handle in handles if handle not in states]
        self._troubles += [f"The launcher does not know the state of the builder {handle}." for handle in unsaid]
        return states

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """None if the launcher does not answer. It is then not called again in this round."""
        if self._is_launcher_silent:
            return None
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await question()
        except TimeoutError:
            self._is_launcher_silent = True
            self._troubles.append(NO_ANSWER)
        except Unavailable as error:
            self._troubles.append(error.sentence)
        except Exception:  # a failure with one builder must not hold up the others; its lease still ends it
            log.exception("the launcher failed")
            self._troubles.append("The launcher failed; the gateway's log says why.")
        return None

    async def _last_words(self, handle: str) -> str:
        """The reason why the builder is gone, as far as its launcher knows it."""
        words = ""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                words = await self._launcher.last_words(handle)
        except Exception:  # the attempt must end even if its explanation fails
            log.exception("last words unreadable %s", handle)
        return f"The builder ended without finishing. Its last output: {words}" if words else NO_WORDS
