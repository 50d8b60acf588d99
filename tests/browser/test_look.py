"""How the pages look: light, dark and on a phone. UPDATE_SCREENSHOTS=1 makes the pictures of the docs."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from builder.protocol.settings import Settings
from tests.browser import scenes
from tests.browser.conftest import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
LOOKS = [("light", DESK), ("dark", PHONE)]
PATHS = ["/", "/p/design-system", "/d/{id}", "/p/nobody"]
LOW_CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const paint = (colors) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const color of colors) { canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        const colors = [];
        for (let at = element; at; at = at.parentElement) colors.unshift(getComputedStyle(at).backgroundColor);
        return colors;
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const text = walker.currentNode.data.trim();
        if (!text || !element.checkVisibility() || element.closest('.sr, :disabled, noscript')) continue;
        const colors = behind(element), back = paint(colors);
        const front = paint([...colors, getComputedStyle(element).color]);
        const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.tagName}.${element.className} ${text}`);
    }
    return found;
}"""


@pytest.fixture
def deployment_path(stage: Stage) -> str:
    return f"/d/{scenes.a_busy_gateway(stage.services).id}"


@pytest.mark.parametrize(("scheme", "viewport"), LOOKS)
@pytest.mark.parametrize("path", PATHS)
async def test_everything_can_be_read_and_nothing_is_cut_off(
    stage: Stage, browser: Browser, deployment_path: str, path: str, scheme: str, viewport: dict[str, int]
) -> None:
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(stage.url + path.replace("/d/{id}", deployment_path))
    await expect(page.locator("h1")).to_be_visible()
    assert await page.evaluate(LOW_CONTRAST) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    await context.close()


@pytest.mark.parametrize("viewport", [DESK, PHONE])
@pytest.mark.parametrize("path", ["/", "/p/long", "/d/{id}"])
async def test_the_longest_words_do_not_break_the_page(
    stage: Stage, page: Page, path: str, viewport: dict[str, int]
) -> None:
    long = "W" * 100
    git_url = f"https://git.example.com/{long * 15}.git"
    settings = Settings(build_command=long * 10, root_directory=long * 10)
    project = stage.services.projects.add(name=long, slug="long", git_url=git_url, branch=long * 2, settings=settings)
    given = {"commit_message": long * 10, "commit": "a" * 40, "reason": long * 20, "framework": long[:64]}
    deployment = scenes.failed(stage.services, project, 5, **given)
    stage.services.logs.write(deployment, long * 100)
    await page.set_viewport_size(viewport)
    await page.goto(stage.url + path.replace("{id}", str(deployment.id)))
    await expect(page.locator("h1")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


async def test_dark_and_light_follow_the_system(stage: Stage, page: Page, deployment_path: str) -> None:
    await page.goto(stage.url + deployment_path)
    await page.emulate_media(color_scheme="light")
    light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.emulate_media(color_scheme="dark")
    assert (light, await page.evaluate("getComputedStyle(document.body).backgroundColor")) == (
        "rgb(249, 249, 251)",
        "rgb(17, 17, 19)",
    )


async def test_on_a_phone_a_deployment_has_two_lines(stage: Stage, page: Page, deployment_path: str) -> None:
    await page.set_viewport_size(PHONE)
    await page.goto(f"{stage.url}/p/design-system")
    row = page.locator(".deployments tbody tr").nth(1)
    box, message = await row.bounding_box(), await row.locator(".c-text").bounding_box()
    assert box is not None
    assert message is not None
    assert box["height"] < 90
    assert message["width"] > 220


async def test_the_keyboard_reaches_everything_and_shows_where_it_is(stage: Stage, page: Page) -> None:
    scenes.ready(stage.services, stage.services.projects.add(), 5)
    await page.goto(stage.url)
    reached = [await _tab(page) for _ in range(11)]
    assert reached[:4] == ["skip", "brand", "find-project", "beside-design-system"]
    assert {"f-name", "f-gitUrl", "deploy-button", "project-design-system"} <= set(reached)
    assert await page.evaluate("document.querySelectorAll('input:not([type=hidden], [aria-label])').length") == (
        await page.evaluate("document.querySelectorAll('label[for]').length")
    )


@pytest.mark.parametrize(
    ("name", "scheme", "viewport"), [("light", "light", DESK), ("dark", "dark", DESK), ("phone", "dark", PHONE)]
)
async def test_pictures_for_the_docs(
    stage: Stage,
    browser: Browser,
    deployment_path: str,
    images: Path,
    name: str,
    scheme: str,
    viewport: dict[str, int],
) -> None:
    context = await browser.new_context(
        viewport=viewport, color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1.5
    )
    page = await context.new_page()
    await _take(page, stage.url + "/p/design-system", images / f"project-{name}.png")
    await _take(page, stage.url + deployment_path, images / f"log-{name}.png")
    await context.close()
    assert (images / f"log-{name}.png").stat().st_size > 20_000


async def _take(page: Page, url: str, path: Path) -> None:
    await page.goto(url)
    await page.evaluate("document.fonts.ready")
    if "/d/" in url:
        await expect(page.locator(".row").last).to_be_visible()
        await expect(page.locator("#log-count")).to_have_text("4,025 lines · following")
    await page.screenshot(path=path)


async def _tab(page: Page) -> str:
    await page.keyboard.press("Tab")
    name: str = await page.evaluate("document.activeElement.id || document.activeElement.className")
    # A search box and a row that is one link show the focus around all of it.
    shown = "document.activeElement.matches('.cover, .search input') || document.activeElement"
    assert await page.evaluate(f"({shown}) === true || getComputedStyle({shown}).outlineStyle !== 'none'"), name
    return name
