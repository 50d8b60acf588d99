"""An actor that owns its projects reaches these alone; the owner of the installation reaches all."""

import dataclasses
import uuid

import pytest

from gateway.errors import NotFound
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from tests.engines.stores import deploy_again, new_project

URL = "https://example.com/site.git"


async def add_user(database, email):
    async with database.acquire() as connection:
        user_id = await connection.fetchval(
            """
            INSERT INTO users (first_name, last_name, email, password)
            VALUES ('A', 'User', $1, '-')
            RETURNING id
            """,
            email,
        )
    return dataclasses.replace(OWNER, kind="user", owner_id=user_id)


@pytest.fixture
async def ann(database):
    return await add_user(database, "ann@example.com")


@pytest.fixture
async def ben(database):
    return await add_user(database, "ben@example.com")


@pytest.fixture
async def of_ann(projects, ann):
    return await new_project(projects, actor=ann)


async def test_its_own_project_and_deployments_are_found(projects, deployments, ann, of_ann):
    project = await projects.get(ann, of_ann.project_slug)
    assert [each.id for each in (await projects.list(ann, 10))[0]] == [project.id]
    assert (await deployments.get(ann, of_ann.id)).id == of_ann.id
    assert [each.id for each in (await deployments.list(ann, project.slug, 10))[0]] == [of_ann.id]
    assert (await deployments.newest(ann, [project.id]))[project.id].id == of_ann.id
    assert await deployments.attempts(ann, of_ann.id) == []
    assert (await deploy_again(deployments, project.slug, actor=ann)).number == 2
    assert (await deployments.cancel(ann, of_ann.id)).status is Status.CANCELED


async def test_lists_leave_out_what_belongs_to_another(projects, deployments, ben, of_ann):
    own = await new_project(projects, "Shop", actor=ben)
    assert [project.slug for project in (await projects.list(ben, 10))[0]] == [own.project_slug]
    assert set(await deployments.newest(ben, [of_ann.project_id, own.project_id])) == {own.project_id}


@pytest.mark.parametrize("method", ["get", "attempts", "cancel", "promote"])
async def test_a_deployment_of_another_is_not_found(deployments, ben, of_ann, method):
    with pytest.raises(NotFound, match="There is no deployment"):
        await getattr(deployments, method)(ben, of_ann.id)
    assert (await deployments.get(OWNER, of_ann.id)).status is Status.QUEUE


async def test_a_project_of_another_is_not_found(projects, deployments, ben, of_ann):
    slug = of_ann.project_slug
    for call in (projects.get(ben, slug), deployments.list(ben, slug, 10), deploy_again(deployments, slug, actor=ben)):
        with pytest.raises(NotFound, match="No project is called"):
            await call


async def test_the_key_of_another_does_not_show_its_deployment(projects, ann, ben):
    await new_project(projects, actor=ann, idempotency=("key", b"body"))
    with pytest.raises(NotFound):
        await new_project(projects, actor=ben, idempotency=("key", b"body"))


async def test_the_owner_of_the_installation_reaches_all(projects, deployments, of_ann):
    own = await new_project(projects, "Shop")
    assert {each.slug for each in (await projects.list(OWNER, 10))[0]} == {of_ann.project_slug, own.project_slug}
    assert (await deployments.get(OWNER, of_ann.id)).id == of_ann.id


async def test_a_project_without_a_user_is_found_by_the_owner_of_the_installation_alone(projects, ann):
    own = await new_project(projects, "Shop")
    with pytest.raises(NotFound):
        await projects.get(ann, own.project_slug)
    with pytest.raises(NotFound):
        await projects.get(dataclasses.replace(ann, owner_id=uuid.uuid4()), own.project_slug)
