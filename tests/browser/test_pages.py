"""The pages around the log: projects, a project, the login, errors."""

from __future__ import annotations

import re

import aiohttp
import pytest
from playwright.async_api import Browser, Page, expect
from yarl import URL

from builder.protocol.settings import Settings
from gateway.models.deployment import Status
from tests.browser import scenes
from tests.browser.conftest import Stage
from tests.browser.fakes import TOKEN

pytestmark = pytest.mark.asyncio(loop_scope="session")

GIT_URL = "https://git.example.com/team/site.git"


async def test_a_project_is_deployed_by_the_form(stage: Stage, page: Page) -> None:
    await page.goto(stage.url)
    await expect(page.locator(".empty")).to_have_text(re.compile("No project yet"))
    await page.get_by_label("Name", exact=True).fill("My site")
    await page.get_by_label("Git URL").fill(GIT_URL)
    await page.get_by_text("More settings").click()
    await page.get_by_label("Branch").fill("next")
    await page.get_by_label("Output directory").fill("public")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("/d/"))
    await expect(page.locator("#head .pill")).to_have_text("Queued")
    (project,) = stage.services.projects.all
    assert (project.name, project.git_url, project.branch) == ("My site", GIT_URL, "next")
    assert project.settings == Settings(output_directory="public")
    assert stage.services.dispatcher.woken == 1


async def test_what_is_wrong_is_said_next_to_its_field_and_what_was_typed_is_kept(stage: Stage, page: Page) -> None:
    await page.goto(stage.url)
    await page.get_by_label("Name", exact=True).fill('My "site"')
    await page.get_by_label("Git URL").fill("git@git.example.com:team/site.git")
    await page.get_by_text("More settings").click()
    await page.get_by_label("Branch").fill("a..b")
    await page.locator("#deploy-button").click()
    await expect(page.locator("#e-gitUrl")).to_have_text(re.compile("Git URL is wrong: SSH addresses"))
    await expect(page.locator("#e-branch")).to_have_text(re.compile("Branch must be"))
    await expect(page.get_by_label("Name", exact=True)).to_have_value('My "site"')
    await expect(page.get_by_label("Branch")).to_have_value("a..b")
    await expect(page.get_by_label("Git URL")).to_have_attribute("aria-invalid", "true")
    assert stage.services.projects.all == []


