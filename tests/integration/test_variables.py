"""Variables over the API: what is stored, shown, refused, and never seen."""

import asyncio
import hashlib
import json

import pytest

from gateway.models.actor import OWNER
from gateway.secrets.rotation import rotate
from tests.engines.api_server import api_over_database

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
async def api(postgres, tmp_path):
    async with api_over_database(await postgres.create_database(), tmp_path) as running:
        yield running


@pytest.fixture
async def slug(api):
    return (await api.deploy())["projectSlug"]


@pytest.fixture
async def put(api, slug):
    async def put(slug=slug, **body):
        return await api.call("PUT", f"/project/{slug}/variables", json=body)

    return put


async def shown(api, slug):
    _, answer = await api.get(f"/project/{slug}/variables")
    return {(each["name"], each["context"]): each["value"] for each in answer["variables"]}


async def test_a_plain_variable_is_shown_and_a_secret_is_not(api, slug, put):
    await put(name="API_URL", value="https://api.example.com")
    status, answer = await put(name="API_KEY", value=SECRET, secret=True)
    assert status == 200
    assert await shown(api, slug) == {("API_KEY", "all"): None, ("API_URL", "all"): "https://api.example.com"}
    assert SECRET not in str(answer)
    assert answer["variables"][0]["secret"]
    assert answer["variables"][0]["updatedBy"] == "installation"


async def test_each_context_has_a_value_of_its_own(api, slug, put):
    await put(variables=[{"name": "A", "value": "1"}, {"name": "A", "value": "2", "context": "production"}])
    await put(name="A", value="3")
    assert await shown(api, slug) == {("A", "all"): "3", ("A", "production"): "2"}


async def test_nothing_is_stored_if_one_line_is_wrong(api, slug, put):
    status, answer = await put(dotenv="A=1\nPATH=2\n")
    assert (status, answer["error"]) == (400, "Validation failed")
    assert answer["fields"]["dotenv line 2"].startswith("Line 2: PATH cannot be set")
    assert await shown(api, slug) == {}


async def test_a_file_is_stored_whole(api, slug, put):
    await put(dotenv='export A=1\r\nB="two\r\nlines"\r\n', context="preview")
    assert await shown(api, slug) == {("A", "preview"): "1", ("B", "preview"): "two\nlines"}


async def test_node_options_come_with_a_warning(put):
    _, answer = await put(name="NODE_OPTIONS", value="--no-warnings")
    assert "is appended to the options" in answer["warnings"][0]


async def test_a_secret_does_not_become_plain_by_itself(api, slug, put):
    await put(name="API_KEY", value=SECRET, secret=True)
    status, answer = await put(name="API_KEY", value="https://example.com")
    assert status == 400
    assert answer["details"] == "API_KEY is a secret: send `secret: true` with its new value, or delete it first."
    assert await shown(api, slug) == {("API_KEY", "all"): None}


async def test_a_variable_is_deleted_in_one_context_or_in_all(api, slug, put):
    await put(variables=[{"name": "A", "value": "1"}, {"name": "A", "value": "2", "context": "production"}])
    await api.call("DELETE", f"/project/{slug}/variables?name=A&context=production")
    assert await shown(api, slug) == {("A", "all"): "1"}
    await put(name="A", value="2", context="production")
    status, answer = await api.call("DELETE", f"/project/{slug}/variables?name=A")
    assert (status, answer["variables"]) == (200, [])
    status, answer = await api.call("DELETE", f"/project/{slug}/variables?name=A")
    assert (status, answer["details"]) == (404, "The project has no variable 'A'.")


async def test_another_projects_variables_are_copied_with_its_secrets(api, slug, put):
    await put(variables=[{"name": "A", "value": "1"}, {"name": "KEY", "value": SECRET, "secret": True}])
    other = (await api.deploy())["projectSlug"]
    status, answer = await put(slug=other, copyFrom=slug)
    assert (status, SECRET in str(answer)) == (200, False)
    assert await shown(api, other) == {("A", "all"): "1", ("KEY", "all"): None}
    services = api.services
    project = await services.projects.get(OWNER, other)
    (sealed,) = [each for each in await services.variables._store.of_project(project.id) if each.is_secret]
    assert await services.vault.open(project.id, "variable all KEY", sealed.sealed) == SECRET


async def test_what_is_copied_from_has_to_exist(put):
    status, answer = await put(copyFrom="no-such-project")
    assert (status, answer["details"]) == (404, "No project is called 'no-such-project'.")


