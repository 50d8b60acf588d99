"""Admits or refuses calls by token, session and Host, and answers browsers of other origins (CORS)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from gateway.access import calls
from gateway.access.calls import Caller
from gateway.access.middlewares import Handler, describe
from gateway.access.wrong_tokens import WrongTokens
from gateway.config import Api, Secret
from gateway.errors import Forbidden, TooMany, Unauthorized, Unavailable
from gateway.models.actor import OWNER, Actor, Scope
from gateway.stores.installation import InstallationStore

PREFLIGHT_SECONDS = 600
ACTOR = web.RequestKey("actor", Actor)
"""Who calls. Set for every route that is not open."""


class Access:
    """The token of this installation: the configured one, or the one whose hash the database holds."""

    def __init__(
        self,
        api: Api,
        installation: InstallationStore,
        configured: Secret,
    ) -> None:
        self.api = api
        self._installation = installation
        self._configured = configured
        self._install_key: bytes | None = None
        self._token_hash: bytes | None = None
        self._wrong_tokens = WrongTokens()

    async def install_key(self) -> bytes:
        """Never changes, so it is read once."""
        if self._install_key is None:
            self._install_key = await self._installation.install_key()
        return self._install_key

    async def make_first_token(self) -> str | None:
        """The new token, at the very first start; None: there is one, or the configuration names it."""
        if self._configured or await self._installation.token_hash() is not None:
            return None
        return await self.rotate()

    async def rotate(self) -> str:
        """Make a new token. The old one is revoked."""
        token = calls.make_access_token()
        await self._installation.set_token_hash(calls.hash_token(token))
        return token

    async def admit(self, caller: Caller) -> Actor:
        """The actor whose token or session this is. A client on this machine needs neither.

        Raises Unauthorized, and TooMany for a client that tries many tokens.
        """
        if calls.is_open(caller):
            return OWNER
        if (token := calls.bearer_token(caller)) is not None:
            await self._check(token, caller.client)
            return OWNER
        value = caller.session
        if value and calls.is_session(value, await self.install_key(), await self._current_hash(), time.time()):
            return OWNER
        raise Unauthorized(
            "The access token is needed: send it as `Authorization: Bearer <token>`, or log in at /login."
            " It was printed at the first start; `buildspace token rotate` makes a new one."
        )

    async def is_admitted(self, caller: Caller) -> bool:
        """Whether this caller is admitted. False if that cannot be found out now."""
        try:
            await self.admit(caller)
        except (Unauthorized, Unavailable, TooMany):
            return False
        return True

    async def log_in(self, token: str, client: str) -> str:
        """A session cookie's value. Raises Unauthorized and TooMany."""
        token_hash = await self._check(token, client)
        return calls.make_session(await self.install_key(), token_hash or b"", time.time())

    async def _check(self, token: str, client: str) -> bytes | None:
        """The hash of the right token. For a wrong one raises Unauthorized after a delay, or TooMany."""
        token_hash = await self._current_hash()
        try:
            calls.check_token(token, token_hash)
        except Unauthorized:
            await self._wrong_tokens.delay(client)
            raise
        return token_hash

    async def _current_hash(self) -> bytes | None:
        if self._configured:
            return calls.hash_token(self._configured.reveal())
        try:
            # Read at each call: `buildspace token rotate` runs in another process and promises that the old token is
            # revoked.
            self._token_hash = await self._installation.token_hash()
        except Unavailable:
            # While the database is away, the hash that was read last still counts.
            if self._token_hash is None:
                raise
        return self._token_hash


def guard(door: Access, asked_scope: Callable[[web.Request], Awaitable[Scope | None]]) -> Middleware:
    """Check host, origin and account, in this order, before any handler. `asked_scope`: of the called route; None if
    it is open to all.
    """

    @web.middleware
    async def who_may_call(request: web.Request, handler: Handler) -> web.StreamResponse:
        caller = describe(request)
        host = calls.check_host(caller, door.api)
        if _is_preflight(caller, door.api):
            return web.Response(status=204)
        calls.check_origin(caller, host, door.api)
        scope = await asked_scope(request)
        if scope is not None:
            request[ACTOR] = actor = await door.admit(caller)
            if scope not in actor.scopes:
                raise Forbidden(f"This call needs the scope '{scope}', which this token does not have.")
        return await handler(request)

    return who_may_call


def cors(api: Api) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """A signal handler: pages of the origins in `api.cors_origins` may read answers, including errors."""

    async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
        if not api.cors_origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN, "")
        if not calls.is_cors_origin(origin, api):
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "X-Request-Id, Retry-After, Location"
        if hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST, PUT, PATCH, DELETE"
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Content-Type, Idempotency-Key"
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(PREFLIGHT_SECONDS)
        if request.headers.get("Access-Control-Request-Private-Network") == "true":
            response.headers["Access-Control-Allow-Private-Network"] = "true"

    return add_cors_headers


def _is_preflight(caller: Caller, api: Api) -> bool:
    asks = caller.method == "OPTIONS" and bool(caller.header("Access-Control-Request-Method"))
    return asks and calls.is_cors_origin(caller.header("Origin"), api)
