"""Remembers for a few seconds what each host name leads to, and for longer while the database is away."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Protocol

from gateway.errors import NotFound, Unavailable
from gateway.models.addresses import Addresses
from gateway.models.host import Target
from gateway.sites.flights import Flights
from gateway.sites.hosts import SiteNames, is_address
from gateway.sites.lru import LeastRecentlyUsed

UNKNOWN_SECONDS = 1.0
PATIENCE_SECONDS = 1.0
READ_SECONDS = 5.0
RETRY_SECONDS = 0.5
MAX_KNOWN = 50_000
MAX_UNKNOWN = 10_000


class Hosts(Protocol):
    async def find(self, name: str) -> Target:
        """What a label or a whole domain leads to. Raises NotFound, and Unavailable while the database is away."""


@dataclasses.dataclass(slots=True)
class _Known:
    pointer: Target
    read_at: float
    is_fresh: bool


class SitePointers:
    """The database's notices call `forget`. Without them an answer is at most `seconds` old."""

    def __init__(
        self, hosts: Hosts, url_template: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hosts = hosts
        self._names = SiteNames(url_template)
        self._addresses = Addresses(url_template)
        self._seconds = seconds
        self._clock = clock
        self._known: LeastRecentlyUsed[str, _Known] = LeastRecentlyUsed(MAX_KNOWN)
        # In a small table of their own, so that made-up names displace no site.
        self._unknown: LeastRecentlyUsed[str, float] = LeastRecentlyUsed(MAX_UNKNOWN)
        self._flights: Flights[str, Target] = Flights()
        self._forgotten_at = float("-inf")
        self._failed_at: float | None = None

    def label_of(self, host: str) -> str | None:
        """The label in the place of the slug, whether or not such a project exists."""
        return self._names.label_of(host)

    def site_of(self, slug: str) -> str:
        """The address of a project's site."""
        return self._addresses.site(slug)

    async def find(self, host: str, max_age_seconds: float | None = None) -> Target:
        """What `host` (from parse_authority) leads to. Raises NotFound, or Unavailable if it was never known.

        While the database is away, remembered answers stay in use at any age, and no request waits for the database.
        """
        limit = self._seconds if max_age_seconds is None else min(max_age_seconds, self._seconds)
        now = self._clock()
        known = self._known.get(host)
        if known and known.is_fresh and now - known.read_at < limit:
            return known.pointer
        if known is None and now - (self._unknown.get(host) or float("-inf")) < min(limit, UNKNOWN_SECONDS):
            raise NotFound("There is no such site.")
        if known and self._failed_at is not None:
            self._try_again(host, now)
            return known.pointer
        return await self._read_or_known(host)

    def forget(self, slug: str) -> None:
        """The targets of this project's names have changed; "" means that those of all projects may have."""
        for known in self._known.values():
            if slug in ("", known.pointer.slug):
                known.is_fresh = False
        self._unknown.clear()
        # A read that is under way may return the state before the change.
        self._forgotten_at = self._clock()
        self._flights.detach()

    def _try_again(self, host: str, now: float) -> None:
        if self._failed_at is not None and now - self._failed_at >= RETRY_SECONDS:
            self._failed_at = now
            self._flights.begin(host, lambda: self._read(host))

    async def _read_or_known(self, host: str) -> Target:
        """With a remembered answer, waits only briefly for a newer one; the read continues."""
        known = self._known.get(host)
        try:
            async with asyncio.timeout(None if known is None else PATIENCE_SECONDS):
                return await self._flights.share(host, lambda: self._read(host))
        except (Unavailable, TimeoutError):
            if known is None:
                raise
            return known.pointer

    async def _read(self, host: str) -> Target:
        began = self._clock()
        try:
            async with asyncio.timeout(READ_SECONDS):
                pointer = await self._ask(host)
        except NotFound:
            self._failed_at = None
            self._remember_unknown(host, began)
            raise
        except (Unavailable, TimeoutError) as error:
            self._failed_at = self._clock()
            raise Unavailable("The database does not answer.") from error
        self._failed_at = None
        self._remember(host, pointer, began)
        return pointer

    def _remember(self, host: str, pointer: Target, began: float) -> None:
        known = self._known.get(host)
        if known is None or known.read_at <= began:
            self._unknown.pop(host)
            self._known.put(host, _Known(pointer, began, is_fresh=began > self._forgotten_at))

    def _remember_unknown(self, host: str, began: float) -> None:
        known = self._known.get(host)
        if known is None or known.read_at <= began:
            self._known.pop(host)
            if began > self._forgotten_at:
                self._unknown.put(host, began)

    async def _ask(self, host: str) -> Target:
        label = self._names.label_of(host)
        # A name without a dot would be looked up as a label, and serve a site under a name that is not its own.
        if label is None and (is_address(host) or "." not in host):
            raise NotFound("There is no such site.")
        return await self._hosts.find(label or host)
