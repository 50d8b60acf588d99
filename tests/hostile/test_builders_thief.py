"""A program on the builders' port while the gateway is away hears of a build its id, its attempt and nonces alone."""

import re

import pytest

from builder.protocol.calls import Finish
from tests.engines.builder_process import started_builder
from tests.engines.builders_api import TOKEN, builders_server, make_job, serving
from tests.engines.gateway import eventually
from tests.engines.git_server import git_server
from tests.engines.thief import listening_thief

TRIES = 3


def ok(body, *headers):
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


JOB = ok(make_job("https://example.org/a").to_json(), "Content-Type: application/json")
ANSWERS = {
    "a-job": JOB,
    "a-proof-and-a-job": ok(b"0" * 64) + JOB,
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "elsewhere": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "log-in": b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "no-http": b"\x00" * 100,
}


def only_nonces(thief):
    """Whether each connection brought one call, with the build's id, its attempt and a nonce; all nonces differ."""
    target, host = rf"/builds/{thief.deployment_id}/1/proof/([0-9a-f]{{64}})", rf"127\.0\.0\.1:{thief.port}"
    call = re.compile(rf"GET {target} HTTP/1\.1\r\nHost: {host}\r\n\r\n")
    found = [call.fullmatch(each.decode()) for each in thief.heard if each]
    return all(found) and len({each[1] for each in found if each}) == len(found)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_a_thief_on_the_builders_port_hears_no_token(tmp_path, answer):
    async def is_tried():
        return len([each for each in thief.heard if each]) >= TRIES

    async with listening_thief(lambda heard: answer) as thief, started_builder(thief, tmp_path / "work"):
        await eventually(is_tried, f"the builder tries {TRIES} times", 60)
    assert TOKEN.encode() not in b"".join(thief.heard)
    assert only_nonces(thief), thief.heard


async def test_a_thief_that_comes_during_a_build_hears_no_line_no_file_and_no_token(tmp_path):
    gate = tmp_path / "work" / "build" / "src" / "go-on"
    command = "until test -e go-on; do sleep 0.05; done; echo a-secret-line; mkdir dist; echo secret > dist/index.html"

    async def has_begun():
        return "build" in server.steps

    async def is_tried():
        return len([each for each in thief.heard if each]) >= TRIES

    async with git_server(tmp_path / "git") as git:
        url = git.create("site", {"a": "a"})
        job = make_job(url, install_command="", build_command=command, output_directory="dist")
        async with builders_server(job) as server, started_builder(server, tmp_path / "work"):
            await eventually(has_begun, "the build begins")
            await server.go_away()
            async with listening_thief(lambda heard: JOB, server.port, server.deployment_id) as thief:
                gate.touch()
                await eventually(is_tried, f"the builder tries {TRIES} times", 60)
            async with serving(server):
                await server.finished.wait()
    assert only_nonces(thief), thief.heard
    assert server.finish == Finish("ok", server.finish.last_seq), server.text
    assert "a-secret-line" in server.lines
    assert server.paths == ["index.html"]
