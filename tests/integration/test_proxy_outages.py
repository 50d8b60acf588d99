"""Sites while the database or the store is away."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Unavailable
from gateway.models.object_keys import blob_key, release_key
from tests.integration.site_server import Sites, running_sites
from tests.unit.sites.fakes import DEPLOYMENT, PROJECT, make_release, sha256_of

FILES = {"index.html": b"home", "cold.txt": b"never asked for", "big.bin": b"0" * 300_000}


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with running_sites(pointer_seconds=0.0) as running:
        running.hosts.publish("blog", running.objects.keep(make_release(FILES), FILES))
        yield running


async def test_what_is_in_memory_is_served_with_every_engine_down(sites: Sites) -> None:
    assert (await sites.get("blog")).status == 200
    sites.hosts.is_away = sites.objects.is_away = True
    responses = await asyncio.gather(*(sites.get("blog") for _ in range(10)))
    assert {(response.status, response.body) for response in responses} == {(200, FILES["index.html"])}


async def test_answers_without_a_body_need_no_engine(sites: Sites) -> None:
    etag = (await sites.get("blog", "/cold.txt", "HEAD")).headers["etag"]
    sites.hosts.is_away = sites.objects.is_away = True
    assert (await sites.get("blog", "/cold.txt", "HEAD")).status == 200
    assert (await sites.get("blog", "/cold.txt", If_None_Match=etag)).status == 304
    assert (await sites.get("blog", "/index.html")).status == 308
    assert (await sites.get("blog", "/missing")).status == 404


@pytest.mark.parametrize("path", ["/cold.txt", "/big.bin"])
async def test_a_file_that_cannot_be_read_is_a_503_with_a_sentence(sites: Sites, path: str) -> None:
    await sites.get("blog")
    sites.objects.is_away = True
    response = await sites.get("blog", path)
    assert (response.status, response.headers["retry-after"]) == (503, "5")
    assert response.headers["cache-control"] == "no-store"
    assert response.body == b"Its storage does not answer. Please try again in a moment.\n"
    sites.objects.is_away = False
    assert (await sites.get("blog", path)).body == FILES[path[1:]]


@pytest.mark.parametrize("path", ["/cold.txt", "/big.bin"])
async def test_a_missing_blob_is_a_503_and_not_a_404(sites: Sites, path: str) -> None:
    del sites.objects.bodies[blob_key(PROJECT, sha256_of(FILES[path[1:]]))]
    assert (await sites.get("blog", path)).status == 503


async def test_a_missing_release_is_a_503(sites: Sites) -> None:
    del sites.objects.bodies[release_key(PROJECT, DEPLOYMENT)]
    response = await sites.get("blog", Accept="text/html")
    assert response.status == 503
    assert b"<h1>The site cannot be read just now</h1>" in response.body


async def test_a_release_that_needs_an_unknown_feature_is_a_503_of_its_site_alone(sites: Sites) -> None:
    newer = sites.objects.keep(make_release(FILES, deployment_id=uuid.UUID(int=5)), FILES)
    key = release_key(PROJECT, newer.deployment_id)
    sites.objects.bodies[key] = sites.objects.bodies[key].replace(b'"features":[]', b'"features":["time-travel"]')
    sites.hosts.publish("shop", newer)
    assert [(await sites.get(name)).status for name in ("shop", "blog")] == [503, 200]
    with pytest.raises(Unavailable, match="'time-travel'"):
        await sites.proxy.releases.check()


async def test_a_site_that_was_never_asked_for_is_a_503_while_the_database_is_away(sites: Sites) -> None:
    sites.hosts.is_away = True
    assert (await sites.get("blog")).status == 503


async def test_a_fault_that_nobody_foresaw_is_a_500_and_the_next_site_goes_on(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("gateway.proxy.decide", fail)
        assert (await sites.get("blog")).status == 500
    assert "ZeroDivisionError" in caplog.text
    assert (await sites.get("blog")).status == 200


async def test_an_outage_does_not_fill_the_log(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sites.hosts.is_away = True
    await asyncio.gather(*(sites.get("blog") for _ in range(50)))
    assert len(caplog.records) == 1
