"""From POST /project to the page in a browser, through the public surface only, in both worlds: all engines embedded,
and all of production. There the builder is started with the environment that RunTask said.
"""

from __future__ import annotations

import pytest
from playwright.async_api import async_playwright

from tests.acceptance.conftest import Repositories
from tests.engines.chromium import launch_chromium
from tests.engines.gateway import Gateway


@pytest.fixture(params=["gateway", "production_gateway"], ids=["embedded", "production"])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    found: Gateway = request.getfixturevalue(request.param)
    return found


async def test_a_posted_git_url_becomes_a_page_in_the_browser(gateway: Gateway, repositories: Repositories) -> None:
    answer = await gateway.deploy(repositories.from_fixture("vite-react"))
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    log = await gateway.log(answer["deploymentId"])
    assert log["complete"] is True
    assert [line["seq"] for line in log["rawLogs"]] == list(range(1, len(log["rawLogs"]) + 1))
    async with async_playwright() as playwright, launch_chromium(playwright) as browser:
        page = await browser.new_page()
        response = await page.goto(answer["url"])
        assert response is not None
        assert response.status == 200
        assert "Built by Vite and React" in await page.inner_text("body")


async def test_a_failing_build_says_step_exit_code_and_last_errors(
    gateway: Gateway, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_fixture("failing-build"))
    deployment = await gateway.ended(answer["deploymentId"])
    assert deployment["status"] == "FAILED"
    assert deployment["exitCode"] == 3
    failure, line = deployment["failure"], "Error: the page about nothing has no content"
    assert (failure["class"], failure["step"], failure["line"]) == ("unknown", "build", line)
    assert f"In step build: {line}" in deployment["reason"]
    log = await gateway.log(answer["deploymentId"])
    texts = [each["log"] for each in log["rawLogs"]]
    assert texts[failure["seq"] - 1] == line
    assert texts.count("line 30 of 30 to stderr") == 1
    assert log["complete"] is True
    assert {"stdout", "stderr"} <= {line["stream"] for line in log["rawLogs"]}


async def test_a_second_deployment_replaces_the_first_and_promote_brings_it_back(
    gateway: Gateway, repositories: Repositories
) -> None:
    url = repositories.from_files("versions", {"index.html": "<h1>one</h1>"})
    first = await gateway.deploy(url)
    await gateway.ended(first["deploymentId"])
    repositories.from_files("versions", {"index.html": "<h1>two</h1>"})
    status, second = await gateway.call("POST", f"/project/{first['projectSlug']}/deployments", {})
    assert status == 201
    await gateway.ended(second["deploymentId"])
    assert await gateway.fetch(first["url"]) == (200, b"<h1>two</h1>")
    status, _ = await gateway.call("POST", f"/deployment/{first['deploymentId']}/promote")
    assert status == 200
    own_host = (await gateway.get(f"/deployment/{second['deploymentId']}"))["deploymentUrl"]
    assert await gateway.fetch(own_host) == (200, b"<h1>two</h1>")


async def test_a_canceled_build_ends_canceled_and_publishes_nothing(
    gateway: Gateway, repositories: Repositories
) -> None:
    url = repositories.from_files("slow", {"package.json": '{"scripts": {"build": "sleep 60"}}'})
    answer = await gateway.deploy(url)
    await gateway.in_step(answer["deploymentId"], "build")
    status, _ = await gateway.call("POST", f"/deployment/{answer['deploymentId']}/cancel")
    assert status == 200
    deployment = await gateway.ended(answer["deploymentId"])
    assert deployment["status"] == "CANCELED"
    status, _ = await gateway.fetch(answer["url"])
    assert status == 404
