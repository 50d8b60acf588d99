"""A gateway's pages on a free port, and a browser that notes what goes wrong in it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from gateway.access.guard import guard
from gateway.access.middlewares import add_headers, errors_to_responses, log_access
from gateway.routes import setup_routes
from gateway.routes.table import asked_scope
from gateway.services import SERVICES
from gateway.wire.clients import NO_PROXIES
from tests.browser.fakes import FakeServices
from tests.engines.chromium import launch_chromium

ANSWERED = re.compile(r"Failed to load resource: the server responded with a status of (400|401|404|503)")
DOCS_IMAGES = Path(__file__).parents[2] / "docs" / "images"


class Stage:
    """The gateway that a test looks at."""

    def __init__(self, services: FakeServices, url: str) -> None:
        self.services = services
        self.url = url


@pytest_asyncio.fixture(loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    services = FakeServices()
    app = web.Application(
        middlewares=[log_access(NO_PROXIES), errors_to_responses, guard(services.access, asked_scope)]
    )
    app[SERVICES] = services
    app.on_response_prepare.append(add_headers)
    setup_routes(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Stage(services, f"http://localhost:{runner.addresses[0][1]}")
    await runner.cleanup()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright, launch_chromium(playwright) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A page on which nothing may go wrong: no script fails, nothing breaks the content security policy."""
    troubles: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not ANSWERED.match(message.text):
            troubles.append(message.text)

    page = await context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", note)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    assert troubles == []


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where pictures go: to the docs only when somebody wants new ones."""
    return DOCS_IMAGES if os.environ.get("UPDATE_SCREENSHOTS") == "1" else tmp_path
