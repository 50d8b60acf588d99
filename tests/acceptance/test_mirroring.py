"""storage.mirror_outputs in a whole gateway: what is deployed is in the bucket as other readers of it expect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config import S3
from tests.acceptance.conftest import Repositories
from tests.engines.gateway import Gateway, eventually
from tests.engines.s3 import S3Server, environment_of, running_s3

MIRRORED = {"BUILDSPACE_STORAGE_MIRROR_OUTPUTS": "true"}


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    (tmp_path / "s3").mkdir()
    with running_s3("versitygw", tmp_path / "s3") as server:
        yield server


async def shown(server: S3Server, settings: S3, slug: str, files: dict[str, bytes]) -> dict[str, str]:
    """Wait until the bucket shows exactly these files; their types."""

    async def look() -> dict[str, str] | None:
        with contextlib.closing(server.client()) as boto:
            prefix = f"__outputs/{slug}/"
            keys = [
                found["Key"]
                for found in boto.list_objects_v2(Bucket=settings.bucket, Prefix=prefix).get("Contents", [])
            ]
            answers = {key.removeprefix(prefix): boto.get_object(Bucket=settings.bucket, Key=key) for key in keys}
            bodies = {path: answer["Body"].read() for path, answer in answers.items()}
            types = {path: answer["ContentType"] for path, answer in answers.items()}
        return types if bodies == files else None

    types: dict[str, str] = await eventually(look, f"the bucket shows {sorted(files)} of {slug}", 60)
    return types


async def deploy(gateway: Gateway, path: str) -> str:
    status, answer = await gateway.call("POST", path)
    assert status == 201, answer
    assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
    return str(answer["deploymentId"])


async def test_a_deployment_its_successor_and_a_rollback_are_mirrored(
    s3: S3Server, start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    settings = s3.make_bucket()
    first = {"index.html": "<h1>one</h1>", "app.js": "1"}
    async with start_gateway(**environment_of(settings), **MIRRORED) as gateway:
        answer = await gateway.deploy(repositories.from_files("mirrored", first))
        assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
        slug = answer["projectSlug"]
        one = {"index.html": b"<h1>one</h1>", "app.js": b"1"}
        types = await shown(s3, settings, slug, one)
        assert types == {"index.html": "text/html; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
        repositories.from_files("mirrored", {"index.html": "<h1>two</h1>"})
        await deploy(gateway, f"/project/{slug}/deployments")
        await shown(s3, settings, slug, {"index.html": b"<h1>two</h1>", "app.js": b"1"})
        status, promoted = await gateway.call("POST", f"/deployment/{answer['deploymentId']}/promote")
        assert status == 200, promoted
        await shown(s3, settings, slug, one)


async def test_a_gateway_starts_without_its_bucket_and_is_ready_once_it_is_there(
    s3: S3Server, start_gateway: Callable[..., Any], repositories: Repositories
) -> None:
    settings = s3.make_bucket()
    s3.stop()
    async with start_gateway(start=False, **environment_of(settings), **MIRRORED) as gateway:
        await gateway.start(until_ready=False)

        async def troubled() -> bool:
            with contextlib.suppress(OSError):
                status, answer = await gateway.call("GET", "/ready")
                return status == 503 and "object store" in str(answer)
            return False

        await eventually(troubled, "/ready names the object store", 60)
        s3.start()
        await eventually(gateway._is_ready, "the gateway becomes ready", 60)
        answer = await gateway.deploy(repositories.from_files("late-bucket", {"index.html": "<h1>late</h1>"}))
        assert (await gateway.ended(answer["deploymentId"]))["status"] == "READY"
        assert await gateway.fetch(answer["url"]) == (200, b"<h1>late</h1>")
