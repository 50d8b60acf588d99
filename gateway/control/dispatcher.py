"""The dispatcher: claims deployments in QUEUE and has their builders launched."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable

from builder.protocol.calls import LEASE_SECONDS
from builder.protocol.tokens import make_token
from gateway import config
from gateway.background import wait_until_any
from gateway.errors import Conflict, GatewayError, LaunchRefused, NotFound, Unanswered, Unavailable
from gateway.models.deployment import Deployment
from gateway.roles import Launcher, LaunchOrder
from gateway.stores.attempts import AttemptStore

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LAUNCH_SECONDS = 45.0
CALL_SECONDS = 30.0
ADOPT_SECONDS = 5.0
"""A claimed deployment without a handle is launched again after this long, because its gateway was killed or is slow.

Both cases are harmless: the order is the same, and the launcher finds the builder that it has started.
"""

_Try = tuple[uuid.UUID, int]


class Dispatcher:
    """Several gateways may dispatch from one queue: each claim belongs to one of them."""

    def __init__(
        self,
        attempts: AttemptStore,
        launcher: Launcher,
        install_key: Callable[[], Awaitable[bytes]],
        builders_url: str,
        builder: config.Builder,
        *,
        adopt_seconds: float = ADOPT_SECONDS,
        launch_seconds: float = LAUNCH_SECONDS,
    ) -> None:
        self._attempts = attempts
        self._launcher = launcher
        self._install_key = install_key
        self._builders_url = builders_url
        self._concurrency = builder.concurrency
        self._first_lease_seconds = LEASE_SECONDS + launcher.start_seconds
        self._adopt_seconds = adopt_seconds
        self._launch_seconds = launch_seconds
        self._woken = asyncio.Event()
        self._without_handle: dict[_Try, float] = {}
        self._launches: dict[_Try, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """A deployment is in the queue: claim it now."""
        self._woken.set()

    async def run(self, *, stopping: asyncio.Event, progress: Callable[[], None]) -> None:
        """Work until stopped. A launch that has begun is completed, and the queue does not wait for a slow one."""
        try:
            while not stopping.is_set():
                self._woken.clear()
                await self._look()
                progress()
                await wait_until_any(stopping, self._woken, timeout_seconds=POLL_SECONDS)
            await self._launches_end()
        except asyncio.CancelledError:
            for launch in self._launches.values():
                launch.cancel()
            raise

    async def dispatch(self) -> None:
        """Claim once, and complete the launches that this begins."""
        await self._look()
        await self._launches_end()

    async def _look(self) -> None:
        """Launch deployments that are claimed now, and those that another gateway claimed and did not launch."""
        adopted = await self._adopt()
        claimed: list[Deployment] = []
        free = self._concurrency - await self._attempts.count_building(self._launcher.name)
        if free > 0:
            claimed = await self._attempts.claim(
                self._launcher.name, self._first_lease_seconds, limit=free, concurrency=self._concurrency
            )
        for deployment in adopted:
            self._begin_launch(deployment, may_run=True)
        for deployment in claimed:
            log.info("claimed deployment %s attempt %d", deployment.id, deployment.attempt)
            self._begin_launch(deployment, may_run=False)

    def _begin_launch(self, deployment: Deployment, *, may_run: bool) -> None:
        which = deployment.id, deployment.attempt
        self._launches[which] = asyncio.create_task(self._launch(deployment, may_run=may_run))
        self._launches[which].add_done_callback(lambda _: self._launches.pop(which))

    async def _launches_end(self) -> None:
        while self._launches:
            await asyncio.gather(*self._launches.values())

    async def _adopt(self) -> list[Deployment]:
        now = time.monotonic()
        waiting = {
            (row.id, row.attempt): row
            for row in await self._attempts.building()
            if row.handle is None
            and row.launcher == self._launcher.name
            and (row.id, row.attempt) not in self._launches
        }
        self._without_handle = {key: self._without_handle.get(key, now) for key in waiting}
        return [row for key, row in waiting.items() if now - self._without_handle[key] >= self._adopt_seconds]

    async def _launch(self, deployment: Deployment, *, may_run: bool) -> None:
        """Never raises, because one failed launch must not end the others.

        Once a builder may run, the attempt stays out of the queue, where a gateway that can't find this builder would
        start another one. The same order is repeated until the lease ends.
        """
        try:
            handle = await self._start(deployment)
        except LaunchRefused as error:
            outcome = self._refuse(deployment, error.sentence, final=error.final)
        except GatewayError as error:
            if isinstance(error, Unanswered) or (may_run and isinstance(error, Unavailable)):
                log.warning("launch unanswered deployment %s attempt %d: %s", deployment.id, deployment.attempt, error)
                return
            outcome = self._refuse(deployment, error.sentence)
        except Exception:  # an unforeseen failure of the launcher must not stop the queue
            log.exception("launch failed deployment %s attempt %d", deployment.id, deployment.attempt)
            outcome = self._refuse(deployment, "The launcher failed; the gateway's log says why.")
        else:
            outcome = self._record(deployment, handle)
        await self._quietly(deployment, outcome)

    async def _start(self, deployment: Deployment) -> str:
        key = await self._install_key()
        order = LaunchOrder(
            deployment_id=deployment.id,
            attempt=deployment.attempt,
            project_slug=deployment.project_slug,
            git_url=deployment.source.url,
            token=make_token(key, deployment.id, deployment.attempt),
            builders_url=self._builders_url,
        )
        try:
            async with asyncio.timeout(self._launch_seconds):
                return await self._launcher.launch(order)
        except TimeoutError as error:
            raise Unanswered(f"The launcher did not answer within {self._launch_seconds:.0f} s.") from error

    async def _record(self, deployment: Deployment, handle: str) -> None:
        try:
            await self._attempts.launched(deployment.id, deployment.attempt, handle)
        except Conflict:
            # The attempt ended while it was launched. If this stop fails, `leases` stops the builder later.
            async with asyncio.timeout(CALL_SECONDS):
                await self._launcher.stop(handle, "The deployment ended before its builder had started.")
        else:
            log.info("launched deployment %s attempt %d as %s", deployment.id, deployment.attempt, handle)

    async def _refuse(self, deployment: Deployment, sentence: str, *, final: bool = False) -> None:
        log.warning("launch refused deployment %s final %s: %s", deployment.id, final, sentence)
        await self._attempts.refused(deployment.id, deployment.attempt, sentence, final=final)

    async def _quietly(self, deployment: Deployment, recording: Awaitable[None]) -> None:
        """If this fails, the row is BUILDING without a handle: it is adopted later, or its lease ends it."""
        try:
            await recording
        except (Conflict, NotFound):
            log.info("launch came too late deployment %s attempt %d", deployment.id, deployment.attempt)
        except (Unavailable, TimeoutError) as error:
            log.warning("launch not recorded deployment %s: %s", deployment.id, error)
