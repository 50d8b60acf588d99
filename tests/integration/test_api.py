"""The API over a real database: what is created is there, once; access from elsewhere needs the token."""

import asyncio
import os
import re
import socket
import uuid

import aiohttp
import pytest

from builder.protocol.lines import Line, LineBatch
from gateway.access.guard import Access
from gateway.config import Api, Secret
from gateway.errors import ConfigError
from gateway.models.actor import OWNER
from gateway.models.deployment import Status
from gateway.models.object_keys import blob_key, release_key
from gateway.sites.release_format import encode_release
from tests.engines.api_server import GIT_URL, api_over_database
from tests.engines.gateway import eventually
from tests.unit.sites.fakes import make_release, sha256_of

ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
def start(postgres, tmp_path):
    """Start a gateway on a database of its own."""

    async def start(**environment):
        return api_over_database(await postgres.create_database(), tmp_path, **environment)

    return start


@pytest.fixture
async def api(start):
    async with await start() as running:
        yield running


async def test_a_new_project_is_there(api):
    deployed = await api.deploy(name="Übung", branch="main")
    _, project = await api.get(f"/project/{deployed['projectSlug']}")
    assert (project["name"], project["branch"]) == ("Übung", "main")
    assert project["newestDeployment"]["id"] == deployed["deploymentId"]
    _, deployment = await api.get(f"/deployment/{deployed['deploymentId']}")
    assert (deployment["number"], deployment["attempt"], deployment["project"]) == (1, 1, deployed["projectSlug"])


async def test_a_new_deployment_is_launched_at_once(api):
    deployed = await api.deploy()

    async def is_building():
        return (await api.get(f"/deployment/{deployed['deploymentId']}"))[1]["status"] == "BUILDING"

    await eventually(is_building, "the dispatcher was woken", 5)


async def test_fifty_at_once_with_one_key_make_one_project(api):
    body = {"name": "site", "gitUrl": GIT_URL}
    answers = await asyncio.gather(*(api.post("/project", body, **{"Idempotency-Key": "one"}) for _ in range(50)))
    assert {status for status, _ in answers} == {201}
    assert len({answer["deploymentId"] for _, answer in answers}) == 1
    assert len((await api.get("/project"))[1]["projects"]) == 1


async def test_the_same_key_for_the_same_in_other_words_is_the_same(api):
    first = await api.post("/project", {"name": "site", "gitUrl": GIT_URL}, **{"Idempotency-Key": "k"})
    again = await api.post("/project", {"gitUrl": GIT_URL, "name": "site"}, **{"Idempotency-Key": "k"})
    assert first[1]["deploymentId"] == again[1]["deploymentId"]


async def test_the_same_key_for_something_else_is_a_409(api):
    await api.post("/project", {"name": "site", "gitUrl": GIT_URL}, **{"Idempotency-Key": "k"})
    status, answer = await api.post("/project", {"name": "other", "gitUrl": GIT_URL}, **{"Idempotency-Key": "k"})
    assert (status, answer["error"]) == (409, "Conflict")


async def test_projects_are_paged_newest_first(api):
    slugs = [(await api.deploy(name=f"site {number}"))["projectSlug"] for number in range(5)]
    _, first = await api.get("/project?limit=3")
    _, second = await api.get(f"/project?limit=3&cursor={first['next']}")
    assert [project["slug"] for project in first["projects"] + second["projects"]] == slugs[::-1]
    assert second["next"] is None


async def test_deploying_again_numbers_the_deployments(api):
    slug = (await api.deploy())["projectSlug"]
    status, again = await api.post(f"/project/{slug}/deployments", {})
    assert (status, again["projectSlug"]) == (201, slug)
    _, listed = await api.get(f"/project/{slug}/deployments")
    assert [deployment["number"] for deployment in listed["deployments"]] == [2, 1]
    _, page = await api.get(f"/project/{slug}/deployments?limit=1")
    _, rest = await api.get(f"/project/{slug}/deployments?limit=1&cursor={page['next']}")
    assert [deployment["number"] for deployment in rest["deployments"]] == [1]


async def test_deploying_again_builds_the_branch_of_the_project(api):
    slug = (await api.deploy(branch="next"))["projectSlug"]
    _, again = await api.post(f"/project/{slug}/deployments", {})
    _, deployment = await api.get(f"/deployment/{again['deploymentId']}")
    assert (deployment["branch"], deployment["trigger"]) == ("next", "api")


