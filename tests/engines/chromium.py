"""Debian's Chromium, driven by playwright. One that is missing fails the test with a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, Playwright

EXECUTABLE = Path("/usr/bin/chromium")


@contextlib.asynccontextmanager
async def launch_chromium(playwright: Playwright) -> AsyncIterator[Browser]:
    assert EXECUTABLE.exists(), "Chromium is missing. On Debian: apt-get install chromium"
    browser = await playwright.chromium.launch(
        executable_path=EXECUTABLE,
        args=["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
    )
    try:
        yield browser
    finally:
        await browser.close()
