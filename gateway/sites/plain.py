"""Sites without a release: files under `__outputs/{slug}/` that other builders put there."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

from gateway.errors import NotFound, Unavailable
from gateway.models.object_keys import output_key, outputs_prefix
from gateway.roles import ObjectInfo, ObjectStore
from gateway.sites.answers import REVALIDATE, Representation
from gateway.sites.content_types import content_type_of
from gateway.sites.flights import Flights
from gateway.sites.lru import LeastRecentlyUsed
from gateway.sites.pages import has_ending
from gateway.sites.paths import is_file_path
from gateway.sites.streams import StoredBytes

LOOK_SECONDS = 5.0
MAX_SLUGS = 10_000
MAX_KEY_BYTES = 1024
_OPAQUE = re.compile(r"[\x21\x23-\x7e]{1,128}\Z")


class PlainSites:
    def __init__(self, objects: ObjectStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._looks: LeastRecentlyUsed[str, tuple[bool, float]] = LeastRecentlyUsed(MAX_SLUGS)
        self._flights: Flights[str, bool] = Flights()

    async def has_files(self, slug: str) -> bool:
        """The answer may be some seconds old. Raises Unavailable."""
        look = self._looks.get(slug)
        if look and self._clock() - look[1] < LOOK_SECONDS:
            return look[0]
        return await self._flights.share(slug, lambda: self._look(slug))

    async def open(self, slug: str, path: str) -> tuple[str, StoredBytes]:
        """The file that `path` (decoded, with its leading slash) shows: its path, and its bytes, which the caller
        closes.

        Raises NotFound and Unavailable.
        """
        for candidate in candidates(path):
            key = output_key(slug, candidate)
            if is_file_path(candidate) and len(key.encode()) <= MAX_KEY_BYTES:
                try:
                    return candidate, await StoredBytes.open(self._objects, key)
                except NotFound:
                    continue
        raise NotFound("The site has nothing at this address.")

    async def _look(self, slug: str) -> bool:
        began = self._clock()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                found = await anext(aiter(self._objects.list(outputs_prefix(slug))), None)
        except TimeoutError as error:
            raise Unavailable("The store does not answer.") from error
        self._looks.put(slug, (found is not None, began))
        return found is not None


def candidates(path: str) -> tuple[str, ...]:
    """`/` is index.html and `/about` is about/index.html, as these buckets were served before Buildspace."""
    asked = path[1:]
    if asked == "" or asked.endswith("/"):
        return (asked + "index.html",)
    if has_ending(path):
        return (asked,)
    return (asked, f"{asked}/index.html", f"{asked}.html")


def represent_object(path: str, info: ObjectInfo) -> Representation:
    opaque = info.etag.removeprefix("W/").strip('"')
    return Representation(
        size=info.size,
        content_type=content_type_of(path),
        etag=f'"{opaque}"' if _OPAQUE.match(opaque) else None,
        last_modified=info.modified_at,
        cache_control=REVALIDATE,
    )