@pytest.mark.parametrize(
    ("ref", "branch", "commit"), [("v1.2.0", "v1.2.0", None), ("0a" * 20, None, "0a" * 20), (None, "next", None)]
)
async def test_another_branch_tag_or_commit_is_deployed_for_once(api, ref, branch, commit):
    slug = (await api.deploy(branch="next"))["projectSlug"]
    status, again = await api.post(f"/project/{slug}/deployments", {"ref": ref})
    deployment = await api.services.deployments.get(OWNER, uuid.UUID(again["deploymentId"]))
    assert (status, deployment.source.ref) == (201, ref or "next")
    assert (deployment.cause.branch, deployment.cause.commit) == (branch, commit)
    _, following = await api.post(f"/project/{slug}/deployments", {})
    following = await api.services.deployments.get(OWNER, uuid.UUID(following["deploymentId"]))
    assert following.source.ref == "next"


@pytest.mark.parametrize("ref", ["--upload-pack=x", "a b", 7])
async def test_a_ref_that_git_does_not_accept_is_a_400(api, ref):
    slug = (await api.deploy())["projectSlug"]
    status, answer = await api.post(f"/project/{slug}/deployments", {"ref": ref})
    assert (status, answer["fields"].keys()) == (400, {"ref"})


@pytest.mark.parametrize("path", ["/project?cursor=bm9uc2Vuc2U", "/project?cursor=_____w"])
async def test_a_cursor_of_somebody_else_is_a_400(api, path):
    status, answer = await api.get(path)
    assert (status, answer["fields"].keys()) == (400, {"cursor"})


async def test_a_canceled_deployment_is_canceled_once(api):
    deployed = await api.deploy()
    status, answer = await api.post(f"/deployment/{deployed['deploymentId']}/cancel")
    assert (status, answer["status"]) == (200, "CANCELED")
    assert (await api.post(f"/deployment/{deployed['deploymentId']}/cancel"))[0] == 409


async def test_the_builder_of_a_canceled_deployment_is_stopped_soon(api):
    deployed = await api.deploy()

    async def handle():
        return (await api.services.deployments.get(OWNER, uuid.UUID(deployed["deploymentId"]))).handle

    await eventually(handle, "the builder is launched", 5)
    await api.post(f"/deployment/{deployed['deploymentId']}/cancel")

    async def is_stopped():
        return api.services.launcher.stopped

    assert await eventually(is_stopped, "the builder is stopped", 10)


async def test_only_what_is_ready_can_go_live(api):
    deployed = await api.deploy()
    status, answer = await api.post(f"/deployment/{deployed['deploymentId']}/promote")
    assert (status, answer["error"]) == (409, "Conflict")


async def test_a_log_is_streamed_while_it_grows_and_ends_complete(api):
    deployed = await api.deploy()
    deployment_id = uuid.UUID(deployed["deploymentId"])

    async def is_building():
        return (await api.services.deployments.get(OWNER, deployment_id)).status is Status.BUILDING

    await eventually(is_building, "the deployment builds", 5)
    lines = tuple(Line(1_764_000_000_000 + seq, "stdout", "build", f"line {seq}") for seq in range(1, 2501))
    await api.services.transport.send(LineBatch("site", deployment_id, 1, 1, lines))
    _, growing = await api.get(f"/logs/{deployment_id}")
    assert [line["seq"] for line in growing["rawLogs"]] == list(range(1, 2501))
    assert (growing["ended"], growing["next"]) == (False, "1.2500")
    await api.services.attempts.fail(deployment_id, 1, "It failed.", "build", 1, 2500)

    async def has_ended():
        answer = (await api.get(f"/logs/{deployment_id}?after=1.2499"))[1]
        return answer if answer["ended"] else None

    ended = await eventually(has_ended, "the log ends", 15)
    assert (ended["complete"], ended["missing"], len(ended["rawLogs"])) == (True, [], 1)
    _, deployment = await api.get(f"/deployment/{deployment_id}")
    assert (deployment["status"], deployment["reason"], deployment["exitCode"]) == ("FAILED", "It failed.", 1)


async def test_the_lines_stored_are_counted(api):
    deployed = await api.deploy()
    line = Line(1_764_000_000_000, "stdout", "build", "x")
    await api.services.transport.send(LineBatch("site", uuid.UUID(deployed["deploymentId"]), 1, 1, (line,)))
    async with api.session.get(f"{api.url}/metrics") as response:
        assert "buildspace_log_lines_stored_total 1.0" in await response.text()


