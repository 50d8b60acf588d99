"""An error as a page."""

from __future__ import annotations

from aiohttp import web

from gateway.routes.pages import views
from gateway.routes.pages.frame import bare_frame, render
from gateway.routes.pages.login import login_page

HEADINGS = {
    400: "This is not possible",
    401: "Log in",
    403: "Not allowed",
    404: "Nothing is here",
    405: "This is not possible",
    409: "Not any more",
    413: "Too large",
    429: "Too many at once",
    421: "Wrong address",
    500: "Something failed",
    503: "Not available now",
}


async def show_error(request: web.Request, status: int, sentence: str) -> web.Response:
    """An error as a page. It calls no engine, because that may be the one that is away."""
    if status == 401:
        return login_page(request, request.path_qs if request.method == "GET" else "/")
    page = views.ErrorPage(bare_frame(request), status, HEADINGS.get(status, "This is not possible"), sentence)
    return render(request, "error.html", page, status)
