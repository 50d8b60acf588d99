"""What changing, renaming and deleting a project promise."""

import dataclasses
import uuid

import pytest

from gateway.errors import Conflict, Invalid, NotFound
from gateway.models.actor import OWNER
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from gateway.models.host import Signpost
from gateway.stores.deletions import DeletionStore
from tests.engines.stores import deploy_again, new_project


def renamed_to(slug):
    return lambda project: dataclasses.replace(project, slug=slug)


@pytest.fixture
def deletions(database):
    return DeletionStore(database)


async def forget_reservations(database):
    await database.pool.execute("UPDATE hosts SET reserved_until = '-infinity' WHERE reserved_until IS NOT NULL")


async def test_a_change_is_what_the_next_deployment_uses(projects, deployments, queued):
    await projects.change(
        OWNER,
        queued.project_slug,
        lambda project: dataclasses.replace(
            project, name="Notes", settings=dataclasses.replace(project.settings, build_command="make site")
        ),
    )
    again = await deploy_again(deployments, queued.project_slug)
    assert (again.project_name, again.settings.build_command) == ("Notes", "make site")
    assert (await deployments.get(OWNER, queued.id)).settings.build_command is None


async def test_the_former_slug_leads_to_the_new_one(projects, hosts, queued):
    await projects.change(OWNER, queued.project_slug, renamed_to("notes"))
    assert (await hosts.find("notes")).project_id == queued.project_id
    assert await hosts.find(queued.project_slug) == Signpost(queued.project_slug, "notes")
    assert await hosts.renamed_to(OWNER, queued.project_slug) == "notes"


async def test_after_two_changes_both_former_slugs_lead_to_the_last_one(projects, hosts, queued):
    await projects.change(OWNER, queued.project_slug, renamed_to("notes"))
    await projects.change(OWNER, "notes", renamed_to("diary"))
    assert [await hosts.renamed_to(OWNER, each) for each in (queued.project_slug, "notes")] == ["diary", "diary"]


async def test_a_project_may_take_its_former_slug_back(projects, hosts, queued):
    await projects.change(OWNER, queued.project_slug, renamed_to("notes"))
    await projects.change(OWNER, "notes", renamed_to(queued.project_slug))
    assert (await hosts.find(queued.project_slug)).project_id == queued.project_id
    assert await hosts.renamed_to(OWNER, "notes") == queued.project_slug


async def test_a_former_slug_leads_nowhere_if_that_was_asked_for(projects, hosts, queued):
    await projects.change(OWNER, queued.project_slug, renamed_to("notes"), redirects=False)
    assert await hosts.find(queued.project_slug) == Signpost(queued.project_slug, None)
    assert await hosts.renamed_to(OWNER, queued.project_slug) is None


async def test_the_addresses_of_deployments_stay_and_follow_the_new_slug(projects, hosts, deployments, building):
    await deployments.publish(building.id, 1, 3, 100, 7)
    await projects.change(OWNER, building.project_slug, renamed_to("notes"))
    names = [deployment_label(slug, building.id) for slug in (building.project_slug, "notes")]
    assert [(await hosts.find(name)).deployment_id for name in names] == [building.id] * 2


async def test_a_slug_of_another_project_is_refused_and_nothing_changes(projects, queued):
    other = await new_project(projects, "Other")
    with pytest.raises(Conflict, match="is taken"):
        await projects.change(
            OWNER, other.project_slug, lambda project: dataclasses.replace(project, name="X", slug=queued.project_slug)
        )
    assert (await projects.get(OWNER, other.project_slug)).name == "Other"


@pytest.mark.parametrize("slug", ["www", "a-pr-7", "blog-0123abcd", "Blog", "", "a.b"])
async def test_a_slug_that_no_project_may_have_is_refused(projects, queued, slug):
    with pytest.raises(Invalid):
        await projects.change(OWNER, queued.project_slug, renamed_to(slug))


async def test_a_former_slug_is_kept_from_other_projects_for_a_time(projects, database, queued):
    await projects.change(OWNER, queued.project_slug, renamed_to("notes"))
    other = await new_project(projects, "Other")
    with pytest.raises(Conflict):
        await projects.change(OWNER, other.project_slug, renamed_to(queued.project_slug))
    await forget_reservations(database)
    await projects.change(OWNER, other.project_slug, renamed_to(queued.project_slug))


async def test_of_a_deleted_project_nothing_is_found_and_what_waits_or_builds_is_canceled(
    projects, deployments, deletions, hosts, building
):
    waiting = await deploy_again(deployments, building.project_slug)
    await projects.delete(OWNER, building.project_slug)
    for look in (
        projects.get(OWNER, building.project_slug),
        projects.delete(OWNER, building.project_slug),
        deployments.get(OWNER, building.id),
        deployments.list(OWNER, building.project_slug, 10),
        deploy_again(deployments, building.project_slug),
    ):
        with pytest.raises(NotFound):
            await look
    assert (await projects.list(OWNER, 10))[0] == []
    assert await hosts.find(building.project_slug) == Signpost(building.project_slug, None)
    ended = {row.id: row.status for row in await deployments.page(uuid.UUID(int=0), 10)}
    assert ended == {building.id: Status.CANCELED, waiting.id: Status.CANCELED}


async def test_a_deleted_project_waits_for_its_builders(projects, deployments, deletions, building):
    await deployments.launched(building.id, 1, "process:1:1")
    await projects.delete(OWNER, building.project_slug)
    assert await deletions.due() == []
    (builder,) = await deployments.builders_to_stop("process")
    assert builder.is_canceled
    await deployments.builder_gone(builder)
    assert await deletions.due() == [building.project_id]


async def test_the_names_of_a_removed_project_stay_reserved(projects, deletions, hosts, database, queued):
    await projects.delete(OWNER, queued.project_slug)
    assert await deletions.deployments(queued.project_id) == [queued.id]
    await deletions.finish(queued.project_id)
    assert await deletions.due() == []
    assert await database.pool.fetchval("SELECT count(*) FROM deployments") == 0
    other = await new_project(projects, "Other")
    with pytest.raises(Conflict):
        await projects.change(OWNER, other.project_slug, renamed_to(queued.project_slug))
    await forget_reservations(database)
    await projects.change(OWNER, other.project_slug, renamed_to(queued.project_slug))


async def test_a_project_that_was_not_deleted_is_never_removed(projects, deletions, queued):
    await deletions.finish(queued.project_id)
    assert (await projects.get(OWNER, queued.project_slug)).id == queued.project_id
