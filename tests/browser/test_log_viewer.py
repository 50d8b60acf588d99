"""The log of a deployment, as somebody sees it who has it open."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from gateway.models.deployment import Deployment, Status
from gateway.models.log import LogPosition
from tests.browser import scenes
from tests.browser.conftest import Stage

pytestmark = pytest.mark.asyncio(loop_scope="session")


def running(stage: Stage) -> Deployment:
    return scenes.building(stage.services, stage.services.projects.add())


def ended(stage: Stage, *lines: str, **given: object) -> Deployment:
    values = {"last_seq": len(lines), **given}
    deployment = scenes.ready(stage.services, stage.services.projects.add(), 5, **values)
    stage.services.logs.write(deployment, *lines)
    return deployment


async def open_log(page: Page, stage: Stage, deployment: Deployment, place: str = "") -> None:
    await page.goto(f"{stage.url}/d/{deployment.id}{place}")


async def texts(page: Page) -> list[str]:
    return await page.locator(".row .text").all_inner_texts()


async def test_lines_appear_as_they_come_and_none_is_fetched_twice(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "first", "second")
    await open_log(page, stage, deployment)
    await expect(page.locator(".row .text")).to_have_text(["first", "second"])
    stage.services.logs.write(deployment, "third")
    await expect(page.locator(".row .text")).to_have_text(["first", "second", "third"])
    await expect(page.locator("#log-count")).to_have_text("3 lines · following")
    beginnings = [position for position in stage.services.logs.reads if position == LogPosition()]
    assert len(beginnings) == 1


async def test_what_went_to_stderr_is_marked_by_a_word(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "fine")
    stage.services.logs.write(deployment, "deprecated", stream="stderr")
    await open_log(page, stage, deployment)
    await expect(page.locator(".row.stderr")).to_have_text(re.compile("err.*deprecated"))
    await expect(page.locator(".row", has_text="fine").locator(".sign")).to_have_text("")


async def test_nothing_in_a_log_becomes_markup(stage: Stage, page: Page) -> None:
    deployment = ended(stage, *scenes.HOSTILE)
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-count")).to_have_text(f"{len(scenes.HOSTILE)} lines")
    await expect(page.locator(".row")).to_have_count(len(scenes.HOSTILE))
    assert (await texts(page))[:5] == [
        "<script>window.pwned = 1</script>",
        "<img src=x onerror='window.pwned = 2'>",
        "</div></section></main><h1 id=injected>Log in again</h1>",
        "click me",
        "<b>red &lt;script&gt; &amp;",
    ]
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("#log :is(script, img, b, h1)").count() == 0
    assert await page.evaluate("[...document.querySelectorAll('#log a')].every((a) => a.hash.startsWith('#L'))")


async def test_the_names_and_reasons_of_others_are_text_too(stage: Stage, page: Page) -> None:
    evil = "</h1><script>window.pwned = 1</script><img src=x onerror=alert(1)>"
    project = stage.services.projects.add(name=evil, git_url="https://git.example.com/a'b\"<c>")
    deployment = scenes.failed(stage.services, project, 5, reason=evil, commit_message=evil, framework=evil)
    await open_log(page, stage, deployment)
    await expect(page.locator(".reason pre")).to_have_text(evil)
    await page.goto(f"{stage.url}/p/{project.slug}")
    await expect(page.locator("h1")).to_have_text(evil)
    assert await page.evaluate("window.pwned") is None


async def test_terminal_colours_are_shown_and_go_on_in_the_next_line(stage: Stage, page: Page) -> None:
    deployment = ended(
        stage, "\x1b[31mred", "still red\x1b[0m plain \x1b[1;38;2;0;200;10mgreen", "\x1b[0;2mdim\x1b[22m"
    )
    await open_log(page, stage, deployment)
    await expect(page.locator(".f-red")).to_have_text(["red", "still red"])
    await expect(page.locator(".f-green.t-bold")).to_have_text("green")
    await expect(page.locator(".t-dim")).to_have_text("dim")
    assert await texts(page) == ["red", "still red plain green", "dim"]


async def test_a_hundred_thousand_lines_stay_smooth(stage: Stage, page: Page) -> None:
    deployment = ended(stage, *(f"\x1b[32mline\x1b[39m {number}" for number in range(1, 100_001)))
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-count")).to_have_text("100,000 lines", timeout=30_000)
    await page.locator("#bottom").click()
    await expect(page.locator(".row").last).to_have_text(re.compile("line 100000"))
    await page.keyboard.press("g")
    await expect(page.locator(".row").first).to_have_text(re.compile("line 1$", re.MULTILINE))
    assert await page.locator(".row").count() < 120
    frames = await page.evaluate(
        """async () => {
            const log = document.getElementById('log'), times = [];
            let last = performance.now();
            for (let i = 0; i < 60; i++) {
                log.scrollTop += 3001;
                await new Promise(requestAnimationFrame);
                times.push(performance.now() - last);
                last = performance.now();
            }
            return times.sort((a, b) => a - b);
        }"""
    )
    assert frames[len(frames) // 2] < 100
    assert await page.locator(".row").count() < 120


async def test_find_counts_marks_and_goes_through_what_it_found(stage: Stage, page: Page) -> None:
    lines = [f"line {number}" + (" Needle [x" if number % 100 == 7 else "") for number in range(1, 1001)]
    deployment = ended(stage, *lines)
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-count")).to_have_text("1,000 lines")
    await page.keyboard.press("/")
    await page.keyboard.type("needle [")
    await expect(page.locator("#found")).to_have_text("10 lines")
    await page.keyboard.press("Enter")
    await expect(page.locator("#found")).to_have_text("1 of 10 lines")
    await expect(page.locator(".row.target mark")).to_have_text("Needle [")
    await page.keyboard.press("Shift+Enter")
    await expect(page.locator("#found")).to_have_text("10 of 10 lines")
    await expect(page.locator(".row.target .text")).to_have_text("line 907 Needle [x")
    await page.locator("#log").focus()
    await page.keyboard.press("n")
    await expect(page.locator(".row.target .text")).to_have_text("line 7 Needle [x")
    await page.keyboard.press("N")
    await expect(page.locator("#found")).to_have_text("10 of 10 lines")


async def test_find_looks_at_lines_that_come_later(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "a \x1b[31mwar\x1b[0mning")
    await open_log(page, stage, deployment)
    await page.locator("#find").fill("warning")
    await expect(page.locator("#found")).to_have_text("1 line")
    stage.services.logs.write(deployment, "another warning")
    await expect(page.locator("#found")).to_have_text("2 lines")
    await page.locator("#find").press("Escape")
    await expect(page.locator("#found")).to_have_text("")
    await expect(page.locator("#log mark")).to_have_count(0)


async def test_the_end_shows_without_a_reload(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "building")
    await open_log(page, stage, deployment)
    await expect(page.locator("#head .pill")).to_have_text("Building")
    await page.evaluate("window.isSamePage = true")
    finished = scenes.ready(stage.services, stage.services.projects.all[0], 1)
    stage.services.deployments.change(
        deployment.id,
        status=Status.READY,
        completed_at=finished.completed_at,
        log_complete=True,
        is_live=True,
        files=3,
        bytes=1200,
    )
    await expect(page.locator("#head .pill")).to_have_text("Ready")
    await expect(page.locator("#log-state")).to_have_text("Complete")
    await expect(page.locator("#head .meta a").first).to_have_text("design-system.localhost:8000")
    await expect(page.locator("#status")).to_have_text(re.compile("Ready"))
    await expect(page.locator("#cancel")).to_have_count(0)
    assert await page.title() == "Ready: design-system #1 · Buildspace"
    assert await page.evaluate("window.isSamePage")


async def test_missing_lines_are_named(stage: Stage, page: Page) -> None:
    deployment = ended(stage, "one", log_complete=False, log_missing=((2, 4),), last_seq=5)
    stage.services.logs.lines[deployment.id].append(
        type(stage.services.logs.lines[deployment.id][0])(deployment.id, 1, 5, 0, "stdout", "build", "five")
    )
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-state")).to_have_text("Incomplete: Lines 2–4 missing")
    assert await texts(page) == ["one", "Lines 2–4 are missing.", "five"]


async def test_another_attempt_begins_visibly(stage: Stage, page: Page) -> None:
    deployment = ended(stage, "first try", attempt=2)
    stage.services.logs.write(deployment, "second try", attempt=2)
    await open_log(page, stage, deployment)
    await expect(page.locator(".row.note")).to_have_text(re.compile("Attempt 2"))
    assert (await texts(page))[-1] == "second try"


async def test_an_outage_is_said_and_survived(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "before")
    await open_log(page, stage, deployment)
    await expect(page.locator(".row")).to_have_count(1)
    stage.services.logs.is_away = True
    await expect(page.locator("#log-state")).to_have_text("Reconnecting…")
    stage.services.logs.write(deployment, "after")
    stage.services.logs.is_away = False
    await expect(page.locator(".row .text")).to_have_text(["before", "after"])
    await expect(page.locator("#log-state")).to_have_text("")


async def test_an_outage_before_the_first_line_says_what_is_wrong(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.is_away = True
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-empty")).to_have_text("The log store is away.")
    await expect(page.locator("#log-state")).to_have_text("Reconnecting…")
    stage.services.logs.is_away = False
    await expect(page.locator("#log-empty")).to_have_text("Waiting for the first line…")


async def test_a_log_whose_lines_are_gone_is_not_called_complete(stage: Stage, page: Page) -> None:
    deployment = ended(stage, last_seq=2)
    await open_log(page, stage, deployment)
    await expect(page.locator("#log-empty")).to_have_text("No line of this log is stored.")
    await expect(page.locator("#log-state")).to_have_text("Incomplete: Lines 1–2 missing")


async def test_a_link_leads_to_its_line(stage: Stage, page: Page) -> None:
    deployment = ended(stage, *(f"line {number}" for number in range(1, 3001)))
    await open_log(page, stage, deployment, "#L2500")
    await expect(page.locator(".row.target")).to_be_in_viewport()
    await expect(page.locator(".row.target .text")).to_have_text("line 2500")
    await page.get_by_label("Line 2502", exact=True).click()
    await expect(page.locator(".row.target .text")).to_have_text("line 2502")
    assert page.url.endswith("#L2502")


async def test_scrolling_up_stops_following_and_the_bottom_resumes_it(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, *(f"line {number}" for number in range(1, 201)))
    await open_log(page, stage, deployment)
    await expect(page.locator(".row").last).to_have_text(re.compile("line 200"))
    await page.locator("#log").hover()
    await page.mouse.wheel(0, -1500)
    await expect(page.locator("#log-count")).to_have_text("200 lines · paused")
    await expect(page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    await page.locator("#follow").click()
    await expect(page.locator("#log-count")).to_have_text("200 lines · following")


async def test_steps_lead_to_their_lines(stage: Stage, page: Page) -> None:
    deployment = scenes.ready(stage.services, stage.services.projects.add(), 5)
    scenes.write_build(stage.services, deployment, 500)
    stage.services.deployments.change(deployment.id, last_seq=len(stage.services.logs.lines[deployment.id]))
    await open_log(page, stage, deployment)
    await expect(page.locator("#stage-install")).to_have_text("Install 7.1 s")
    await page.locator("#stage-build").click()
    await expect(page.locator("#stage-build")).to_have_attribute("aria-current", "step")
    await expect(page.locator(".row", has_text="$ npm run build")).to_be_in_viewport()


async def test_selected_lines_are_copied_in_order_without_their_numbers(stage: Stage, page: Page) -> None:
    deployment = ended(stage, "alpha", "\x1b[31mbeta\x1b[0m", "gamma")
    await open_log(page, stage, deployment)
    await expect(page.locator(".row")).to_have_count(3)
    await page.evaluate("document.getSelection().selectAllChildren(document.getElementById('log'))")
    selected = await page.evaluate("document.getSelection().toString()")
    assert selected.split() == ["alpha", "beta", "gamma"]


async def test_the_raw_text_is_a_click_away(stage: Stage, page: Page) -> None:
    deployment = ended(stage, "<b>alpha</b>", "beta")
    await open_log(page, stage, deployment)
    await page.locator("#raw").click()
    await page.wait_for_url(re.compile("format=text"))
    assert await page.locator("body").inner_text() == "<b>alpha</b>\nbeta\n"


async def test_a_build_can_be_canceled(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    await open_log(page, stage, deployment)
    await page.locator("#cancel").click()
    await expect(page.locator("#head .pill")).to_have_text("Canceled")
    assert stage.services.deployments.all[deployment.id].status is Status.CANCELED


async def test_without_scripts_the_state_and_the_raw_text_are_there(stage: Stage, browser: Browser) -> None:
    deployment = scenes.failed(stage.services, stage.services.projects.add(), 5)
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await open_log(page, stage, deployment)
    await expect(page.locator("#head .pill")).to_have_text("Failed")
    await expect(page.locator(".reason")).to_have_text(re.compile("exit code 1"))
    await expect(page.locator("noscript a")).to_have_attribute("href", f"/logs/{deployment.id}?format=text")
    await context.close()


async def test_lines_that_come_later_come_by_a_stream(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "first")
    async with page.expect_request(f"**/logs/{deployment.id}/stream?after=1.1"):
        await open_log(page, stage, deployment)
    stage.services.logs.write(deployment, "second")
    await expect(page.locator(".row .text")).to_have_text(["first", "second"])


async def test_without_a_stream_the_lines_come_in_pages(stage: Stage, page: Page) -> None:
    deployment = running(stage)
    stage.services.logs.write(deployment, "first")
    await page.add_init_script(
        "window.EventSource = class extends EventTarget { constructor() { super();"
        " setTimeout(() => this.dispatchEvent(new Event('error'))); } close() {} }"
    )
    await open_log(page, stage, deployment)
    await expect(page.locator(".row .text")).to_have_text(["first"])
    stage.services.logs.write(deployment, "second")
    await expect(page.locator(".row .text")).to_have_text(["first", "second"])


async def test_errors_and_warnings_are_marked_counted_and_gone_to(stage: Stage, page: Page) -> None:
    lines = ["fine", "npm warn deprecated x", *["fine"] * 300, "src/a.ts(3,1): error TS2322: No.", "0 errors"]
    deployment = ended(stage, *lines)
    await open_log(page, stage, deployment)
    await expect(page.locator("#error-count")).to_have_text("1 error, 1 warning")
    await expect(page.locator(".row.is-warning .sign")).to_have_text("warn")
    await page.keyboard.press("e")
    await expect(page.locator(".row.is-error.target .text")).to_have_text("src/a.ts(3,1): error TS2322: No.")
    await expect(page.locator(".row.is-error .sign")).to_have_text("error")


async def test_the_times_of_lines_are_shown_if_wanted(stage: Stage, page: Page) -> None:
    deployment = ended(stage, "first", "second")
    await open_log(page, stage, deployment)
    await expect(page.locator(".row .time")).to_have_count(0)
    await page.locator("#times").click()
    await expect(page.locator(".row .time")).to_have_text(["+0.00 s", "+0.00 s"])
    assert "2025" in (await page.locator(".row .time").first.get_attribute("title") or "")
    await page.reload()
    await expect(page.locator(".row .time")).to_have_count(2)


async def test_the_reason_names_class_step_line_and_advice(stage: Stage, page: Page) -> None:
    await open_log(page, stage, scenes.failed_by_a_command(stage.services))
    failure = page.locator("#failure")
    await expect(failure.locator(".tag")).to_have_text(["install", "npm-peer-conflict"])
    await expect(failure).to_contain_text("`npm ci` failed with exit code 1.")
    await expect(failure).to_contain_text("Install versions that fit each other")
    await failure.locator("a").click()
    await expect(page.locator(".row.target .text")).to_have_text("npm error ERESOLVE unable to resolve dependency tree")
    await failure.locator("summary").click()
    await expect(failure.locator("pre")).to_have_text("npm error Found: react@18.3.1")
