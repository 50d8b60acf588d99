"""Changing, renaming and deleting a project over the API, and what becomes of its site and its files."""

import asyncio
import uuid

import pytest

from builder.protocol.calls import Finish
from builder.protocol.settings import Settings
from gateway.control.deletion import Deleter
from gateway.models.actor import OWNER
from gateway.models.object_keys import blobs_prefix, releases_prefix
from gateway.stores.deletions import DeletionStore
from tests.engines.api_server import api_over_database
from tests.engines.gateway import eventually
from tests.integration.control_parts import open_parts
from tests.integration.test_control import upload


@pytest.fixture
async def api(postgres, tmp_path):
    async with api_over_database(await postgres.create_database(), tmp_path) as running:
        yield running


@pytest.fixture
async def parts(postgres, tmp_path):
    async with open_parts(await postgres.create_database(), tmp_path) as running:
        yield running


async def site(api, slug, path="/"):
    """The status, and where it leads or else what it says."""
    url = api.gateway.sites_urls[0] + path
    async with api.session.get(url, headers={"Host": f"{slug}.localhost"}, allow_redirects=False) as response:
        return response.status, response.headers.get("Location") or await response.text()


async def change(api, old, /, **body):
    return await api.call("PATCH", f"/project/{old}", json=body)


async def test_what_a_call_does_not_name_stays(api):
    slug = (await api.deploy(name="Blog", branch="main", buildCommand="make"))["projectSlug"]
    status, project = await change(api, slug, outputDirectory="web", branch=None)
    assert status == 200
    assert (project["name"], project["buildCommand"], project["outputDirectory"]) == ("Blog", "make", "web")
    assert project["branch"] is None


async def test_an_empty_setting_is_left_to_the_builder(api):
    slug = (await api.deploy(buildCommand="make"))["projectSlug"]
    assert (await change(api, slug, buildCommand=""))[1]["buildCommand"] is None


async def test_the_settings_of_a_call_count_for_its_deployment_alone(api):
    slug = (await api.deploy(buildCommand="make"))["projectSlug"]
    body = {"buildCommand": "make all", "nodeVersion": "22"}
    deployed = [(await api.post(f"/project/{slug}/deployments", each))[1]["deploymentId"] for each in (body, {})]
    stored = [await api.services.deployments.get(OWNER, uuid.UUID(each)) for each in deployed]
    assert [each.overrides for each in stored] == [Settings(build_command="make all", node_version="22"), Settings()]
    assert [each.settings.build_command for each in stored] == ["make", "make"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"gitUrl": "https://10.0.0.1/a.git"}, "gitUrl"),
        ({"rootDirectory": "../x"}, "rootDirectory"),
        ({"keepOldAddress": "yes"}, "keepOldAddress"),
        ({"colour": "red"}, "colour"),
        ({"slug": "My Shop!"}, "slug"),
        ({"variables": []}, "variables"),
    ],
)
async def test_a_wrong_value_is_named_and_nothing_changes(api, body, field):
    slug = (await api.deploy(name="Blog"))["projectSlug"]
    status, answer = await change(api, slug, **{"branch": "next", **body})
    assert (status, list(answer["fields"])) == (400, [field])
    _, project = await api.get(f"/project/{slug}")
    assert (project["name"], project["branch"]) == ("Blog", None)


async def test_a_renamed_project_is_found_under_its_former_slug(api):
    slug = (await api.deploy())["projectSlug"]
    assert (await change(api, slug, slug="notes"))[1]["slug"] == "notes"
    status, headers = await api.head("GET", f"/project/{slug}/deployments?limit=1")
    assert (status, headers["Location"]) == (308, "/project/notes/deployments?limit=1")
    assert (await api.get(f"/project/{slug}"))[1]["slug"] == "notes"
    assert (await api.head("GET", f"/p/{slug}"))[1]["Location"] == "/p/notes"


async def test_the_former_address_leads_to_the_same_page_of_the_new_one(api):
    slug = (await api.deploy())["projectSlug"]
    await site(api, slug)
    await change(api, slug, slug="notes")
    status, location = await site(api, slug, "/a%20b?x=1")
    assert status == 308
    assert location.startswith("http://notes.localhost")
    assert location.endswith("/a%20b?x=1")


async def test_the_former_address_leads_nowhere_if_that_was_asked_for(api):
    slug = (await api.deploy())["projectSlug"]
    await change(api, slug, slug="notes", keepOldAddress=False)
    assert await site(api, slug) == await site(api, "nothing")
    assert (await api.head("GET", f"/project/{slug}"))[0] == 404


