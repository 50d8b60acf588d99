"""Compresses the answers of the API, and the text of logs, for clients that accept gzip.

Only answers to GET and HEAD, and no pages. Where a secret stands next to text that an attacker chose, the length of the
compressed answer reveals it (BREACH, https://breachattack.com): new tokens are shown in answers to POST alone, and a
page contains values from its URL next to private content. The answers that are compressed hold no token and no cookie.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from gateway.access.middlewares import Handler
from gateway.sites.encodings import choose_coding

TYPES = ("application/json", "text/plain")
MIN_BYTES = 1024
"""Shorter answers fit into one packet anyway."""


@web.middleware
async def compress_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For answers that are whole. A handler that sends pieces calls `compress` itself."""
    response = await handler(request)
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        compress(request, response, len(response.body))
    return response


def compress(request: web.Request, response: web.StreamResponse, least_bytes: int) -> None:
    """Call it before the response is prepared. `least_bytes`: a lower bound for the length of its body.

    aiohttp compresses pieces over 4 KiB in a thread, and sends the output after each piece.
    """
    is_safe = request.method in (hdrs.METH_GET, hdrs.METH_HEAD) and hdrs.SET_COOKIE not in response.headers
    if not is_safe or response.cookies or response.status != 200 or response.content_type not in TYPES:
        return
    response.headers.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
    accepted = ", ".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ()))
    if least_bytes < MIN_BYTES or not choose_coding(accepted, ("gzip",)):
        return
    if request.method == hdrs.METH_HEAD and not isinstance(response, web.Response):
        # aiohttp would send the end of an empty gzip stream, which the client would take for the next answer.
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
    else:
        response.enable_compression(web.ContentCoding.gzip)
