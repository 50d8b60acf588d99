"""Turns errors into responses, which no other module does. Gives each call an id, a log line and a check of access."""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.access.calls import Caller
from gateway.errors import (
    Conflict,
    Forbidden,
    GatewayError,
    Invalid,
    NotFound,
    TooLarge,
    TooMany,
    TooSlow,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from gateway.wire.clients import UNKNOWN, TrustedProxies

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ErrorPage = Callable[[web.Request, int, str], Awaitable[web.Response]]
ERROR_PAGE: web.AppKey[ErrorPage] = web.AppKey("error_page")
"""Shows an error as a page. Called if the client prefers HTML."""
REQUEST_ID = web.RequestKey("request_id", str)
CLIENT = web.RequestKey("client", str)
"""The address of the client."""
RETRY_AFTER_SECONDS = 2

ANSWERS: Mapping[type[GatewayError], tuple[int, str]] = {
    Invalid: (400, "Validation failed"),
    Unauthorized: (401, "Unauthorized"),
    Forbidden: (403, "Forbidden"),
    NotFound: (404, "Not found"),
    TooSlow: (408, "Too slow"),
    Conflict: (409, "Conflict"),
    TooLarge: (413, "Too large"),
    TooMany: (429, "Too many requests"),
    Unsupported: (415, "Unsupported media type"),
    Unavailable: (503, "Unavailable"),
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("Malformed request", "The request line, a header or the framing of the body is not valid HTTP/1.1."),
    417: ("Expectation failed", "The only expectation that is met here is `Expect: 100-continue`."),
    500: ("Internal error", "An unexpected error occurred. The gateway's log has the details."),
    505: ("HTTP version not supported", "Send the request as HTTP/1.1 or HTTP/1.0."),
}
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")


@web.middleware
async def errors_to_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error is JSON with a sentence, or the app's error page for clients that prefer HTML.

    An unforeseen error is logged with its traceback and answered without details.
    """
    try:
        return await handler(request)
    except GatewayError as error:
        return await _shown(request, _answer_error(error), error.sentence)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return await _shown(request, *_answer_http(request, error))
    except (ConnectionError, web.RequestPayloadError):
        # The client went away while it sent the body: nothing reads this answer.
        return error_response(400, "Validation failed", "The body broke off.")
    except Exception:  # protects the connection, and the caller from a traceback
        request_id = request.get(REQUEST_ID, "-")
        log.exception("request failed: %s %s request_id=%s", request.method, ascii(request.path), request_id)
        sentence = f"An unexpected error occurred. The gateway's log has the details under request {request_id}."
        return await _shown(request, error_response(500, "Internal error", sentence), sentence)


def log_access(proxies: TrustedProxies) -> Middleware:
    """Give each call an id, the address of its client, and a line in the log.

    The line leaves out the query, which may hold secrets.
    """

    @web.middleware
    async def with_line(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[REQUEST_ID] = _request_id(request)
        request[CLIENT] = proxies.client_of(request)
        return await _logged(request, handler)

    return with_line


async def _logged(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.perf_counter()
    status = 499  # the client went away
    try:
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    finally:
        milliseconds = (time.perf_counter() - began) * 1000
        level = logging.DEBUG if request.path in ("/health", "/ready", "/metrics") else logging.INFO
        log.log(
            level,
            "request %s %s %d %.1fms client=%s request_id=%s",
            request.method,
            ascii(request.path)[1:-1],
            status,
            milliseconds,
            request[CLIENT],
            request[REQUEST_ID],
        )


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler: every answer of the APIs and the pages forbids frames, MIME sniffing, use by other sites."""
    is_page = response.content_type == "text/html"
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
    # Under no-referrer browsers send a form of our own pages with `Origin: null`.
    response.headers.setdefault("Referrer-Policy", "same-origin" if is_page else "no-referrer")
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]


def describe(request: web.BaseRequest) -> Caller:
    """What the call says about itself, for gateway.access.calls to judge."""
    transport = request.transport
    local = transport.get_extra_info("sockname") if transport is not None else None
    peer = transport.get_extra_info("peername") if transport is not None else None
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), value)
    return Caller(
        method=request.method,
        target=request.raw_path,
        hosts=request.headers.getall("Host", []),
        peer=peer[0] if peer else None,
        local=local[0] if local else None,
        is_secure=request.secure or headers.get("x-forwarded-proto", "").strip().lower() == "https",
        headers=headers,
        has_body=request.body_exists and request.headers.get("Content-Length") != "0",
        client=request.get(CLIENT, UNKNOWN),
    )


def error_response(status: int, error: str, details: str, fields: Mapping[str, str] | None = None) -> web.Response:
    body: dict[str, object] = {"error": error, "details": details}
    if fields:
        body["fields"] = dict(fields)
    return web.Response(status=status, text=json.dumps(body), content_type="application/json")


def refuse_request(status: int) -> web.Response:
    """The same error for bytes that never became a request, which no middleware has seen."""
    response = error_response(status, *REFUSALS[status])
    response.headers.update({**_HEADERS, "Content-Security-Policy": API_POLICY, "Referrer-Policy": "no-referrer"})
    return response


def _answer_error(error: GatewayError) -> web.Response:
    status, kind = next((answer for word, answer in ANSWERS.items() if isinstance(error, word)), (503, "Unavailable"))
    fields = error.fields if isinstance(error, Invalid) else None
    response = error_response(status, kind, error.sentence, fields)
    if status == 503:
        log.warning("unavailable: %s", error.sentence)
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(math.ceil(error.retry_seconds))
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="buildspace"'
    if status in (408, 413):
        # The rest of the body is not read, so the next request would begin in the middle of it.
        response.force_close()
    return response


def _answer_http(request: web.Request, error: web.HTTPException) -> tuple[web.Response, str]:
    """aiohttp's own errors in the shape of the API's."""
    path = ascii(request.path[:200])[1:-1]
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        sentence = f"{path} does not know {request.method[:20]}: use {allowed}."
        response = error_response(405, "Method not allowed", sentence)
        response.headers["Allow"] = allowed
        return response, sentence
    sentence = f"There is nothing at {path}." if error.status == 404 else f"{error.reason}."
    response = error_response(error.status, "Not found" if error.status == 404 else error.reason, sentence)
    if error.status == 413:
        response.force_close()
    return response, sentence


async def _shown(request: web.Request, response: web.Response, sentence: str) -> web.Response:
    page: ErrorPage | None = request.app.get(ERROR_PAGE)
    if page is None or "text/html" not in request.headers.get("Accept", ""):
        return response
    shown = await page(request, response.status, sentence)
    for name in ("Allow", "Retry-After", "WWW-Authenticate"):
        if name in response.headers:
            shown.headers[name] = response.headers[name]
    if response.keep_alive is False:
        shown.force_close()
    return shown


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    return given if _PLAIN_ID.match(given) else secrets.token_hex(8)
