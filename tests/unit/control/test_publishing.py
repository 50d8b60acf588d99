"""Manifest -> missing blobs -> release -> live."""

import asyncio
import dataclasses

import pytest

from builder.protocol.calls import Finish, Manifest, ManifestFile
from gateway.config import Builder
from gateway.control import publishing
from gateway.control.publishing import Publisher, check_manifest
from gateway.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from gateway.models.object_keys import blob_key, release_key
from gateway.sites.release_format import decode_release
from tests.unit.control.outputs import OK, make_manifest, one_chunk, sha256_of, upload

SITE = {"index.html": b"<h1>Hello</h1>", "assets/app.js": b"1", "copy.html": b"<h1>Hello</h1>"}
HASH = sha256_of(b"")


@pytest.fixture
def publisher(deployments, objects):
    return Publisher(deployments, deployments, deployments, objects, Builder(attempts=3))


@pytest.fixture
def building(deployments):
    return deployments.add_building(handle="fake:1")


@pytest.fixture
def row(deployments, building):
    return lambda: deployments.rows[building.id]


async def test_an_output_goes_live(publisher, building, row, objects):
    await upload(publisher, building, SITE)
    await publisher.finish(building, 1, Finish("ok", 12))
    assert (row().status, row().is_live, row().files, row().bytes, row().last_seq) == (Status.READY, True, 3, 29, 12)
    release = decode_release(objects.bodies[release_key(building.project_id, building.id)])
    assert sorted(release.files) == sorted(SITE)


async def test_each_missing_blob_is_asked_for_once_in_order(publisher, building):
    missing = await publisher.accept_manifest(building, make_manifest(SITE))
    assert missing == [sha256_of(SITE["index.html"]), sha256_of(SITE["assets/app.js"])]


async def test_only_what_changed_is_asked_for(publisher, building, objects):
    objects.keep(blob_key(building.project_id, sha256_of(b"1")), b"1")
    missing = await publisher.accept_manifest(building, make_manifest(SITE))
    assert missing == [sha256_of(SITE["index.html"])]


async def test_another_projects_blobs_do_not_count(publisher, building, deployments, objects):
    other = deployments.add_building()
    await upload(publisher, other, SITE)
    assert len(await publisher.accept_manifest(building, make_manifest(SITE))) == 2


async def test_many_blobs_are_looked_for(publisher, building):
    files = {f"{number}.txt": str(number).encode() for number in range(100)}
    missing = await publisher.accept_manifest(building, make_manifest(files))
    assert missing == [sha256_of(body) for body in files.values()]


async def test_a_manifest_may_be_announced_again(publisher, building, row):
    await publisher.accept_manifest(building, make_manifest({"index.html": b"old"}))
    await upload(publisher, building, SITE)
    await publisher.finish(building, 1, OK)
    assert row().files == 3


async def test_a_store_that_is_away_is_unavailable_and_nothing_else(publisher, building, objects):
    objects.calls_left = 0
    with pytest.raises(Unavailable, match="object store"):
        await publisher.accept_manifest(building, make_manifest(SITE))


async def test_a_blob_that_nobody_announced_is_refused(publisher, building, objects):
    await publisher.accept_manifest(building, make_manifest(SITE))
    with pytest.raises(Invalid, match="announces no file"):
        await publisher.store_blob(building, sha256_of(b"evil"), 4, one_chunk(b"evil"))
    assert objects.bodies == {}


async def test_a_blob_before_its_manifest_is_refused(publisher, building):
    with pytest.raises(Invalid, match="manifest"):
        await publisher.store_blob(building, sha256_of(b"1"), 1, one_chunk(b"1"))


async def test_a_blob_of_another_size_than_announced_is_refused(publisher, building):
    await publisher.accept_manifest(building, make_manifest(SITE))
    with pytest.raises(Invalid, match="announces 1 bytes"):
        await publisher.store_blob(building, sha256_of(b"1"), 2, one_chunk(b"11"))


async def test_a_blob_with_other_bytes_than_announced_is_refused(publisher, building, objects):
    await publisher.accept_manifest(building, make_manifest(SITE))
    with pytest.raises(Invalid):
        await publisher.store_blob(building, sha256_of(b"1"), 1, one_chunk(b"2"))
    assert objects.bodies == {}


async def test_a_blob_may_come_twice(publisher, building, row):
    await upload(publisher, building, SITE)
    await publisher.store_blob(building, sha256_of(b"1"), 1, one_chunk(b"1"))
    await publisher.finish(building, 1, OK)
    assert row().status is Status.READY


async def test_a_blob_may_go_to_another_gateway_than_the_manifest(publisher, building, deployments, objects):
    await publisher.accept_manifest(building, make_manifest(SITE))
    other = Publisher(deployments, deployments, deployments, objects, Builder())
    await other.store_blob(building, sha256_of(b"1"), 1, one_chunk(b"1"))
    assert objects.bodies[blob_key(building.project_id, sha256_of(b"1"))] == b"1"