async def test_the_form_works_without_scripts(stage: Stage, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(stage.url)
    await page.get_by_label("Name", exact=True).fill("plain")
    await page.get_by_label("Git URL").fill(GIT_URL)
    await page.locator("#deploy-button").click()
    await expect(page.locator("h1")).to_have_text(re.compile("Deployment 1 Queued"))
    await context.close()


async def test_a_form_that_is_sent_twice_makes_one_project(stage: Stage) -> None:
    form = {"name": "twice", "gitUrl": GIT_URL, "key": "0f6f4b0a-7f0e-4d7c-9f6c-6d2f1f6a3c11"}
    async with aiohttp.ClientSession(headers={"Origin": stage.url}) as session:
        first = await session.post(f"{stage.url}/deploy", data=form, allow_redirects=False)
        again = await session.post(f"{stage.url}/deploy", data=form, allow_redirects=False)
    assert first.status == 303
    assert first.headers["Location"] == again.headers["Location"]
    assert len(stage.services.projects.all) == 1


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_a_form_from_elsewhere_changes_nothing(stage: Stage, headers: dict[str, str]) -> None:
    project = stage.services.projects.add()
    async with aiohttp.ClientSession(headers=headers) as session:
        deploy = await session.post(f"{stage.url}/deploy", data={"name": "a", "gitUrl": GIT_URL})
        again = await session.post(f"{stage.url}/p/{project.slug}/deploy")
    assert deploy.status in (403, 415)
    assert again.status in (403, 415)
    assert stage.services.deployments.all == {}


async def test_a_slash_finds_a_project_and_enter_opens_it(stage: Stage, page: Page) -> None:
    scenes.a_busy_gateway(stage.services)
    await page.goto(stage.url)
    await page.keyboard.press("/")
    await page.keyboard.type("STORY")
    await expect(page.locator("#projects tbody tr:visible")).to_have_count(1)
    await expect(page.locator("#beside li[data-project]:visible")).to_have_text(re.compile("storybook"))
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{stage.url}/p/storybook")
    await expect(page.locator("#beside [aria-current]")).to_have_text(re.compile("storybook"))


async def test_on_a_phone_the_find_box_leads_to_the_projects(stage: Stage, page: Page) -> None:
    scenes.a_busy_gateway(stage.services)
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(stage.url)
    await page.get_by_label("Find a project").fill("story")
    await page.locator("#beside-storybook").click()
    await page.wait_for_url(f"{stage.url}/p/storybook")


async def test_a_project_shows_its_deployments_and_their_stages(stage: Stage, page: Page) -> None:
    scenes.a_busy_gateway(stage.services)
    await page.goto(f"{stage.url}/p/design-system")
    await expect(page.locator(".deployments .pill")).to_have_text(["Building", "Ready", "Ready", "Failed", "Ready"])
    row = page.locator(".deployments tbody tr").nth(1)
    await expect(row.locator(".tag")).to_have_text("Live")
    await expect(row.locator(".sha")).to_have_text("0c7de18")
    await expect(row.locator(".c-when")).to_have_text("26 min ago")
    bar = row.locator(".bar")
    await expect(bar).to_have_attribute("aria-label", "clone 0.6 s, install 7.1 s, build 10.5 s, publish 2.0 s")
    widths = await bar.locator("rect:not(.s0)").evaluate_all("all => all.map((r) => Number(r.getAttribute('width')))")
    assert sum(widths) == pytest.approx(100, abs=0.1)
    facts = page.locator("#head .meta").first.locator("> *")
    await expect(facts).to_have_text(
        ["design-system.localhost:8000", "main", "Vite", "Node 24.19.0", "214 files, 1.9 MB"]
    )


async def test_a_deployment_is_made_live_again(stage: Stage, page: Page) -> None:
    scenes.a_busy_gateway(stage.services)
    await page.goto(f"{stage.url}/p/design-system")
    await page.locator("#promote-1").click()
    await expect(page.locator(".deployments tbody tr").last.locator(".tag")).to_have_text("Live")
    await expect(page.locator(".deployments .tag")).to_have_count(1)


async def test_a_project_is_deployed_again(stage: Stage, page: Page) -> None:
    project = stage.services.projects.add()
    scenes.ready(stage.services, project, 5)
    await page.goto(f"{stage.url}/p/{project.slug}")
    await page.locator("#deploy-again").click()
    await page.wait_for_url(re.compile("/d/"))
    await expect(page.locator("h1")).to_have_text(re.compile("Deployment 2 Queued"))


async def test_a_project_page_follows_what_happens(stage: Stage, page: Page) -> None:
    deployment = scenes.building(stage.services, stage.services.projects.add())
    await page.goto(f"{stage.url}/p/design-system")
    await expect(page.locator(".deployments .pill")).to_have_text("Building")
    await page.locator(f"#d-{deployment.id}").focus()
    stage.services.deployments.change(deployment.id, status=Status.FAILED, reason="It broke.")
    await expect(page.locator(".deployments .pill")).to_have_text("Failed")
    await expect(page.locator(f"#d-{deployment.id}")).to_be_focused()


async def test_older_deployments_are_on_further_pages(stage: Stage, page: Page) -> None:
    project = stage.services.projects.add()
    for minutes in range(25, 0, -1):
        scenes.ready(stage.services, project, minutes)
    await page.goto(f"{stage.url}/p/{project.slug}")
    await expect(page.locator(".deployments tbody tr")).to_have_count(20)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator(".deployments tbody tr")).to_have_count(5)
    await page.get_by_role("link", name="Newest").click()
    await expect(page.locator(".deployments tbody tr")).to_have_count(20)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/p/nobody", "No project is called 'nobody'."),
        ("/p/%3Cscript%3E", "No project is called"),
        ("/d/nonsense", "There is no such deployment."),
        ("/d/550e8400-e29b-41d4-a716-446655440000", "No deployment has the id 550e8400"),
        ("/nowhere", "There is nothing at /nowhere."),
    ],
)
async def test_what_is_not_there_gets_a_page(stage: Stage, page: Page, path: str, sentence: str) -> None:
    response = await page.goto(stage.url + path)
    assert response is not None
    assert response.status == 404
    await expect(page.locator("h1")).to_have_text("Nothing is here")
    await expect(page.locator("#main")).to_have_text(re.compile(re.escape(sentence)))