async def test_the_token_is_made_at_the_first_start_and_said_once(postgres, tmp_path):
    url = await postgres.create_database()
    async with api_over_database(url, tmp_path) as api:
        (token,) = api.tokens
        assert token.encode() not in await api.services.installation.token_hash()
    async with api_over_database(url, tmp_path) as api:
        assert api.tokens == []


async def test_elsewhere_the_token_is_needed(api):
    status, answer = await api.get("/project", **ELSEWHERE)
    assert (status, answer["error"]) == (401, "Unauthorized")
    assert "buildspace token rotate" in answer["details"]
    assert (await api.get("/project", Authorization="Bearer wrong", **ELSEWHERE))[0] == 401
    assert (await api.get("/project", Authorization=f"Bearer {api.tokens[0]}", **ELSEWHERE))[0] == 200


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_health_needs_no_token(api, path):
    assert (await api.get(path, **ELSEWHERE))[0] == 200


async def test_a_stranger_hears_what_is_in_trouble_and_not_where(api):
    api.services.health.trouble("an engine", "It cannot be reached at 10.0.0.7:5432.")
    status, stranger = await api.get("/ready", **ELSEWHERE)
    _, known = await api.get("/ready", Authorization=f"Bearer {api.tokens[0]}", **ELSEWHERE)
    api.services.health.recovered("an engine")
    assert (status, list(stranger["troubles"])) == (503, ["an engine"])
    assert "10.0.0.7" not in str(stranger)
    assert "10.0.0.7" in str(known)


@pytest.mark.parametrize("path", ["/project", "/metrics", "/openapi.json", "/logs/x", "/deployment/x"])
async def test_all_else_does(api, path):
    assert (await api.get(path, **ELSEWHERE))[0] == 401


async def test_a_full_queue_is_answered_with_a_time_to_come_back(start):
    async def is_building():
        return (await api.get(f"/deployment/{first['deploymentId']}"))[1]["status"] == "BUILDING"

    async with await start(BUILDSPACE_BUILDER_QUEUE_LENGTH="1", BUILDSPACE_BUILDER_CONCURRENCY="1") as api:
        first = await api.deploy()
        await eventually(is_building, "the first leaves the queue for good")
        await api.deploy()
        status, headers = await api.head("POST", "/project", json={"name": "Blog", "gitUrl": GIT_URL})
        again = await api.post(f"/project/{first['projectSlug']}/deployments", {})
    assert (status, headers["Retry-After"]) == (429, "30")
    assert (again[0], again[1]["error"]) == (429, "Too many requests")
    assert "builder.queue_length allows 1" in again[1]["details"]


async def test_a_configured_token_replaces_the_made_one(start):
    async with await start(BUILDSPACE_AUTH_TOKEN="correct-horse-battery") as api:
        assert api.tokens == []
        assert (await api.get("/project", Authorization="Bearer correct-horse-battery", **ELSEWHERE))[0] == 200


async def test_a_rotated_token_ends_the_old_one(api):
    new = await api.services.access.rotate()
    assert (await api.get("/project", Authorization=f"Bearer {api.tokens[0]}", **ELSEWHERE))[0] == 401
    assert (await api.get("/project", Authorization=f"Bearer {new}", **ELSEWHERE))[0] == 200


async def test_a_token_that_another_process_rotated_counts_at_once(api):
    old, elsewhere = api.tokens[0], Access(Api(), api.services.access._installation, Secret(""))
    assert (await api.get("/project", Authorization=f"Bearer {old}", **ELSEWHERE))[0] == 200
    new = await elsewhere.rotate()
    assert (await api.get("/project", Authorization=f"Bearer {old}", **ELSEWHERE))[0] == 401
    assert (await api.get("/project", Authorization=f"Bearer {new}", **ELSEWHERE))[0] == 200


async def test_the_login_page_gives_a_session_to_the_browser(api):
    own = {"Origin": api.url, **ELSEWHERE}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        sent = {"token": api.tokens[0], "next": "/"}
        async with browser.post(f"{api.url}/login", data=sent, headers=own, allow_redirects=False) as response:
            assert response.status == 303
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Domain" not in cookie
        async with browser.get(f"{api.url}/project", headers=ELSEWHERE) as response:
            assert response.status == 200
        await api.services.access.rotate()
        async with browser.get(f"{api.url}/project", headers=ELSEWHERE) as response:
            assert response.status == 401


async def test_under_tls_the_cookie_is_bound_to_the_host(api):
    own = {"Origin": api.url.replace("http:", "https:"), "X-Forwarded-Proto": "https", **ELSEWHERE}
    sent = {"token": api.tokens[0], "next": "/"}
    _, headers = await api.head("POST", "/login", data=sent, headers=own)
    assert headers["Set-Cookie"].startswith("__Host-buildspace=")
    assert "Secure" in headers["Set-Cookie"]


