"""Calls that are made to break something: each gets a 4xx with a sentence, and the next call is answered as ever."""

import asyncio
import json

import pytest
import pytest_asyncio

from tests.engines.api_server import GIT_URL, api_over_memory

JSON = {"Content-Type": "application/json"}
BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"name"',
    b"{",
    b"{}",
    b'{"name": "x"}',
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"name": "\xed\xa0\x80", "gitUrl": "https://github.com/a/b"}',
    b'{"name": "\\ud800", "gitUrl": "https://github.com/a/b"}',
    b'{"name": "\\u0000", "gitUrl": "https://github.com/a/b"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "buildCommand": "a\\u0000b"}',
    b'{"name": "a", "name": "b", "gitUrl": "https://github.com/a/b"}',
    b'{"name": 1e999, "gitUrl": "https://github.com/a/b"}',
    b'{"name": NaN, "gitUrl": "https://github.com/a/b"}',
    b'{"name": ' + b"9" * 60_000 + b"}",
    b'{"name": ' + b"-" * 1000 + b"1}",
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"name": {"$gt": ""}, "gitUrl": ["https://github.com/a/b"]}',
    b'{"__proto__": {"admin": true}, "name": "a", "gitUrl": "https://github.com/a/b"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "status": "READY"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "branch": "--upload-pack=x"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "rootDirectory": "../../etc"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "outputDirectory": "~/dist"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b", "nodeVersion": "$(id)"}',
    b'{"name": "a", "gitUrl": "https://github.com/a/b"} trailing',
    b"name=a&gitUrl=https://github.com/a/b",
    b"<project/>",
    json.dumps({"name": "x" * 50_000, "gitUrl": GIT_URL}).encode(),
    json.dumps({f"field{number}": 1 for number in range(3000)}).encode(),
]
REQUESTS = [
    b"GET http://evil.example/project HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //evil.example/project HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    b"GET /project HTTP/1.1\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: \r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: localhost:evil\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: blog.localhost:8000\r\n\r\n",
    b"GET /project\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /project HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n",
    b"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"TRACE /project HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
]
FOREIGN = [
    {"Origin": "https://evil.example.com"},
    {"Origin": "null"},
    {"Origin": "http://blog.localhost:8000"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]
CHANGES = ["/project", "/project/site/deployments", "/deploy", "/p/site/deploy", "/login", "/logout"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api():
    async with api_over_memory() as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("body", BODIES, ids=lambda body: ascii(body[:60]))
async def test_a_hostile_body_is_a_400_with_a_sentence(api, body):
    status, answer = await api.call("POST", "/project", data=body, headers=JSON)
    assert (status, answer["error"]) == (400, "Validation failed")
    assert answer["details"]


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x"]
)
async def test_what_is_not_sent_as_json_is_a_415(api, content_type):
    body = json.dumps({"name": "a", "gitUrl": GIT_URL}).encode()
    status, answer = await api.call("POST", "/project", data=body, headers={"Content-Type": content_type})
    assert (status, answer["error"]) == (415, "Unsupported media type")


async def test_a_body_over_the_limit_is_a_413_that_names_it(api):
    status, answer = await api.call("POST", "/project", data=b" " * 70_000, headers=JSON)
    assert (status, answer["details"]) == (413, "The body has 70000 bytes; the limit is 65536.")


@pytest.mark.parametrize("request_bytes", REQUESTS, ids=lambda sent: ascii(sent[:70]))
async def test_a_hostile_request_is_refused_and_the_next_one_answered(api, request_bytes):
    answer = await asyncio.to_thread(api.raw, request_bytes + b"\r\n")
    status = answer.split(b" ", 2)[1]
    assert status.startswith(b"4")
    assert (await api.get("/health"))[0] == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", CHANGES)
async def test_pages_elsewhere_change_nothing(api, path, headers):
    body = {"name": "site", "gitUrl": GIT_URL}
    status, answer = await api.call("POST", path, json=body, headers=headers)
    assert (status, answer["error"]) == (403, "Forbidden")


@pytest.mark.parametrize("path", CHANGES)
async def test_a_form_without_an_origin_changes_nothing(api, path):
    status, answer = await api.call("POST", path, data={"name": "site", "gitUrl": GIT_URL})
    assert (status, answer["error"]) == (415, "Unsupported media type")


@pytest.mark.parametrize("path", ["/project", "/", "/logs/x", "/metrics", "/health", "/ready", "/openapi.json"])
async def test_a_rebound_name_reads_nothing(api, path):
    status, answer = await api.get(path, Host="evil.example.com")
    assert (status, answer["error"]) == (403, "Forbidden")


@pytest.mark.parametrize(
    "path", ["/project/%00", "/project/..%2f..%2fetc", "/project/%ff", "/project/a%5cb", "/project/%0d%0aX:1"]
)
async def test_hostile_paths_name_no_project(api, path):
    assert (await api.get(path))[0] == 404


@pytest.mark.parametrize(
    "query", ["cursor=%00", "cursor=' OR 1=1", "limit=-1", "limit=99999999999999999999", "limit=NaN"]
)
async def test_hostile_queries_are_refused(api, query):
    assert (await api.get(f"/project?{query}"))[0] == 400


async def test_none_of_them_made_a_project(api):
    assert (await api.get("/project"))[1]["projects"] == []
