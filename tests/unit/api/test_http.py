"""How the API answers: one shape for errors, closed headers, an id for each call, a line in the log."""

import datetime
import logging
import uuid

import pytest

from builder.protocol.settings import UsedSetting
from gateway.access.middlewares import ANSWERS
from gateway.errors import ConfigError, LaunchRefused, Unavailable
from gateway.models.attempt import Attempt, StepTiming
from gateway.models.deployment import Status
from tests.engines.api_server import GIT_URL, api_over_memory

UNKNOWN = uuid.UUID(int=1)


async def test_a_new_project_is_in_the_queue_and_the_dispatcher_is_woken(api):
    status, answer = await api.post("/project", {"name": "Blog", "gitUrl": GIT_URL})
    assert status == 201
    assert answer.keys() == {"deploymentId", "projectSlug", "status", "url"}
    assert (answer["projectSlug"], answer["status"], answer["url"]) == ("blog", "QUEUE", "http://blog.localhost:8000")
    assert api.services.dispatcher.woken == 1


async def test_what_was_made_says_where_it_is(api):
    body = {"name": "Blog", "gitUrl": GIT_URL}
    _, headers = await api.head("POST", "/project", json=body)
    assert headers["Location"] == "/project/blog"


async def test_a_deployment_shows_all_that_is_known_of_it(api):
    deployed = await api.deploy(branch="main")
    _, shown = await api.get(f"/deployment/{deployed['deploymentId']}")
    assert shown["id"] == deployed["deploymentId"]
    assert shown["deploymentUrl"] == f"http://site-{shown['id'][:8]}.localhost:8000"
    assert (shown["logsUrl"], shown["pageUrl"]) == (f"/logs/{shown['id']}", f"/d/{shown['id']}")
    assert (shown["commit"], shown["steps"], shown["isLive"], shown["branch"]) == (None, [], False, "main")
    assert shown["createdAt"].endswith("Z")
    assert len(shown["createdAt"]) == len("2026-01-01T00:00:00.000Z")


async def test_a_deployment_and_its_page_show_each_attempt(api):
    deployment_id = uuid.UUID((await api.deploy())["deploymentId"])
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    steps = (StepTiming("clone", 1_767_225_600_000, 2.5),)
    api.services.deployments.history[deployment_id] = [
        Attempt(1, "ecs", began, steps, "Its machine <went> away."),
        Attempt(2, "ecs", began, (), None),
    ]
    _, shown = await api.get(f"/deployment/{deployment_id}")
    assert shown["attempts"] == [
        {
            "number": 1,
            "startedAt": "2026-01-01T00:00:00.000Z",
            "steps": [{"name": "clone", "startedAt": "2026-01-01T00:00:00.000Z", "seconds": 2.5}],
            "reason": "Its machine <went> away.",
        },
        {"number": 2, "startedAt": "2026-01-01T00:00:00.000Z", "steps": [], "reason": None},
    ]
    async with api.session.get(f"{api.url}/d/{deployment_id}") as response:
        page = await response.text()
    assert "clone 2.5 s" in page
    assert "Its machine &lt;went&gt; away." in page


async def test_a_project_shows_its_settings_and_its_newest_deployment(api):
    deployed = await api.deploy(rootDirectory="apps/site")
    _, shown = await api.get("/project/site")
    assert (shown["gitUrl"], shown["rootDirectory"], shown["branch"]) == (GIT_URL, "apps/site", None)
    assert shown["newestDeployment"]["id"] == deployed["deploymentId"]


async def test_a_deployment_shows_where_the_settings_came_from(api):
    deployed = await api.deploy()
    deployment_id = uuid.UUID(deployed["deploymentId"])
    used = (UsedSetting("build_command", "npm run make", "netlify.toml"),)
    api.services.deployments.change(deployment_id, used_settings=used)
    _, shown = await api.get(f"/deployment/{deployment_id}")
    assert shown["settings"] == [{"name": "buildCommand", "value": "npm run make", "origin": "netlify.toml"}]


