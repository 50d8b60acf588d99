"""A real gateway, a real build, and somebody who watches it in a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from scripts.git_server import commit_files, serve_git
from tests.engines.gateway import running_gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUILD_MS = 300_000
SLOW_BUILD = """
const { mkdirSync, writeFileSync } = require('node:fs');
let number = 0;
const timer = setInterval(() => {
    console.log(`\\x1b[32mpage\\x1b[39m <b>${++number}</b>`);
    if (number === 5) console.error('careful');
    if (number < 10) return;
    clearInterval(timer);
    mkdirSync('dist', { recursive: true });
    writeFileSync('dist/index.html', '<h1>Built while watched</h1>');
}, 300);
"""
PACKAGE = {"name": "watched", "version": "1.0.0", "private": True, "scripts": {"build": "node build.js"}}


async def test_a_build_is_watched_from_the_form_to_the_site(page: Page, tmp_path: Path) -> None:
    files = {"package.json": json.dumps(PACKAGE), "build.js": SLOW_BUILD}
    async with serve_git(tmp_path / "repositories") as git_url, running_gateway(tmp_path) as gateway:
        commit_files(files, tmp_path / "repositories" / "watched.git")
        await page.goto(gateway.api)
        await page.get_by_label("Name", exact=True).fill("Watched")
        await page.get_by_label("Git URL").fill(f"{git_url}/watched.git")
        await page.get_by_label("Git URL").press("Enter")
        await page.wait_for_url(re.compile("/d/"))
        await expect(page.locator(".row", has_text="page <b>2</b>")).to_be_visible(timeout=BUILD_MS)
        await expect(page.locator("#head .pill")).to_have_text("Building")
        await expect(page.locator("#stage-build")).to_have_attribute("aria-current", "step")
        await expect(page.locator(".row", has_text="page <b>10</b>")).to_have_count(0)
        await expect(page.locator(".row.stderr", has_text="careful")).to_be_visible(timeout=BUILD_MS)
        await expect(page.locator("#log-state")).to_have_text("Complete", timeout=BUILD_MS)
        await expect(page.locator("#head .pill")).to_have_text("Ready")
        await expect(page.locator("#head .tag")).to_have_text("Live")
        await page.locator("#head .meta a").first.click()
        await expect(page.locator("h1")).to_have_text("Built while watched")
