"""Delays the refusals of wrong tokens; the delay grows with each one from an address."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterator

from gateway.errors import TooMany
from gateway.wire.clients import group_of

log = logging.getLogger(__name__)

PROMPT = 3
"""The number of wrong tokens that are refused without delay: people sometimes paste the wrong one."""
FIRST_SECONDS = 0.25
LONGEST_SECONDS = 8.0
FORGET_SECONDS = 600.0
MOST_CLIENTS = 4096
MOST_WAITING = 128
MOST_WAITING_OF_A_CLIENT = 4


@dataclasses.dataclass(slots=True)
class _Tries:
    count: int = 0
    waiting: int = 0
    last_at: float = 0.0


class WrongTokens:
    """Counts wrong tokens by client address; forgets a client that sent none for FORGET_SECONDS.

    A right token is answered at once, whatever came from its address before. So a guesser is slowed down only if it
    waits for refusals; the length of the token is what prevents guessing. The memory for clients and the number of
    waiting requests are limited.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._waiting = 0
        # The client that was heard most recently is last.
        self._clients: collections.OrderedDict[str, _Tries] = collections.OrderedDict()

    async def delay(self, client: str) -> None:
        """Call it before a wrong token is refused. Raises TooMany if too many refusals are already waiting."""
        tries = self._count(client)
        if tries.count <= PROMPT:
            return
        seconds = min(FIRST_SECONDS * 2 ** min(tries.count - PROMPT - 1, 16), LONGEST_SECONDS)
        if tries.waiting >= MOST_WAITING_OF_A_CLIENT or self._waiting >= MOST_WAITING:
            raise TooMany("Too many wrong tokens were sent. Check the token before the next try.", seconds)
        with self._one_more_waits(tries):
            await self._sleep(seconds)

    def _count(self, client: str) -> _Tries:
        group, now = group_of(client), self._now()
        tries = self._clients.setdefault(group, _Tries())
        self._clients.move_to_end(group)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if now - tries.last_at > FORGET_SECONDS:
            tries.count = 0
        tries.count += 1
        tries.last_at = now
        if tries.count == PROMPT + 1:
            log.warning("wrong tokens from %s: refusals are delayed", group)
        return tries

    @contextlib.contextmanager
    def _one_more_waits(self, tries: _Tries) -> Iterator[None]:
        tries.waiting += 1
        self._waiting += 1
        try:
            yield
        finally:
            tries.waiting -= 1
            self._waiting -= 1
