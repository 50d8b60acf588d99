"""`python -m builder` with variables: what its commands see, and what no log, reason or output shows."""

import base64
import json
from pathlib import Path

import pytest

from builder.protocol.calls import Variable
from tests.engines.builder_process import run_builder, started_builder
from tests.engines.builders_api import builders_server, make_job
from tests.engines.gateway import eventually
from tests.engines.git_server import git_server

SECRET = "hunter2-hunter2-hunter2"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq\nq2Xx9LmNoPqRsT==\n-----END KEY-----"
PAGE = "mkdir -p dist && echo '<p>' > dist/index.html"


def variable(name, value, *, secret=False, public=False):
    return Variable(name, value, secret, public)


SECRETS = (variable("API_KEY", SECRET, secret=True), variable("PEM", KEY, secret=True))


@pytest.fixture
async def git(tmp_path):
    async with git_server(tmp_path / "git") as server:
        yield server


@pytest.fixture
def build(git, tmp_path):
    """Run this build command with these variables; the server that the builder spoke to."""

    async def build(command, *variables, isolation="none", **changes):
        url = git.create("site", {"a.txt": "a"})
        job = make_job(
            url, install_command="", build_command=command, output_directory="dist", variables=variables, **changes
        )
        async with builders_server(job) as server:
            work = tmp_path / f"work-{server.port}"
            server.code, server.errors = await run_builder(server, work, isolation=isolation)
            return server

    return build


def everything_sent(server):
    return server.text + str(server.finish) + str(server.facts) + str(server.manifest) + server.errors


@pytest.mark.parametrize("isolation", ["none", "basic", "strong"])
async def test_commands_see_the_variables(build, isolation):
    large = [variable(f"LARGE_{number}", "x" * 30_000) for number in range(8)]
    command = f'{PAGE} && test "$A" = "one\ntwo" && test ${{#LARGE_7}} = 30000 && echo "seen $B, CI=$CI"'
    server = await build(
        command, variable("A", "one\ntwo"), variable("B", "ü $x"), variable("CI", "false"), *large, isolation=isolation
    )
    assert server.finish.exit == "ok", server.text
    assert "seen ü $x, CI=false" in server.lines


async def test_names_of_the_platform_stay_its_own(build):
    names = [variable("PATH", "/nowhere"), variable("LD_PRELOAD", "/x.so"), variable("HOME", "/nowhere")]
    server = await build(f'{PAGE} && echo "home $HOME, preload $LD_PRELOAD."', *names)
    assert server.finish.exit == "ok", server.text
    assert "home /nowhere" not in server.text
    assert [line for line in server.lines if line.endswith("preload .")]


PRINTS = {
    "as it is": 'echo "key is $API_KEY."',
    "in two writes": "node -e 'const k = process.env.API_KEY; process.stdout.write(k.slice(0, 9));"
    " setTimeout(() => process.stdout.write(k.slice(9)), 300)'",
    "in base64": 'printf "user:$API_KEY" | base64',
    "in a URL": "node -e 'console.log(encodeURIComponent(`?${process.env.API_KEY}`))'",
    "as JSON": "node -e 'console.log(JSON.stringify(process.env))'",
    "on stderr": 'echo "$PEM" >&2',
    "in the environment": "env",
    "in one long line": "node -e 'console.log(`${`.`.repeat(16380)}${process.env.API_KEY}${`.`.repeat(16380)}`)'",
}


@pytest.mark.parametrize("command", PRINTS.values(), ids=PRINTS)
async def test_no_line_shows_a_secret(build, command):
    server = await build(f"{command} && {PAGE}", *SECRETS)
    assert server.finish.exit == "ok", server.text
    assert "***" in server.text
    for form in (SECRET, KEY.split("\n")[1], base64.b64encode(SECRET.encode()).decode()[2:-4]):
        assert form not in everything_sent(server)


async def test_no_reason_shows_a_secret(build):
    server = await build('echo "cannot log in with $API_KEY" >&2; exit 3', *SECRETS)
    assert server.finish.exit == "failed"
    assert "cannot log in with ***" in server.finish.reason
    assert SECRET not in everything_sent(server)


async def test_no_fact_shows_a_secret(build):
    server = await build(PAGE, variable("WORD", "First-of-all", secret=True), variable("X", "commit message"))
    assert server.facts["commitMessage"] == "First"
    server = await build(PAGE, variable("COMMAND", PAGE, secret=True))
    assert PAGE not in everything_sent(server)


async def test_a_published_secret_ends_the_build_with_file_and_line(build):
    server = await build(f"{PAGE} && printf 'one\\ntwo %s\\n' \"$API_KEY\" > dist/app.js", *SECRETS)
    assert (server.finish.exit, server.finish.step) == ("failed", "collect")
    assert server.finish.reason.startswith("app.js, line 2, has the value of the secret API_KEY")
    assert SECRET not in everything_sent(server)
    assert server.blobs == {}


async def test_a_published_secret_in_base64_ends_the_build(build):
    server = await build(f'{PAGE} && printf "user:$API_KEY" | base64 > dist/app.js', *SECRETS)
    assert server.finish.reason.startswith("app.js, line 1, has the value of the secret API_KEY")


async def test_a_public_secret_may_be_published(build):
    server = await build(
        f'{PAGE} && echo "$VITE_KEY" > dist/app.js && echo "$VITE_KEY"',
        variable("VITE_KEY", SECRET, secret=True, public=True),
    )
    assert server.finish.exit == "ok", server.text
    assert SECRET.encode() + b"\n" in server.blobs.values()
    assert SECRET not in server.text


async def test_no_process_of_the_platform_has_a_secret_in_its_arguments_or_environment(git, tmp_path):
    waiting = tmp_path / "go"
    command = f"{PAGE} && touch dist/started && while [ ! -e {waiting} ]; do sleep 0.05; done"
    job = make_job(
        git.create("site", {"a.txt": "a"}),
        install_command="",
        build_command=command,
        output_directory="dist",
        variables=SECRETS,
    )
    async with builders_server(job) as server, started_builder(server, tmp_path / "work") as process:

        async def is_building():
            return list((tmp_path / "work").rglob("started"))

        await eventually(is_building, "the build runs", 60)
        seen = {pid: shown_by(pid) for pid in family(process.pid)}
        waiting.touch()
        await process.communicate()
    of_platform = [shown for pid, shown in seen.items() if b"builder" in shown or pid == process.pid]
    assert of_platform
    assert not [shown for shown in of_platform if SECRET.encode() in shown]
    assert [shown for shown in seen.values() if SECRET.encode() in shown]


def family(pid):
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += family(int(child))
    return found


def shown_by(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()


def test_a_job_does_not_show_its_values():
    job = make_job("https://example.com/a.git", variables=SECRETS)
    assert SECRET not in repr(job)
    assert SECRET in json.dumps(json.loads(job.to_json()))
