"""Logging in with the access token, and logging out."""

from __future__ import annotations

import re
import urllib.parse

from aiohttp import web

from gateway.access.calls import SESSION_SECONDS, cookie_name, is_open
from gateway.access.middlewares import describe
from gateway.errors import Unauthorized
from gateway.routes.pages import views
from gateway.routes.pages.forms import read_form
from gateway.routes.pages.frame import bare_frame, render
from gateway.services import SERVICES

_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*\Z")


async def show_login(request: web.Request) -> web.Response:
    following = _own_path(request.query.get("next", ""))
    if is_open(describe(request)):
        raise web.HTTPSeeOther(following)
    return login_page(request, following)


async def log_in(request: web.Request) -> web.Response:
    typed = await read_form(request)
    following = _own_path(typed.get("next", ""))
    try:
        session = await request.app[SERVICES].access.log_in(typed.get("token", "").strip(), describe(request).client)
    except Unauthorized as error:
        return login_page(request, following, error=error.sentence)
    response = web.HTTPSeeOther(following)
    is_secure = describe(request).is_secure
    response.set_cookie(
        cookie_name(is_secure),
        session,
        max_age=SESSION_SECONDS,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="Strict",
    )
    raise response


async def log_out(request: web.Request) -> web.Response:
    await read_form(request)
    response = web.HTTPSeeOther("/login")
    is_secure = describe(request).is_secure
    response.del_cookie(cookie_name(is_secure), path="/", secure=is_secure, httponly=True, samesite="Strict")
    raise response


def login_page(request: web.Request, following: str, *, error: str = "") -> web.Response:
    page = views.LoginPage(bare_frame(request), following, error)
    return render(request, "login.html", page, 200 if request.path == "/login" and not error else 401)


def _own_path(text: str) -> str:
    """The path to go to next. Only a path of the gateway, never another site."""
    parts = urllib.parse.urlsplit(text)
    is_own = not parts.scheme and not parts.netloc and _PATH.match(text)
    return text if is_own else "/"
