"""Runs one attempt beside its heartbeats and its log, and reports to the gateway how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable

from builder.api import BuildersApi
from builder.errors import BuildFailed, Ended, Lost
from builder.logs import LineSender
from builder.protocol.calls import HEARTBEAT_SECONDS, LEASE_SECONDS, Exit, Finish

FAREWELL_SECONDS = 3.0
DELIVERY_SECONDS = 10.0
"""How long a build that has ended waits for its last lines before it reports its end, if lines may follow later."""

logger = logging.getLogger(__name__)


async def _save_nothing() -> None:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """`build` does the steps. It is cancelled, and waited for, if the attempt ends early. `save` follows a good end.

    Lines that go through the gateway arrive before the end is reported, because afterwards the gateway accepts none.
    Lines that go through Kafka may follow for `late_lines_seconds`, so that a site goes live, or a failure is shown,
    while Kafka is away. Lines that are not delivered by then are lost; the gateway knows their number and reports which
    ones are missing.
    """

    api: BuildersApi
    log: LineSender
    build: Callable[[], Awaitable[None]]
    save: Callable[[], Awaitable[None]] = _save_nothing
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    lease_seconds: float = LEASE_SECONDS
    late_lines_seconds: float = 0.0

    async def run(self) -> str:
        """How it ended. Raises Ended if the gateway gave the attempt up, or can no longer be reached."""
        sender = asyncio.create_task(self.log.run(), name="log lines")
        tasks = [
            asyncio.create_task(self._conclude(sender), name="build"),
            asyncio.create_task(self._beat(), name="heartbeats"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = next(task.result() for task in tasks if task in done)
            await _end_all(tasks)
            await self._deliver_late(sender)
            if end == Exit.OK:
                await self.save()
            return end
        except asyncio.CancelledError:
            await _end_all(tasks)
            await self._report_stop()
            raise
        finally:
            await _end_all(tasks)
            await _end_all([sender])

    async def _conclude(self, sender: asyncio.Task[None]) -> str:
        end, words = await self._outcome(sender)
        if words:
            await self.log.say(words)
        self.log.close()
        await self._deliver(sender)
        end = dataclasses.replace(end, last_seq=self.log.last_seq)
        await self.api.finish(end)
        return end.exit

    async def _deliver(self, sender: asyncio.Task[None]) -> None:
        if not self.late_lines_seconds:
            await sender
            return
        await asyncio.wait([sender], timeout=min(DELIVERY_SECONDS, self.late_lines_seconds))

    async def _deliver_late(self, sender: asyncio.Task[None]) -> None:
        """The end is already reported. Whatever happens to the last lines does not change it."""
        await asyncio.wait([sender], timeout=self.late_lines_seconds)
        if not sender.done():
            logger.error("log lines given up: they could not be sent for %.0f s", self.late_lines_seconds)
        elif sender.exception() is not None:
            logger.error("log lines given up: %s", sender.exception())

    async def _outcome(self, sender: asyncio.Task[None]) -> tuple[Finish, str]:
        """How the build ended, and what the log says about it. Lines that are in the log already are not repeated."""
        build = asyncio.ensure_future(self.build())
        try:
            await asyncio.wait({build, sender}, return_when=asyncio.FIRST_COMPLETED)
            if not build.done():
                # Lines can't be sent any more; this raises the reason.
                await sender
            await build
        except BuildFailed as error:
            return self._failed(error), error.sentence
        except Lost as error:
            return Finish(Exit.LOST, 0, reason=error.reason, step=self.log.step), error.reason
        except Ended:
            raise
        except Exception as error:  # An unforeseen error must still end the deployment with a reason.
            logger.exception("the builder failed")
            reason = f"The builder itself failed in step {self.log.step} ({type(error).__name__})."
            return Finish(Exit.LOST, 0, reason=reason, step=self.log.step), reason
        finally:
            await _end_all([build])
        return Finish(Exit.OK, 0), ""

    def _failed(self, error: BuildFailed) -> Finish:
        return Finish(
            Exit.FAILED,
            0,
            reason=error.reason,
            step=self.log.step,
            exit_code=error.exit_code,
            failure=error.failure,
        )

    async def _beat(self) -> str:
        """Never returns. Raises Ended when the attempt is over."""
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        while True:
            began = loop.time()
            try:
                await self.api.heartbeat()
                answered_at = began
            except (Lost, BuildFailed) as error:
                if loop.time() - answered_at >= self.lease_seconds:
                    raise Ended(f"No heartbeat was answered for {self.lease_seconds:.0f} s.") from error
            await asyncio.sleep(max(0.0, began + self.heartbeat_seconds - loop.time()))

    async def _report_stop(self) -> None:
        """A signal stops this builder: report it, so that the gateway need not wait for the end of the lease."""
        finish = Finish(Exit.LOST, self.log.last_seq, reason="The builder was stopped by a signal.", step=self.log.step)
        with contextlib.suppress(Ended, Lost, BuildFailed, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self.api.finish(finish)


async def _end_all(tasks: list[asyncio.Task[str]] | list[asyncio.Task[None]] | list[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
