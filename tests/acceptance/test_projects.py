"""Projects of many kinds, from their repository to their page."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway
from tests.fixtures.sites import SITES, FixtureSite


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