async def test_a_deleted_project_is_gone_from_everywhere(api):
    deployed = await api.deploy()
    slug = deployed["projectSlug"]
    unknown = await site(api, "nothing")
    assert await site(api, slug) != unknown
    assert await api.call("DELETE", f"/project/{slug}") == (202, {"slug": slug})
    assert await site(api, slug) == unknown
    for path in (f"/project/{slug}", f"/deployment/{deployed['deploymentId']}", f"/logs/{deployed['deploymentId']}"):
        assert (await api.get(path))[0] == 404
    assert (await api.get("/project"))[1]["projects"] == []

    async def is_removed():
        return not await api.services.database.pool.fetchval("SELECT count(*) FROM projects")

    await eventually(is_removed, "the job removes the rows", 30)


async def test_a_deleted_site_is_not_served_from_its_plain_copy(api):
    slug = (await api.deploy())["projectSlug"]

    async def bytes_of_a_page():
        yield b"old"

    await api.services.objects.put(f"__outputs/{slug}/index.html", bytes_of_a_page(), size=3)
    assert await site(api, slug) == (200, "old")
    await api.call("DELETE", f"/project/{slug}")
    assert (await site(api, slug))[0] == 404


async def send(api, path, **typed):
    """The status of a form, and where it leads or else the page."""
    headers = {"Origin": api.url}
    async with api.session.post(api.url + path, data=typed, headers=headers, allow_redirects=False) as response:
        return response.status, response.headers.get("Location") or await response.text()


async def test_the_form_of_settings_changes_a_project(api):
    slug = (await api.deploy(name="Blog", buildCommand="make"))["projectSlug"]
    typed = {"name": "Notes", "gitUrl": "https://github.com/user/notes.git", "slug": "notes", "branch": "main"}
    settings = {"buildCommand": "", "strictLockfile": "true", "outputDirectory": "web"}
    assert await send(api, f"/p/{slug}/settings", **typed, **settings) == (303, "/p/notes/settings")
    _, project = await api.get("/project/notes")
    assert {name: project[name] for name in typed} == typed
    assert (project["buildCommand"], project["strictLockfile"], project["outputDirectory"]) == (None, True, "web")


async def test_a_wrong_setting_is_said_next_to_its_field_and_what_was_typed_is_kept(api):
    slug = (await api.deploy(name="Blog"))["projectSlug"]
    status, page = await send(api, f"/p/{slug}/settings", name="Notes", slug="www", rootDirectory="../x")
    assert status == 400
    assert "Root directory must be a folder inside the repository" in page
    assert 'value="Notes"' in page
    assert (await api.get(f"/project/{slug}"))[1]["name"] == "Blog"


async def test_a_slug_that_is_taken_is_said_next_to_its_field(api):
    slug, other = [(await api.deploy())["projectSlug"] for _ in range(2)]
    status, page = await send(api, f"/p/{slug}/settings", slug=other)
    assert status == 409
    assert f"The slug &#39;{other}&#39; is taken" in page


async def test_a_project_is_deleted_by_typing_its_slug_alone(api):
    slug = (await api.deploy())["projectSlug"]
    status, page = await send(api, f"/p/{slug}/delete", confirm="blog")
    assert status == 400
    assert "Nothing was deleted." in page
    assert await send(api, f"/p/{slug}/delete", confirm=slug) == (303, "/")
    assert (await api.get(f"/project/{slug}"))[0] == 404


async def published(parts):
    deployment = await parts.launch()
    async with parts.builder(deployment.id) as api:
        await upload(api, {"index.html": b"one"})
        await api.finish(Finish("ok", 0))
    await parts.look(60)
    return deployment


async def keys(parts, project_id):
    return [
        info.key
        for prefix in (releases_prefix(project_id), blobs_prefix(project_id))
        async for info in parts.objects.list(prefix)
    ]


def deleter(parts, objects=None):
    return Deleter(DeletionStore(parts.database), parts.deployments, objects or parts.objects, parts.logs)


async def test_the_files_of_a_deleted_project_go_and_those_of_others_stay(parts):
    doomed, other = await published(parts), await published(parts)
    await parts.projects.delete(OWNER, doomed.project_slug)
    parts.launcher.kill(doomed.handle)
    await parts.look(60)
    await deleter(parts).work()
    assert await keys(parts, doomed.project_id) == []
    assert len(await keys(parts, other.project_id)) == 2


class BreaksOff:
    """An object store that a kill interrupts after its first deletion."""

    def __init__(self, objects):
        self._objects = objects
        self.list = objects.list

    async def delete(self, some):
        await self._objects.delete(some)
        raise asyncio.CancelledError


async def test_an_interrupted_removal_goes_on(parts):
    doomed = await published(parts)
    await parts.projects.delete(OWNER, doomed.project_slug)
    parts.launcher.kill(doomed.handle)
    await parts.look(60)
    with pytest.raises(asyncio.CancelledError):
        await deleter(parts, BreaksOff(parts.objects)).work()
    assert await keys(parts, doomed.project_id) != []
    await deleter(parts).work()
    assert await keys(parts, doomed.project_id) == []
    assert await parts.database.pool.fetchval("SELECT count(*) FROM projects") == 0
