"""What the project store promises."""

import asyncio
import collections
import itertools

import pytest

from builder.protocol.settings import Settings
from gateway.errors import Conflict, Invalid, NotFound, TooMany, Unavailable
from gateway.models.actor import OWNER
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.slugs import ADJECTIVES, ANIMALS, random_long_slug, random_slug
from gateway.models.source import GitRef
from gateway.stores.deployments import DeploymentStore
from gateway.stores.projects import ProjectStore
from tests.engines.stores import deploy_again, new_project

URL = "https://example.com/blog.git"


async def test_a_project_begins_with_a_deployment_in_the_queue(projects):
    source, settings = GitRef(URL, "main"), Settings(build_command="make")
    cause = Cause(CauseKind.FORM, OWNER.kind, "main")
    deployment = await new_project(projects, source=source, settings=settings, cause=cause)
    assert (deployment.status, deployment.number, deployment.attempt) == (Status.QUEUE, 1, 1)
    assert (deployment.settings, deployment.source, deployment.cause) == (settings, source, cause)
    assert not deployment.is_live


async def test_a_project_is_found_by_its_slug(projects, queued):
    project = await projects.get(OWNER, queued.project_slug)
    assert (project.id, project.name, project.source) == (queued.project_id, "Blog", queued.source)


async def test_an_unknown_slug_is_not_found(projects):
    with pytest.raises(NotFound, match="No project is called 'nothing'"):
        await projects.get(OWNER, "nothing")


async def test_fifty_identical_requests_at_once_make_one_project(projects):
    calls = [new_project(projects, idempotency=("key", b"body")) for _ in range(50)]
    made = await asyncio.gather(*calls)
    assert len({deployment.id for deployment in made}) == 1
    assert len((await projects.list(OWNER, 100))[0]) == 1


async def test_a_full_queue_takes_nothing_and_keeps_nothing_of_what_was_asked(database, deployments):
    projects = ProjectStore(database, queue_length=1)
    waiting = await new_project(projects)
    with pytest.raises(TooMany, match=r"1 deployment waits to be built, .*queue_length allows 1") as refused:
        await new_project(projects, "Shop", idempotency=("key", b"body"))
    assert refused.value.retry_seconds > 0
    with pytest.raises(TooMany):
        await deploy_again(DeploymentStore(database, queue_length=1), waiting.project_slug)
    assert [project.name for project in (await projects.list(OWNER, 100))[0]] == ["Blog"]
    await deployments.claim("process", 60)
    assert (await new_project(projects, "Shop", idempotency=("key", b"body"))).status is Status.QUEUE


async def test_gateways_that_queue_at_once_keep_to_the_limit_together(database):
    gateways = [ProjectStore(database, queue_length=3) for _ in range(3)]
    calls = [new_project(gateway) for gateway in gateways * 4]
    made = await asyncio.gather(*calls, return_exceptions=True)
    assert collections.Counter(type(each) for each in made) == {Deployment: 3, TooMany: 9}


async def test_what_is_asked_again_is_answered_though_the_queue_is_full(database):
    projects = ProjectStore(database, queue_length=1)
    first = await new_project(projects, idempotency=("key", b"body"))
    assert (await new_project(projects, idempotency=("key", b"body"))).id == first.id


async def test_an_idempotency_key_for_another_body_is_a_conflict(projects):
    await new_project(projects, idempotency=("key", b"body"))
    with pytest.raises(Conflict, match="Idempotency-Key"):
        await new_project(projects, "Shop", idempotency=("key", b"other"))


async def test_without_a_key_each_request_makes_a_project(projects):
    await asyncio.gather(*(new_project(projects) for _ in range(20)))
    assert len((await projects.list(OWNER, 100))[0]) == 20


async def test_a_slug_that_is_taken_is_chosen_again(database):
    names = iter(["red-fox", "red-fox", "red-fox", "blue-fox"])
    projects = ProjectStore(database, choose_slug=lambda: next(names))
    first = await new_project(projects, "One")
    second = await new_project(projects, "Two")
    assert (first.project_slug, second.project_slug) == ("red-fox", "blue-fox")


async def test_when_short_names_are_taken_a_longer_one_is_chosen(database):
    projects = ProjectStore(database, choose_slug=lambda: "red-fox", choose_long_slug=lambda: "red-fox-1234")
    await new_project(projects, "One")
    assert (await new_project(projects, "Two")).project_slug == "red-fox-1234"
    with pytest.raises(Unavailable, match="No free name"):
        await new_project(projects, "Three")


async def test_a_slug_that_is_refused_is_chosen_again(database):
    names = iter(["red-fox-pr-1", "deploy", "blue-fox"])
    projects = ProjectStore(database, ["deploy"], choose_slug=lambda: next(names))
    assert (await new_project(projects, "One")).project_slug == "blue-fox"


async def test_a_project_that_fails_to_be_made_leaves_nothing(projects, database):
    with pytest.raises(Invalid, match="NUL"):
        await new_project(projects, cause=Cause(CauseKind.API, "\0"))
    assert await database.pool.fetchval("SELECT count(*) FROM projects") == 0
    assert await database.pool.fetchval("SELECT count(*) FROM hosts") == 0


async def test_a_list_is_read_page_by_page_newest_first(projects):
    made = [(await new_project(projects, f"p{number}")).project_id for number in range(5)]
    first, cursor = await projects.list(OWNER, 2)
    second, cursor = await projects.list(OWNER, 2, cursor)
    third, end = await projects.list(OWNER, 2, cursor)
    assert [project.id for project in (*first, *second, *third)] == made[::-1]
    assert end is None


async def test_a_page_that_ends_with_the_list_has_no_cursor(projects, queued):
    found, cursor = await projects.list(OWNER, 1)
    assert (len(found), cursor) == (1, None)


@pytest.mark.parametrize("cursor", ["x", "%%%", "ü", "bm90aGluZw", "MjAyNi0wMS0wMQpub3RhbmlkCg", "=", "\0", "A" * 5000])
async def test_a_bad_cursor_is_invalid(projects, deployments, queued, cursor):
    with pytest.raises(Invalid, match="cursor"):
        await projects.list(OWNER, 10, cursor)
    with pytest.raises(Invalid, match="cursor"):
        await deployments.list(OWNER, queued.project_slug, 10, cursor)


async def test_the_install_key_is_made_once(installation):
    keys = await asyncio.gather(*(installation.install_key() for _ in range(20)))
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32


async def test_a_new_token_hash_replaces_the_old(installation):
    assert await installation.token_hash() is None
    await installation.set_token_hash(b"one")
    await installation.set_token_hash(b"two")
    assert await installation.token_hash() == b"two"


def test_slugs_are_names_of_hosts():
    words = (*ADJECTIVES, *ANIMALS)
    assert len(ADJECTIVES) >= 120
    assert len(ANIMALS) >= 120
    assert len(set(words)) == len(words)
    assert all(word.isascii() and word.isalpha() and word.islower() and 2 <= len(word) <= 12 for word in words)


def test_slugs_differ():
    assert len({random_slug() for _ in range(200)}) > 150
    assert all(len(slug.split("-")) == 3 for slug in itertools.islice(iter(random_long_slug, None), 20))