async def test_a_project_has_a_limit_of_variables(api, slug, put):
    many = [{"name": f"A{number}", "value": "1"} for number in range(200)]
    assert (await put(variables=many))[0] == 200
    status, answer = await put(name="ONE_MORE", value="1")
    assert (status, answer["details"]) == (400, "A project has at most 200 variables; these would be 201.")
    assert len(await shown(api, slug)) == 200


async def test_the_values_of_a_project_have_a_limit(put):
    for number in range(8):
        assert (await put(name=f"A{number}", value="x" * 32000))[0] == 200
    status, answer = await put(name="LAST", value="x" * 32000)
    assert (status, "at most 262144 bytes in all" in answer["details"]) == (400, True)


async def test_no_value_is_in_the_database_as_it_is(api, slug, put):
    await put(name="API_URL", value="https://plain.example.com/as-it-is")
    await put(name="API_KEY", value=SECRET, secret=True)
    tables = await api.services.database.pool.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    dump = "".join(
        [str(await api.services.database.pool.fetch(f'SELECT * FROM "{row["table_name"]}"')) for row in tables]
    )
    assert "API_KEY" in dump
    assert SECRET not in dump
    assert "plain.example.com" not in dump


async def test_a_row_moved_to_another_project_does_not_open(api, slug, put):
    await put(name="A", value="of the first")
    other = (await api.deploy())["projectSlug"]
    await put(slug=other, name="A", value="of the second")
    await api.services.database.pool.execute(
        "UPDATE variables SET sealed = (SELECT sealed FROM variables JOIN projects ON projects.id = project_id"
        " WHERE subdomain = $1)",
        slug,
    )
    assert await shown(api, slug) == {("A", "all"): "of the first"}
    status, answer = await api.get(f"/project/{other}/variables")
    assert status == 503
    assert "cannot be decrypted" in answer["details"]


async def test_without_the_key_variables_are_refused_and_the_rest_works(api, slug, put, tmp_path):
    await put(name="A", value="1")
    other = (await api.deploy())["projectSlug"]
    kept = next(tmp_path.rglob("secrets.key"))
    kept.rename(kept.with_name("elsewhere"))
    status, answer = await put(slug=other, name="A", value="1")
    assert status == 503
    assert "lacks the key" in answer["details"]
    assert (await api.get(f"/project/{slug}"))[0] == 200


async def of_build(api, deployment_id):
    """What the deployment's builder is given."""
    deployment = await api.services.deployments.get(OWNER, deployment_id)
    _, variables = await api.services.variables.of_build(deployment)
    return {each.name: (each.value, each.is_secret) for each in variables}


async def test_a_build_gets_what_is_for_all_and_for_production(api, slug, put):
    await put(variables=[{"name": "A", "value": "1"}, {"name": "A", "value": "2", "context": "production"}])
    await put(variables=[{"name": "B", "value": "3", "context": "preview"}, {"name": "C", "value": "4"}])
    _, deployed = await api.post(f"/project/{slug}/deployments")
    assert await of_build(api, deployed["deploymentId"]) == {"A": ("2", False), "C": ("4", False)}


async def asked_for(api, slug, body=None):
    """The context of a deployment that this call asks for, and its variables' values."""
    _, deployed = await api.post(f"/project/{slug}/deployments", body)
    context, variables = await api.services.variables.of_build(
        await api.services.deployments.get(OWNER, deployed["deploymentId"])
    )
    return context, {each.name: each.value for each in variables}


ONE_OF_EACH = [
    {"name": "A", "value": "for all"},
    {"name": "P", "value": SECRET, "secret": True, "context": "production"},
    {"name": "Q", "value": "for previews", "context": "preview"},
    {"name": "N", "value": "for next", "context": "branch:next"},
    {"name": "M", "value": "for main", "context": "branch:main"},
]


async def test_another_ref_gets_no_variable_for_production(api, slug, put):
    await put(variables=ONE_OF_EACH)
    given = {"A": "for all", "Q": "for previews", "N": "for next"}
    assert await asked_for(api, slug, {"ref": "next"}) == ("preview", given)


async def test_the_projects_branch_gets_what_is_for_production_and_for_that_branch(api, put):
    slug = (await api.deploy(branch="main"))["projectSlug"]
    await put(slug=slug, variables=ONE_OF_EACH)
    given = {"A": "for all", "P": SECRET, "M": "for main"}
    assert await asked_for(api, slug) == await asked_for(api, slug, {"ref": "main"}) == ("production", given)


async def test_a_value_for_a_branch_stands_above_the_others(api, slug, put):
    contexts = ["all", "preview", "branch:next"]
    await put(variables=[{"name": "A", "value": context, "context": context} for context in contexts])
    assert await asked_for(api, slug, {"ref": "next"}) == ("preview", {"A": "branch:next"})