async def test_who_looks_for_a_page_gets_the_login_page(api):
    async with api.session.get(f"{api.url}/", headers={"Accept": "text/html", **ELSEWHERE}) as response:
        assert response.status == 401
        assert 'action="/login"' in await response.text()


async def test_another_gateway_on_the_same_data_is_refused_and_the_first_goes_on(api, postgres, tmp_path):
    with pytest.raises(ConfigError, match="uses the data directory"):
        async with api_over_database(await postgres.create_database(), tmp_path):
            pass
    assert (await api.get("/health"))[0] == 200


async def test_while_a_program_has_the_builders_port_the_rest_works_and_builds_wait(start):
    async def is_named():
        return re.match(named, (await api.get("/ready"))[1]["troubles"]["builders' API"])

    async def is_ready():
        return (await api.get("/ready"))[0] == 200

    async def is_building():
        return (await api.get(f"/deployment/{deployed['deploymentId']}"))[1]["status"] == "BUILDING"

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        named = rf"Port {port} is taken on 127\.0\.0\.1 by '.+' \(process {os.getpid()}\): stop it, .*builders\.port"
        place = {"BUILDSPACE_BUILDERS_PORT": str(port), "BUILDSPACE_BUILDERS_URL": f"http://127.0.0.1:{port}"}
        async with await start(**place) as api:
            deployed = await api.deploy()
            await eventually(is_named, "the program is named")
            assert (await api.get(f"/deployment/{deployed['deploymentId']}"))[1]["status"] == "QUEUE"
            async with api.session.get(api.gateway.sites_urls[0]) as response:
                assert response.status == 404
            other.close()
            await eventually(is_ready, "builders can call")
            await eventually(is_building, "the build starts")


async def test_a_taken_port_is_named_and_nothing_is_made(api, postgres, tmp_path):
    port = api.url.rsplit(":", 1)[1]
    other = tmp_path / "other"
    with pytest.raises(ConfigError, match=rf"Port {port} is taken"):
        async with api_over_database(await postgres.create_database(), other, BUILDSPACE_API_PORT=port):
            pass
    assert not other.exists()


async def test_with_the_database_away_it_starts_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.duties.PREPARE_SECONDS", 3.0)
    async with api_over_database("postgresql://nobody@127.0.0.1:1/nothing", tmp_path) as api:
        status, answer = await api.get("/ready")
        # Logs are kept there, too.
        assert (status, answer["troubles"].keys()) == (503, {"database", "log store"})
        assert (await api.get("/health"))[0] == 200
        status, answer = await api.get("/project")
        assert (status, answer["error"]) == (503, "Unavailable")


async def test_the_site_port_answers_beside_the_api(api):
    async with api.session.get(api.gateway.sites_urls[0], headers={"Host": "nothing.localhost"}) as response:
        assert response.status == 404


async def test_a_release_that_needs_a_newer_gateway_is_named_in_ready_and_other_sites_stay_up(api):
    slugs = [await publish(api, features) for features in (b'["time-travel"]', b"[]")]
    assert [await site_status(api, slug) for slug in slugs] == [503, 200]

    async def names_it():
        return "needs 'time-travel', which this gateway does not know" in str(await api.get("/ready"))

    await eventually(names_it, "/ready names the feature", 20)


async def publish(api, features):
    """A new live site, whose release names these features; its slug."""
    deployed = await api.deploy()
    deployment = await api.services.deployments.get(OWNER, uuid.UUID(deployed["deploymentId"]))

    async def is_building():
        return (await api.services.deployments.get(OWNER, deployment.id)).status is Status.BUILDING

    await eventually(is_building, "it is launched", 10)
    release = make_release(["index.html"], project_id=deployment.project_id, deployment_id=deployment.id)
    body = encode_release(release).replace(b'"features":[]', b'"features":' + features)
    await put(api, release_key(deployment.project_id, deployment.id), body)
    await put(api, blob_key(deployment.project_id, sha256_of(b"index.html")), b"index.html")
    await api.services.releases.publish(deployment.id, 1, 1, 10, 0)
    return deployment.project_slug


async def put(api, key, body):
    async def once():
        yield body

    await api.services.objects.put(key, once(), size=len(body))


async def site_status(api, slug):
    async with api.session.get(api.gateway.sites_urls[0], headers={"Host": f"{slug}.localhost"}) as response:
        return response.status