async def test_a_manifest_that_another_gateway_replaced_is_read_again(publisher, building, deployments, objects):
    await publisher.accept_manifest(building, make_manifest({"index.html": b"old"}))
    await Publisher(deployments, deployments, deployments, objects, Builder()).accept_manifest(
        building, make_manifest(SITE)
    )
    await publisher.store_blob(building, sha256_of(b"1"), 1, one_chunk(b"1"))


async def test_manifests_of_many_builds_are_not_all_remembered(deployments, objects, monkeypatch):
    monkeypatch.setattr(publishing, "REMEMBERED_MANIFESTS", 1)
    publisher = Publisher(deployments, deployments, deployments, objects, Builder())
    first, second = deployments.add_building(), deployments.add_building()
    await publisher.accept_manifest(first, make_manifest(SITE))
    await publisher.accept_manifest(second, make_manifest(SITE))
    await publisher.store_blob(first, sha256_of(b"1"), 1, one_chunk(b"1"))
    assert len(publisher._sizes) == 1


async def test_finishing_without_a_manifest_is_refused(publisher, building, row):
    with pytest.raises(Invalid, match="manifest"):
        await publisher.finish(building, 1, OK)
    assert row().status is Status.BUILDING


async def test_an_output_of_which_bytes_are_gone_is_tried_again(publisher, building, row, objects):
    await upload(publisher, building, SITE)
    objects.bodies.clear()
    await publisher.finish(building, 1, OK)
    assert (row().status, row().attempt, row().queue_reason) == (Status.QUEUE, 2, publishing.VANISHED)


async def test_a_finish_that_is_repeated_changes_nothing(publisher, building, row):
    await upload(publisher, building, SITE)
    await publisher.finish(building, 1, OK)
    ready = row()
    await publisher.finish(ready, 1, OK)
    assert row() == ready


async def test_two_finishes_at_once_publish_once(publisher, building, row, objects):
    await upload(publisher, building, SITE)
    await asyncio.gather(publisher.finish(building, 1, OK), publisher.finish(building, 1, OK))
    assert row().status is Status.READY


async def test_a_failure_that_is_repeated_changes_nothing(publisher, building, row):
    failure = Finish("failed", 7, "npm ended with 1.", "build", 1)
    await publisher.finish(building, 1, failure)
    failed = row()
    await publisher.finish(failed, 1, failure)
    assert (failed.status, failed.reason, failed.exit_code, failed.last_seq) == (
        Status.FAILED,
        "npm ended with 1.",
        1,
        7,
    )
    assert row() == failed


@pytest.mark.parametrize("late", [Finish("ok", 0), Finish("failed", 0, "No."), Finish("lost", 0)])
async def test_a_finish_of_a_canceled_attempt_changes_nothing(publisher, building, row, deployments, late):
    await upload(publisher, building, SITE)
    canceled = await deployments.cancel(OWNER, building.id)
    with pytest.raises(Conflict):
        await publisher.finish(building, 1, late)
    assert row() == canceled


async def test_a_finish_of_an_earlier_attempt_changes_nothing(publisher, building, row, deployments):
    await upload(publisher, building, SITE)
    await deployments.lost(building.id, 1, "It was gone.", 3)
    (second,) = await deployments.claim("fake", 60)
    with pytest.raises(Conflict):
        await publisher.finish(building, 1, OK)
    assert row() == second


async def test_a_builder_that_gives_up_starts_another_attempt(publisher, building, row):
    await publisher.finish(building, 1, Finish("lost", 3, "The network was gone."))
    assert (row().status, row().attempt, row().queue_reason) == (Status.QUEUE, 2, "The network was gone.")


async def test_the_last_builder_that_gives_up_ends_it(publisher, deployments):
    last = deployments.add_building(attempt=3)
    await publisher.finish(last, 3, Finish("lost", 3, "The network was gone."))
    found = deployments.rows[last.id]
    assert (found.status, found.reason) == (Status.FAILED, "The network was gone.")


async def test_failing_without_a_reason_says_so(publisher, building, row):
    await publisher.finish(building, 1, Finish("failed", 0))
    assert row().reason == publishing.NO_REASON


@pytest.mark.parametrize("calls", range(11))
async def test_a_crash_at_any_moment_leaves_the_old_site_or_the_new_one(publisher, deployments, objects, calls):
    old = deployments.add_building(number=1)
    await upload(publisher, old, SITE)
    await publisher.finish(old, 1, OK)
    new = deployments.add_building(number=2, project_id=old.project_id)
    objects.calls_left = calls
    objects.broken = RuntimeError("killed")
    result = await asyncio.gather(_whole(publisher, new), return_exceptions=True)
    assert isinstance(result[0], RuntimeError)
    assert deployments.rows[old.id].is_live
    objects.calls_left = float("inf")
    await _whole(publisher, new)
    assert deployments.rows[new.id].is_live