async def test_an_unknown_project_is_a_404_with_a_sentence(api):
    assert await api.get("/project/nothing") == (
        404,
        {"error": "Not found", "details": "No project is called 'nothing'."},
    )


@pytest.mark.parametrize("path", [f"/deployment/{UNKNOWN}", f"/logs/{UNKNOWN}"])
async def test_an_unknown_deployment_is_a_404(api, path):
    status, answer = await api.get(path)
    assert (status, answer["error"]) == (404, "Not found")


@pytest.mark.parametrize("path", ["/deployment/1", "/logs/1", "/logs/%00", "/logs/..%2f..", "/deployment/%F0%9F%98%80"])
async def test_a_malformed_id_is_a_400(api, path):
    status, answer = await api.get(path)
    assert (status, answer["error"]) == (400, "Validation failed")


async def test_what_is_final_cannot_be_canceled(api):
    deployed = await api.deploy()
    api.services.deployments.change(uuid.UUID(deployed["deploymentId"]), status=Status.READY)
    status, answer = await api.post(f"/deployment/{deployed['deploymentId']}/cancel")
    assert (status, answer["error"]) == (409, "Conflict")


async def test_canceling_answers_the_deployment(api):
    deployed = await api.deploy()
    status, answer = await api.post(f"/deployment/{deployed['deploymentId']}/cancel", {})
    assert (status, answer["status"]) == (200, "CANCELED")


async def test_there_is_nothing_at_other_addresses(api):
    assert await api.get("/nothing") == (404, {"error": "Not found", "details": "There is nothing at /nothing."})


async def test_another_method_is_a_405_that_names_the_right_ones(api):
    status, answer = await api.call("DELETE", "/project", headers={"Content-Type": "application/json"})
    assert (status, answer["details"]) == (405, "/project does not know DELETE: use GET, HEAD, POST.")
    _, headers = await api.head("DELETE", "/project", headers={"Content-Type": "application/json"})
    assert headers["Allow"] == "GET, HEAD, POST"


