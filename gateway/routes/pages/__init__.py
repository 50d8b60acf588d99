"""The pages for people, a file a page."""

from __future__ import annotations

import importlib.resources

import aiohttp_jinja2
import jinja2
from aiohttp import web

from gateway.access.middlewares import ERROR_PAGE
from gateway.routes.assets import ASSETS, Assets
from gateway.routes.pages.error import show_error


def setup_pages(app: web.Application) -> None:
    """Add the pages, their assets and their error page to the app of the API."""
    package = importlib.resources.files("gateway")
    assets = Assets(package / "static")
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("gateway"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = assets.url
    app[ERROR_PAGE] = show_error
    app[ASSETS] = assets
