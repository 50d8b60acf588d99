"""What a person looks for in the gateway's log stands there once, with the deployment's id."""

import logging

import pytest

from builder.protocol.calls import Finish
from gateway.models.actor import OWNER
from tests.engines.stores import deploy_again
from tests.integration.control_parts import open_parts
from tests.integration.test_control import SITE, upload

EVENTS = ("created", "requested", "claimed", "launched", "builder lost", "ready", "failed", "promoted", "canceled")


@pytest.fixture
async def parts(postgres, tmp_path):
    async with open_parts(await postgres.create_database(), tmp_path) as parts:
        yield parts


@pytest.fixture
def events_of(caplog):
    caplog.set_level(logging.INFO, "gateway")

    def events_of(deployment):
        said = [record.getMessage() for record in caplog.records if str(deployment.id) in record.getMessage()]
        return [event for text in said for event in EVENTS if text.startswith(event)]

    return events_of


async def test_the_life_of_a_deployment_that_loses_a_builder_and_is_promoted_later(parts, events_of):
    lost = await parts.launch()
    parts.launcher.kill(lost.handle)
    await parts.look()
    await parts.look(3)
    await parts.dispatcher.dispatch()
    async with parts.builder(lost.id, 2) as api:
        await upload(api, SITE)
        await api.finish(Finish("ok", 0))
    await parts.services.releases.promote(OWNER, lost.id)
    attempts = ["claimed", "launched", "builder lost", "claimed", "launched"]
    assert events_of(lost) == ["created", *attempts, "ready", "promoted"]


async def test_the_life_of_a_deployment_that_fails(parts, events_of):
    first = await parts.launch()
    again = await deploy_again(parts.deployments, first.project_slug)
    await parts.dispatcher.dispatch()
    async with parts.builder(again.id) as api:
        await api.finish(Finish("failed", 0, "npm run build ended with 1.", "build", 1))
        await api.finish(Finish("failed", 0, "npm run build ended with 1.", "build", 1))
    assert events_of(again) == ["requested", "claimed", "launched", "failed"]


async def test_the_life_of_a_deployment_that_is_canceled(parts, events_of):
    waiting = await parts.create()
    await parts.deployments.cancel(OWNER, waiting.id)
    assert events_of(waiting) == ["created", "canceled"]