async def test_an_engine_that_is_away_is_a_503_to_be_tried_again(api):
    api.services.projects.is_away = True
    status, headers = await api.head("GET", "/project")
    assert (status, headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("error", [ConfigError("It is wrong."), LaunchRefused("It is refused.")])
async def test_every_word_of_ours_has_a_status(api, monkeypatch, error):
    async def fail(*_):
        raise error

    monkeypatch.setattr(api.services.projects, "get", fail)
    assert await api.get("/project/x") == (503, {"error": "Unavailable", "details": error.sentence})


async def test_what_nobody_foresaw_is_logged_and_told_to_nobody(api, monkeypatch, caplog):
    async def fail(*_):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(api.services.projects, "get", fail)
    status, answer = await api.get("/project/x", **{"X-Request-Id": "look-here-1"})
    assert (status, answer["error"]) == (500, "Internal error")
    assert "secret" not in answer["details"]
    assert "look-here-1" in answer["details"]
    assert any("request_id=look-here-1" in record.getMessage() and record.exc_info for record in caplog.records)


def test_no_two_words_share_a_status():
    assert len({status for status, _ in ANSWERS.values()}) == len(ANSWERS)


async def test_every_answer_is_closed_to_frames_sniffing_and_other_sites(api):
    _, headers = await api.head("GET", "/project")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


async def test_pages_may_load_their_own_parts_and_nothing_else(api):
    _, headers = await api.head("GET", "/")
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


async def test_a_call_keeps_its_id_and_a_strange_one_gets_another(api):
    _, headers = await api.head("GET", "/health", headers={"X-Request-Id": "0123456789"})
    assert headers["X-Request-Id"] == "0123456789"
    _, headers = await api.head("GET", "/health", headers={"X-Request-Id": "two words"})
    assert headers["X-Request-Id"] != "two words"


async def test_a_call_is_a_line_in_the_log_without_its_query(api, caplog):
    caplog.set_level(logging.INFO, logger="gateway.access.middlewares")
    await api.get("/project?limit=5")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.access.middlewares"]
    assert line.startswith("request GET /project 200 ")
    assert "limit" not in line


@pytest.mark.parametrize(("trusted", "client"), [([], "127.0.0.1"), (["127.0.0.0/8"], "203.0.113.7")])
async def test_the_log_names_the_client_by_the_word_of_trusted_proxies_alone(caplog, trusted, client):
    caplog.set_level(logging.INFO, logger="gateway.access.middlewares")
    async with api_over_memory(trusted_proxies=trusted) as api:
        await api.get("/project", **{"X-Forwarded-For": "198.51.100.1, 203.0.113.7"})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.access.middlewares"]
    assert f" client={client} " in line


async def test_a_path_cannot_forge_a_line_of_the_log(api, caplog):
    caplog.set_level(logging.INFO, logger="gateway.access.middlewares")
    await api.get("/%0Arequest%20GET%20/admin")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.access.middlewares"]
    assert "\n" not in line


async def test_who_wants_a_page_gets_the_error_as_a_page(api):
    _, headers = await api.head("GET", "/nothing", headers={"Accept": "text/html"})
    assert headers["Content-Type"].startswith("text/html")


async def test_health_is_well_while_engines_are_not(api):
    api.services.health.trouble("database", "PostgreSQL is away.")
    status, answer = await api.get("/health")
    assert (status, answer["status"]) == (200, "ok")


async def test_ready_names_the_troubles(api):
    assert await api.get("/ready") == (200, {"ready": True, "troubles": {}, "isolation": "strong"})
    api.services.health.trouble("database", "PostgreSQL is away.")
    status, answer = await api.get("/ready")
    assert (status, answer["troubles"]) == (503, {"database": "PostgreSQL is away."})


async def test_metrics_count_calls_by_route_and_deployments_by_status(api):
    await api.get("/project/a")
    await api.get("/project/b")
    async with api.session.get(f"{api.url}/metrics") as response:
        text = await response.text()
    assert 'buildspace_http_requests_total{method="GET",route="/project/{slug}",status="404"} 2.0' in text
    assert 'buildspace_deployments{status="READY"} 2.0' in text
    assert "process_resident_memory_bytes" in text


async def test_metrics_outlive_the_database(api, monkeypatch):
    async def away():
        raise Unavailable("PostgreSQL is away.")

    monkeypatch.setattr(api.services.metrics._deployments, "count_deployments", away)
    assert (await api.head("GET", "/metrics"))[0] == 200


async def test_a_listed_origin_may_read_answers_and_errors():
    async with api_over_memory(cors_origins=["https://app.example.com"]) as api:
        for path in ("/project", "/nothing"):
            _, headers = await api.head("GET", path, headers={"Origin": "https://app.example.com"})
            assert headers["Access-Control-Allow-Origin"] == "https://app.example.com"
            assert "Origin" in headers.getall("Vary")


async def test_a_listed_origin_is_told_what_it_may_send():
    async with api_over_memory(cors_origins=["https://app.example.com"]) as api:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
        status, headers = await api.head("OPTIONS", "/project", headers=asked)
        assert status == 204
        assert headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, PATCH, DELETE"
        assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Idempotency-Key"


async def test_other_origins_are_told_nothing():
    async with api_over_memory(cors_origins=["https://app.example.com"]) as api:
        asked = {"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST"}
        status, headers = await api.head("OPTIONS", "/project", headers=asked)
        assert status == 405
        assert "Access-Control-Allow-Origin" not in headers


async def test_without_listed_origins_there_is_no_cors(api):
    _, headers = await api.head("GET", "/project", headers={"Origin": "https://app.example.com"})
    assert "Access-Control-Allow-Origin" not in headers