async def test_a_commit_is_built_as_a_preview(api, slug, put):
    await put(variables=ONE_OF_EACH)
    assert (await asked_for(api, slug, {"ref": "0a" * 20}))[0] == "preview"


async def test_variables_of_a_call_are_for_that_deployment_alone(api, slug, put):
    await put(variables=[{"name": "A", "value": "1", "context": "production"}, {"name": "B", "value": "2"}])
    body = {"variables": [{"name": "A", "value": SECRET, "secret": True}, {"name": "C", "value": "3"}]}
    status, deployed = await api.post(f"/project/{slug}/deployments", body)
    assert status == 201
    own = {"A": (SECRET, True), "B": ("2", False), "C": ("3", False)}
    assert await of_build(api, deployed["deploymentId"]) == own
    _, again = await api.post(f"/project/{slug}/deployments")
    assert await of_build(api, again["deploymentId"]) == {"A": ("1", False), "B": ("2", False)}
    assert await shown(api, slug) == {("A", "production"): "1", ("B", "all"): "2"}


async def test_a_wrong_variable_of_a_call_deploys_nothing(api, slug):
    before = (await api.get(f"/project/{slug}/deployments"))[1]["deployments"]
    status, answer = await api.post(
        f"/project/{slug}/deployments", {"variables": [{"name": "LD_PRELOAD", "value": "x"}]}
    )
    assert (status, answer["fields"].keys()) == (400, {"variables.0"})
    assert (await api.get(f"/project/{slug}/deployments"))[1]["deployments"] == before


async def test_a_new_project_keeps_the_variables_of_its_call(api):
    deployed = await api.deploy(
        variables=[{"name": "A", "value": "1"}, {"name": "KEY", "value": SECRET, "secret": True}]
    )
    assert await of_build(api, deployed["deploymentId"]) == {"A": ("1", False), "KEY": (SECRET, True)}
    assert await shown(api, deployed["projectSlug"]) == {("A", "all"): "1", ("KEY", "all"): None}


async def created(api, key="one", **fields):
    body = {"name": "site", "gitUrl": "https://example.com/a.git"} | fields
    return await api.post("/project", body, **{"Idempotency-Key": key})


def secret(value):
    return [{"name": "KEY", "value": value, "secret": True}]


async def test_calls_with_one_key_and_the_same_variables_create_one_project(api):
    answers = await asyncio.gather(*(created(api, variables=secret(SECRET)) for _ in range(10)))
    assert {status for status, _ in answers} == {201}
    assert len({answer["deploymentId"] for _, answer in answers}) == 1


@pytest.mark.parametrize("other", [{}, {"variables": secret("another-value")}, {"name": "x"}])
async def test_another_request_under_the_same_key_is_a_conflict(api, other):
    await created(api, variables=secret(SECRET))
    assert (await created(api, **other))[0] == 409


async def test_a_key_of_a_request_without_variables_takes_none_with_some(api):
    await created(api)
    assert (await created(api, variables=secret(SECRET)))[0] == 409


async def test_a_rotation_between_two_equal_requests_changes_nothing(api):
    _, first = await created(api, variables=secret(SECRET))
    vault = api.services.vault
    await rotate(vault._keys, vault._ring, lambda sentence: None)
    status, again = await created(api, variables=secret(SECRET))
    assert (status, again["deploymentId"]) == (201, first["deploymentId"])


async def test_what_is_compared_of_a_request_does_not_reveal_its_values(api):
    body = {"name": "site", "gitUrl": "https://example.com/a.git", "variables": secret(SECRET)}
    await created(api, **body)
    stored = await api.services.database.pool.fetchval("SELECT body_sha256 FROM idempotency_keys")
    assert stored != hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()


async def test_a_wrong_variable_of_a_new_project_creates_none(api):
    body = {"name": "x", "gitUrl": "https://example.com/a.git", "variables": [{"name": "A"}]}
    status, answer = await api.post("/project", body)
    assert (status, answer["details"]) == (400, "variables.0.value is required")
    assert (await api.get("/project"))[1]["projects"] == []


async def test_no_answer_about_a_deployment_has_a_value(api, slug, put):
    await put(name="KEY", value=SECRET, secret=True)
    _, deployed = await api.post(
        f"/project/{slug}/deployments", {"variables": [{"name": "OTHER", "value": SECRET, "secret": True}]}
    )
    paths = [f"/project/{slug}", "/project", f"/deployment/{deployed['deploymentId']}", f"/project/{slug}/deployments"]
    assert SECRET not in str([await api.get(path) for path in [*paths, f"/project/{slug}/variables"]])