async def _whole(publisher, deployment):
    await upload(publisher, deployment, SITE | {"new.html": b"new", "newer.html": b"newer"})
    await publisher.finish(deployment, 1, OK)


async def test_a_release_that_cannot_be_stored_in_time_is_unavailable(publisher, building, objects, monkeypatch):
    monkeypatch.setattr(publishing, "STORE_RELEASE_SECONDS", 0.01)
    await upload(publisher, building, SITE)
    objects.put = lambda *call, **options: asyncio.Event().wait()
    with pytest.raises(Unavailable, match="in time"):
        await publisher.finish(building, 1, OK)


async def test_an_older_build_that_ends_late_does_not_replace_the_newer_one(publisher, deployments):
    older = deployments.add_building(number=1)
    newer = deployments.add_building(number=2, project_id=older.project_id)
    await upload(publisher, older, SITE)
    await upload(publisher, newer, SITE)
    await publisher.finish(newer, 1, OK)
    await publisher.finish(older, 1, OK)
    assert deployments.rows[newer.id].is_live
    assert deployments.rows[older.id].status is Status.READY


async def test_the_deployment_must_exist(publisher, deployments, building):
    del deployments.rows[building.id]
    with pytest.raises(NotFound):
        await publisher.finish(building, 1, OK)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "..",
            "a/../b",
            "a\\b",
            "a\nb",
            "a\x00b",
            "\x7f",
            "a\x85b",
        ),
        *("\ud800", "x" * 256, "a/" * 600 + "a", "é" * 128),
    ],
)
def test_a_path_that_is_not_plain_is_refused(path):
    with pytest.raises(Invalid):
        check_manifest(Manifest((ManifestFile(path, HASH, 0),)), Builder())


@pytest.mark.parametrize(
    "path", ["index.html", "a/b/c", "...", ".well-known/x", "a b", "ü/日本", "a%2fb", "a?b", "é" * 127]
)
def test_a_plain_path_is_accepted(path):
    check_manifest(Manifest((ManifestFile(path, HASH, 0),)), Builder())


@pytest.mark.parametrize(
    "sha256", ["", "A" * 64, HASH[:-1], HASH + "0", HASH + "\n", "g" * 64, None, 5, "../" * 21 + "x", "../../other/0"]
)
def test_what_is_no_sha256_is_refused(sha256):
    with pytest.raises(Invalid):
        check_manifest(Manifest((ManifestFile("a", sha256, 0),)), Builder())


@pytest.mark.parametrize("size", [-1, 1.0, True, "1", None])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(Invalid):
        check_manifest(Manifest((ManifestFile("a", HASH, size),)), Builder())


def test_a_path_twice_is_refused():
    twice = Manifest((ManifestFile("a", HASH, 0), ManifestFile("a", HASH, 0)))
    with pytest.raises(Invalid, match="twice"):
        check_manifest(twice, Builder())


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b/c", "a"), ("x/y/z", "x/y")])
def test_a_file_that_is_also_a_folder_is_refused(paths):
    with pytest.raises(Invalid, match="folder"):
        check_manifest(make_manifest(dict.fromkeys(paths, b"")), Builder())


def test_one_sha256_with_two_sizes_is_refused():
    manifest = Manifest((ManifestFile("a", HASH, 0), ManifestFile("b", HASH, 1)))
    with pytest.raises(Invalid, match="two sizes"):
        check_manifest(manifest, Builder())


def test_an_empty_output_is_refused():
    with pytest.raises(Invalid, match="no files"):
        check_manifest(Manifest(()), Builder())


@pytest.mark.parametrize("limits", [{"output_files": 1}, {"output_bytes": 3}, {"file_bytes": 1}])
def test_more_than_the_limits_is_refused(limits):
    with pytest.raises(TooLarge, match="the limit"):
        check_manifest(make_manifest({"a": b"12", "b": b"34"}), Builder(**limits))


@pytest.mark.parametrize("limits", [{"output_files": 2}, {"output_bytes": 4}, {"file_bytes": 2}])
def test_exactly_the_limits_is_accepted(limits):
    check_manifest(make_manifest({"a": b"12", "b": b"34"}), Builder(**limits))


@pytest.mark.parametrize(
    "changes",
    [
        {"framework": "x" * 101},
        {"framework": "a\nb"},
        {"hashed_folders": ("",)},
        {"hashed_folders": ("/",)},
        {"hashed_folders": ("../x",)},
        {"hashed_folders": ("a//b",)},
        {"hashed_folders": ("a",) * 101},
    ],
)
def test_facts_that_cannot_be_served_are_refused(changes):
    with pytest.raises(Invalid):
        check_manifest(dataclasses.replace(make_manifest({"a": b""}), **changes), Builder())


async def test_a_refused_manifest_is_not_kept(publisher, building, deployments):
    with pytest.raises(Invalid):
        await publisher.accept_manifest(building, make_manifest({"..": b""}))
    assert deployments.manifests == {}
