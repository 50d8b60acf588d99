"""From POST /project to the page in a browser, through the public surface only."""

from __future__ import annotations

import pytest
from playwright.async_api import async_playwright

from tests.acceptance.conftest import Repositories
from tests.engines.chromium import launch_chromium
from tests.engines.gateway import Gateway
from tests.fixtures.sites import SITES, FixtureSite


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


@pytest.mark.parametrize(
    "site",
    [pytest.param(site, id=site.name, marks=[pytest.mark.soak] if site.soak else []) for site in SITES],
)
async def test_a_framework_builds_and_serves(site: FixtureSite, gateway: Gateway, repositories: Repositories) -> None:
    answer = await gateway.deploy(repositories.from_fixture(site.name), **site.settings)
    deployment = await gateway.ended(answer["deploymentId"])
    assert (deployment["status"], deployment["reason"]) == ("READY", None)
    assert deployment["framework"] == site.framework_name
    status, body = await gateway.fetch(answer["url"], site.page_path)
    assert status == 200
    assert site.sentence in body.decode()


async def test_a_failing_build_says_step_exit_code_and_last_errors(
    gateway: Gateway, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_fixture("failing-build"))
    deployment = await gateway.ended(answer["deploymentId"])
    assert deployment["status"] == "FAILED"
    assert deployment["exitCode"] == 3
    assert "build" in deployment["reason"]
    log = await gateway.log(answer["deploymentId"])
    assert log["complete"] is True
    assert {"stdout", "stderr"} <= {line["stream"] for line in log["rawLogs"]}


async def test_a_build_that_wants_another_node_says_so_before_the_install(
    gateway: Gateway, repositories: Repositories
) -> None:
    answer = await gateway.deploy(repositories.from_fixture("other-node"))
    await gateway.ended(answer["deploymentId"])
    lines = (await gateway.log(answer["deploymentId"]))["rawLogs"]
    before_install = [line["log"] for line in lines if line["step"] in ("prepare", "clone", "detect")]
    assert any("Node" in line and "22" in line for line in before_install)


async def test_a_server_rendered_project_is_refused_with_the_fix(gateway: Gateway, repositories: Repositories) -> None:
    answer = await gateway.deploy(repositories.from_fixture("server-rendered"))
    deployment = await gateway.ended(answer["deploymentId"])
    assert deployment["status"] == "FAILED"
    assert "export" in deployment["reason"]


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
