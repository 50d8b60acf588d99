"""The connections of visitors: malformed requests get the error pages of sites and are counted among their answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.sites.answers import COMMON_HEADERS
from gateway.sites.pages import BAD_REQUEST, EXPECTATION_FAILED, INTERNAL, WRONG_VERSION, render_problem
from gateway.wire.clients import TrustedProxies
from gateway.wire.connections import ConnectionServer

PROBLEMS = {problem.status: problem for problem in (BAD_REQUEST, EXPECTATION_FAILED, INTERNAL, WRONG_VERSION)}


class SiteServer(ConnectionServer):
    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        proxies: TrustedProxies,
        write_seconds: float,
        on_response: Callable[[int, int, float], None],
        on_malformed: Callable[[int], None],
    ) -> None:
        super().__init__(
            handler, self._show_problem, proxies=proxies, write_seconds=write_seconds, on_malformed=on_malformed
        )
        self._on_response = on_response

    def _show_problem(self, status: int) -> web.Response:
        self._on_response(status, 0, 0.0)
        headers, body = render_problem(PROBLEMS[status], as_page=False)
        return web.Response(status=status, headers=COMMON_HEADERS | headers, body=body)
