"""What the store of hosts promises, and what becomes of sites from before there was one."""

import asyncio
import uuid

import pytest

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_migrations import migrate
from gateway.errors import NotFound, Unavailable
from gateway.models.addresses import deployment_label
from gateway.models.deployment import Status
from gateway.models.host import Signpost
from gateway.stores import hosts as module
from gateway.stores.hosts import HostStore, reserve_slug
from gateway.stores.projects import ProjectStore
from tests.engines.postgres import MIGRATIONS, older_than
from tests.engines.stores import deploy_again, new_project

URL = "https://example.com/blog.git"
HOSTS = "0016_create_hosts.sql"


async def test_a_slug_without_a_release_leads_to_nothing_yet(hosts, queued):
    pointer = await hosts.find(queued.project_slug)
    assert (pointer.project_id, pointer.slug) == (queued.project_id, queued.project_slug)
    assert (pointer.deployment_id, pointer.newest_status) == (None, Status.QUEUE)


async def test_a_slug_leads_to_the_live_release(hosts, deployments, building):
    await deployments.publish(building.id, 1, 3, 100, 7)
    pointer = await hosts.find(building.project_slug)
    assert (pointer.project_id, pointer.deployment_id) == (building.project_id, building.id)
    assert not pointer.is_preview


async def test_a_deployments_own_name_leads_to_it_whatever_is_live(hosts, deployments, building):
    await deployments.publish(building.id, 1, 3, 100, 7)
    await deploy_again(deployments, building.project_slug)
    (newer,) = await deployments.claim("process", 60)
    await deployments.publish(newer.id, 1, 3, 100, 7)
    pointer = await hosts.find(deployment_label(building.project_slug, building.id))
    assert (pointer.deployment_id, pointer.is_preview) == (building.id, True)


async def test_a_deployments_own_name_is_reserved_before_it_leads_anywhere(hosts, database, queued):
    label = deployment_label(queued.project_slug, queued.id)
    with pytest.raises(NotFound):
        await hosts.find(label)
    async with database.transaction() as connection:
        assert not await reserve_slug(connection, label, uuid.uuid4())


async def test_a_name_that_nobody_has_leads_nowhere(hosts, queued):
    with pytest.raises(NotFound, match="under the name 'nothing'"):
        await hosts.find("nothing")


async def test_a_domain_leads_to_what_is_live(hosts, database, deployments, building):
    await database.pool.execute(
        "INSERT INTO hosts (name, project_id, kind) VALUES ('www.example.com', $1, 'domain')", building.project_id
    )
    await deployments.publish(building.id, 1, 3, 100, 7)
    pointer = await hosts.find("www.example.com")
    assert (pointer.deployment_id, pointer.slug, pointer.is_preview) == (building.id, building.project_slug, False)


async def test_a_name_is_found_by_its_index(database, queued):
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch("EXPLAIN SELECT * FROM hosts WHERE name = 'blog'")
    assert "hosts_pkey" in plan[0][0]


async def test_of_two_projects_at_once_one_gets_the_name(database):
    projects = [ProjectStore(database, choose_slug=lambda: "red-fox") for _ in range(8)]
    made = await asyncio.gather(*(new_project(store) for store in projects))
    slugs = [deployment.project_slug for deployment in made]
    assert (slugs.count("red-fox"), len(set(slugs))) == (1, 8)


async def test_the_names_of_a_deleted_project_stay_reserved_until_their_time(hosts, database, queued):
    await database.pool.execute("UPDATE hosts SET project_id = NULL, reserved_until = now() + interval '30 days'")
    await database.pool.execute("DELETE FROM projects")
    assert await hosts.find(queued.project_slug) == Signpost(queued.project_slug, None)
    async with database.transaction() as connection:
        assert not await reserve_slug(connection, queued.project_slug, uuid.uuid4())
        await connection.execute("UPDATE hosts SET reserved_until = now() - interval '1 second'")
        assert await reserve_slug(connection, queued.project_slug, uuid.uuid4())
        assert not await reserve_slug(connection, queued.project_slug, uuid.uuid4())


async def test_a_deployment_whose_name_is_taken_gets_another_id(deployments, queued, monkeypatch):
    other = uuid.UUID(int=queued.id.int ^ (1 << 127))
    ids = iter([uuid.UUID(int=queued.id.int ^ 1), other])
    monkeypatch.setattr(module.uuid, "uuid4", lambda: next(ids))
    assert (await deploy_again(deployments, queued.project_slug)).id == other


async def test_where_every_name_is_taken_the_deployment_is_not_made(deployments, queued, monkeypatch):
    monkeypatch.setattr(module.uuid, "uuid4", lambda: uuid.UUID(int=queued.id.int ^ 1))
    with pytest.raises(Unavailable, match="No free name"):
        await deploy_again(deployments, queued.project_slug)


BLOG, SHOP = uuid.UUID(int=1), uuid.UUID(int=2)
FIRST = uuid.UUID("11111111-0000-4000-8000-000000000001")
SECOND = uuid.UUID("22222222-0000-4000-8000-000000000002")
TWIN = uuid.UUID("11111111-0000-4000-8000-000000000003")
"""Its first digits are those of FIRST, of which a newer release exists."""
FAILED = uuid.UUID("44444444-0000-4000-8000-000000000004")


@pytest.fixture
async def carried(postgres, tmp_path):
    """A live site, previews and a domain in a database of the last version without hosts, brought to this version."""
    async with open_pool(await postgres.create_empty_database(), 4) as database:
        await migrate(database, older_than(HOSTS, tmp_path))
        await database.pool.execute(
            """
            INSERT INTO projects (id, name, git_url, subdomain, custom_domain)
            VALUES
                ('00000000-0000-0000-0000-000000000001', 'Blog', 'https://e.com/b', 'red-fox', 'WWW.Example.com'),
                ('00000000-0000-0000-0000-000000000002', 'Shop', 'https://e.com/s', 'blue-fox', NULL);
            INSERT INTO deployments (id, project_id, status, number, git_url, released_at)
            VALUES
                ('11111111-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000001', 'READY', 1, '', NULL),
                ('11111111-0000-4000-8000-000000000003', '00000000-0000-0000-0000-000000000001', 'READY', 2, '', now()),
                ('22222222-0000-4000-8000-000000000002', '00000000-0000-0000-0000-000000000001', 'READY', 3, '', now()),
                ('44444444-0000-4000-8000-000000000004', '00000000-0000-0000-0000-000000000002', 'FAILED', 1, '', NULL);
            UPDATE projects
            SET live_deployment_id = '22222222-0000-4000-8000-000000000002'
            WHERE subdomain = 'red-fox';
            """
        )
        await migrate(database, MIGRATIONS)
        yield HostStore(database)


@pytest.mark.parametrize(
    ("name", "project", "deployment", "is_preview"),
    [
        ("red-fox", BLOG, SECOND, False),
        ("www.example.com", BLOG, SECOND, False),
        ("red-fox-22222222", BLOG, SECOND, True),
        ("red-fox-11111111", BLOG, TWIN, True),
        ("blue-fox", SHOP, None, False),
    ],
)
async def test_sites_and_previews_from_before_hosts_are_found(carried, name, project, deployment, is_preview):
    pointer = await carried.find(name)
    assert (pointer.project_id, pointer.deployment_id, pointer.is_preview) == (project, deployment, is_preview)


async def test_a_failed_deployment_from_before_hosts_has_no_preview(carried):
    with pytest.raises(NotFound):
        await carried.find("blue-fox-44444444")