async def test_an_outage_gets_a_page_that_needs_no_engine(stage: Stage, page: Page) -> None:
    stage.services.projects.is_away = True
    response = await page.goto(stage.url)
    assert response is not None
    assert response.status == 503
    await expect(page.locator("h1")).to_have_text("Not available now")
    await expect(page.locator("#main")).to_have_text(re.compile("PostgreSQL is away"))


async def test_programs_get_errors_as_json(stage: Stage) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{stage.url}/p/nobody") as answer:
        assert (await answer.json())["error"] == "Not found"


async def test_the_token_opens_the_page_that_was_asked_for(stage: Stage, page: Page) -> None:
    project = stage.services.projects.add()
    await page.set_extra_http_headers({"X-Forwarded-For": "203.0.113.7"})
    response = await page.goto(f"{stage.url}/p/{project.slug}?cursor=0")
    assert response is not None
    assert response.status == 401
    await page.get_by_label("Access token").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(page.locator("#token-error")).to_have_text(re.compile("not valid"))
    await page.get_by_label("Access token").fill(TOKEN)
    await page.locator("#log-in").click()
    await page.wait_for_url(f"{stage.url}/p/{project.slug}?cursor=0")
    (cookie,) = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("buildspace", True, "Strict")
    await page.locator("#log-out").click()
    await page.wait_for_url(f"{stage.url}/login")
    assert await page.context.cookies() == []


@pytest.mark.parametrize(
    "following",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)"],
)
async def test_the_login_leads_to_no_other_site(stage: Stage, following: str) -> None:
    headers = {"Origin": stage.url, "X-Forwarded-For": "203.0.113.7"}
    async with aiohttp.ClientSession(headers=headers) as session:
        form = {"token": TOKEN, "next": following}
        answer = await session.post(f"{stage.url}/login", data=form, allow_redirects=False)
    assert answer.headers["Location"] == "/"


async def test_under_tls_the_cookie_is_secure_and_of_this_host_alone(stage: Stage) -> None:
    headers = {"Origin": stage.url.replace("http:", "https:"), "X-Forwarded-Proto": "https"}
    async with aiohttp.ClientSession(headers=headers) as session:
        answer = await session.post(f"{stage.url}/login", data={"token": TOKEN}, allow_redirects=False)
    assert re.match(r"__Host-buildspace=.*; HttpOnly; .*Path=/; SameSite=Strict; Secure", answer.headers["Set-Cookie"])


async def test_static_files_are_kept_for_ever_under_the_name_of_their_version(stage: Stage) -> None:
    async with aiohttp.ClientSession() as session:
        html = await (await session.get(stage.url)).text()
        (path,) = re.findall(r'src="(/static/[0-9a-f]{12}/app\.js)"', html)
        script = await session.get(stage.url + path)
        stale = await session.get(stage.url + re.sub("[0-9a-f]{12}", "0" * 12, path))
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert script.content_type == "text/javascript"
    assert (stale.status, stale.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "name", ["../pages.py", "%2e%2e/routes/pages.py", "..%2f..%2fpyproject.toml", "/etc/passwd", ""]
)
async def test_only_the_files_of_the_pages_are_served(stage: Stage, name: str) -> None:
    async with aiohttp.ClientSession() as session:
        answer = await session.get(URL(f"{stage.url}/static/000000000000/{name}", encoded=True))
    assert answer.status == 404
