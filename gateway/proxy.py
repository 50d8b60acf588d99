"""Serves the sites: from the Host to the live release, from its files to the client. `sites` decides on the answer."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

from aiohttp import web

from gateway.errors import Invalid, NotFound, Unavailable
from gateway.models.deployment import Status
from gateway.models.host import Signpost, SitePointer, Target
from gateway.models.object_keys import blob_key, output_key
from gateway.roles import ObjectStore
from gateway.sites import pages
from gateway.sites.answers import Answer, answer_with, decide, not_allowed, redirect, refuse
from gateway.sites.cache import MAX_BLOB_BYTES, BlobCache
from gateway.sites.listener import SiteServer
from gateway.sites.plain import PlainSites, represent_object
from gateway.sites.pointers import SitePointers
from gateway.sites.releases import Releases
from gateway.sites.requests import METHODS, SiteRequest, read_request
from gateway.sites.sending import Reply, Sender
from gateway.sites.streams import StoredBytes
from gateway.wire.clients import NO_PROXIES, TrustedProxies
from gateway.wire.complaints import Complaints

log = logging.getLogger(__name__)

CACHE_BYTES = 128 * 1024 * 1024
WRITE_SECONDS = 60.0
RECHECK_SECONDS = 1.0
"""Before a 404 is sent, a pointer older than this is read again."""
NOINDEX = {"X-Robots-Tag": "noindex"}
PROBLEM_OF = {
    Status.QUEUE: pages.BUILDING,
    Status.BUILDING: pages.BUILDING,
    Status.FAILED: pages.FAILED,
    Status.CANCELED: pages.CANCELED,
}


def create_site_server(proxy: SiteProxy, on_malformed: Callable[[int], None] = lambda status: None) -> SiteServer:
    """For `web.ServerRunner`. Call it on the running loop."""
    return SiteServer(
        proxy.handle,
        proxies=proxy.proxies,
        write_seconds=proxy.write_seconds,
        on_response=proxy.on_response,
        on_malformed=on_malformed,
    )


class SiteProxy:
    """`on_response(status, bytes, seconds)` is called for every response, including those to malformed requests."""

    def __init__(
        self,
        pointers: SitePointers,
        objects: ObjectStore,
        *,
        proxies: TrustedProxies = NO_PROXIES,
        cache_bytes: int = CACHE_BYTES,
        write_seconds: float = WRITE_SECONDS,
        on_response: Callable[[int, int, float], None] = lambda status, size, seconds: None,
    ) -> None:
        self._pointers = pointers
        self._objects = objects
        self.releases = Releases(objects)
        self._blobs = BlobCache(objects, cache_bytes)
        self._plain = PlainSites(objects)
        self._sender = Sender(write_seconds, proxies)
        self._complaints = Complaints(log)
        self.proxies = proxies
        self.write_seconds = write_seconds
        self.on_response = on_response

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers every request; raises nothing but cancellation."""
        began = time.perf_counter()
        reply = await self._reply(request)
        if "Upgrade" in request.headers:
            # aiohttp drops the bytes that came with an Upgrade, so the next answer would be for another request.
            reply.closes = True
        response, sent = await self._sender.send(request, reply)
        self.on_response(response.status, sent, time.perf_counter() - began)
        return response

    async def _reply(self, request: web.BaseRequest) -> Reply:
        asked = SiteRequest(request.method, "", "/", "/", None, {"accept": request.headers.get("Accept", "*/*")})
        try:
            if request.method not in METHODS:
                return _show(not_allowed(), asked, closes=True)
            asked = read_request(request.method, request.raw_path, request.raw_headers)
            return await self._find_reply(asked)
        except Invalid as error:
            problem = dataclasses.replace(pages.BAD_REQUEST, sentence=error.sentence)
            return _show(refuse(problem), asked, closes=True)
        except Unavailable as error:
            self._complaints.warn("A site cannot be read", error)
            return _show(refuse(pages.UNAVAILABLE), asked)
        except Exception as error:  # noqa: BLE001  an unforeseen failure of one site must not stop the others
            self._complaints.warn("A request failed", asked.host, error)
            return _show(refuse(pages.INTERNAL), asked)

    async def _find_reply(self, asked: SiteRequest) -> Reply:
        """If nothing is found, the pointer may be outdated, so it is read again once."""
        pointer = await self._find_pointer(asked.host)
        reply = await self._reply_if_stored(pointer, asked)
        if reply is not None and reply.status != 404:
            return reply
        newer = await self._find_pointer(asked.host, RECHECK_SECONDS)
        if newer != pointer:
            if reply is not None:
                await reply.close()
            reply = await self._reply_if_stored(newer, asked)
        if reply is None:
            raise Unavailable(f"A file of {asked.host} is not stored.")
        return reply

    async def _find_pointer(self, host: str, max_age_seconds: float | None = None) -> Target | None:
        try:
            return await self._pointers.find(host, max_age_seconds)
        except NotFound:
            return None

    async def _reply_if_stored(self, pointer: Target | None, asked: SiteRequest) -> Reply | None:
        """None if the release, or one of its files, is not stored."""
        if isinstance(pointer, Signpost):
            return self._follow(pointer, asked)
        try:
            if pointer is None or pointer.deployment_id is None:
                return await self._reply_without_release(pointer, asked)
            release = await self.releases.get(pointer.project_id, pointer.deployment_id)
            return await self._fetch(decide(release, asked), pointer, asked)
        except NotFound:
            return None

    async def _fetch(self, answer: Answer, pointer: SitePointer, asked: SiteRequest) -> Reply:
        reply = _show(answer, asked)
        if pointer.is_preview:
            reply.headers |= NOINDEX
        if answer.part is None or answer.blob is None or asked.method == "HEAD":
            return reply
        start, reply.length = answer.part.start, answer.part.length
        if answer.blob.size <= MAX_BLOB_BYTES:
            whole = await self._blobs.get(pointer.project_id, answer.blob)
            reply.body = whole[start : start + reply.length]
        else:
            key = blob_key(pointer.project_id, answer.blob.sha256)
            reply.body = await StoredBytes.open(self._objects, key, start, reply.length)
        return reply

    def _follow(self, signpost: Signpost, asked: SiteRequest) -> Reply:
        if signpost.slug is None:
            return _show(refuse(pages.UNKNOWN_HOST), asked)
        location = self._pointers.site_of(signpost.slug) + asked.raw_path
        return _show(redirect(location, asked.query), asked)

    async def _reply_without_release(self, pointer: SitePointer | None, asked: SiteRequest) -> Reply:
        slug = pointer.slug if pointer else self._pointers.label_of(asked.host)
        if slug is not None and await self._plain.has_files(slug):
            return await self._reply_plain(slug, asked)
        if pointer is None:
            return _show(refuse(pages.UNKNOWN_HOST), asked)
        problem = PROBLEM_OF.get(pointer.newest_status) if pointer.newest_status else None
        return _show(refuse(problem or pages.NOTHING_PUBLISHED), asked)

    async def _reply_plain(self, slug: str, asked: SiteRequest) -> Reply:
        try:
            path, stored = await self._plain.open(slug, asked.path)
        except NotFound:
            return _show(refuse(pages.NOT_FOUND), asked)
        answer = answer_with(represent_object(path, stored.info), asked)
        reply = _show(answer, asked)
        if answer.part is None or asked.method == "HEAD":
            await stored.close()
            return reply
        reply.length = answer.part.length
        reply.body = stored
        if answer.status == 206:
            await stored.close()
            key = output_key(slug, path)
            reply.body = await StoredBytes.open(self._objects, key, answer.part.start, answer.part.length)
        return reply


def _show(answer: Answer, asked: SiteRequest, *, closes: bool = False) -> Reply:
    """The reply without the bytes of a file, or with a problem's page. `closes`: close the connection after it."""
    reply = Reply(answer.status, dict(answer.headers), closes=closes)
    if answer.problem:
        headers, body = pages.render_problem(answer.problem, as_page=pages.wants_page(asked.headers, asked.path))
        reply.headers |= headers | {"Content-Length": str(len(body))}
        reply.body, reply.length = (None, 0) if asked.method == "HEAD" else (body, len(body))
    return reply
