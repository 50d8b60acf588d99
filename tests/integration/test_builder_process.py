"""`python -m builder` on real repositories, against a builders' API in memory."""

import asyncio
import json
import os
import signal
import sys

import pytest

from builder.protocol.steps import Step
from builder.sandbox.ownership import build_account
from tests.engines.builder_process import ROOT, run_builder, started_builder
from tests.engines.builders_api import builders_server, make_job
from tests.engines.gateway import eventually
from tests.engines.git_server import git_server

LOCK = json.dumps(
    {
        "name": "site",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": {"": {"name": "site", "version": "1.0.0"}},
    }
)


def node_project(build, **more):
    package = {"name": "site", "version": "1.0.0", "scripts": {"build": "node build.js"}, **more}
    return {"package.json": json.dumps(package), "package-lock.json": LOCK, "build.js": build}


WRITE = "const fs = require('fs'); fs.mkdirSync('dist/js', {recursive: true}); "
PAGE = "fs.writeFileSync('dist/index.html', '<p>it works</p>');"


@pytest.fixture
async def git(tmp_path):
    async with git_server(tmp_path / "git") as server:
        yield server


@pytest.fixture
def build(git, tmp_path):
    """Run a builder on a repository of these files; the server that it spoke to."""

    async def build(files, isolation="none", known=(), **changes):
        async with builders_server(make_job(git.create("site", files), **changes)) as server:
            server.known = set(known)
            work = tmp_path / f"work-{server.port}"
            server.code, server.errors = await run_builder(server, work, isolation=isolation)
            return server

    return build


with_own_account = pytest.mark.skipif(build_account() is None, reason="only root has accounts to give")


@pytest.mark.parametrize("isolation", ["none", "strong", pytest.param("account", marks=with_own_account)])
async def test_a_project_is_built_and_uploaded(build, isolation):
    server = await build(node_project(f"{WRITE}{PAGE} console.log('out'); console.error('err')"), isolation)
    assert server.finish.exit == "ok", server.text + server.errors
    assert server.paths == ["index.html"]
    assert list(server.blobs.values()) == [b"<p>it works</p>"]
    assert server.steps == list(Step)
    assert server.facts["isolation"] == isolation
    assert server.facts["commitMessage"] == "First"
    assert {"$ npm ci", "$ npm run build", "out", "err"} <= set(server.lines)
    assert server.lines[-1] == "Uploaded 1 file, 15 bytes (1 new, 15 bytes)"
    assert server.seqs == list(range(1, server.finish.last_seq + 1))
    assert server.code == 0
    assert server.errors == ""


async def test_plain_html_is_published_without_any_command(build):
    server = await build({"index.html": "<p>", "css/a.css": "", ".env": "SECRET=1", "README.md": "x"})
    assert server.paths == ["README.md", "css/a.css", "index.html"]
    assert "There is nothing to install or to build." in server.lines
    assert server.steps == ["prepare", "clone", "detect", "collect", "upload"]


async def test_what_the_gateway_has_is_not_sent_again(build):
    first = await build({"index.html": "<p>", "a.css": "a"})
    second = await build({"index.html": "<p>2", "a.css": "a"}, known=first.blobs)
    assert list(second.blobs.values()) == [b"<p>2"]


async def test_a_failing_build_ends_with_code_step_and_last_lines(build):
    server = await build(node_project("console.error('no such theme'); process.exit(7)"))
    assert (server.finish.exit, server.finish.step, server.finish.exit_code) == ("failed", "build", 7)
    assert server.finish.reason.startswith("`npm run build` failed with exit code 7.")
    assert "no such theme" in server.finish.reason
    assert server.code == 0


async def test_a_build_without_output_names_what_it_looked_for(build):
    server = await build(node_project("require('fs').mkdirSync('target')"), output_directory="dist")
    assert server.finish.step == "collect"
    assert "left no files in dist/. Folders there: target." in server.finish.reason


async def test_the_source_is_never_published_instead_of_what_was_built(build):
    page = "fs.mkdirSync('bundle'); fs.writeFileSync('bundle/index.html', 'BUILT');"
    server = await build(node_project(f"{WRITE}{page}") | {"public/index.html": "the template"})
    assert list(server.blobs.values()) == [b"BUILT"], server.text
    assert "The build wrote its pages to bundle/, so that is published." in server.lines


async def test_a_site_without_a_start_page_is_published_with_a_warning(build):
    server = await build(node_project(f"{WRITE}fs.writeFileSync('dist/about.html', '');"))
    assert server.finish.exit == "ok", server.text
    assert "Warning: dist/ has no index.html, so the site's address itself is answered with 404." in server.lines


async def test_a_framework_without_a_page_fails_although_the_output_is_named(build):
    project = node_project("require('fs').mkdirSync('dist/build', {recursive: true})", dependencies={"gulp": "5.0.1"})
    server = await build(project, install_command="", output_directory="dist")
    assert "There is no page in dist/" in server.finish.reason, server.text


async def test_data_is_published_from_a_folder_that_is_named(build):
    server = await build({"api/points.json": "[]", "main.py": ""}, output_directory="api")
    assert server.finish.exit == "ok", server.text
    assert server.paths == ["points.json"]
    assert "Warning: api/ has no index.html, so the site's address itself is answered with 404." in server.lines


async def test_nothing_to_publish_is_told(build):
    server = await build({"main.py": "print()", "src/x": ""})
    assert "There is nothing to publish" in server.finish.reason


@pytest.mark.parametrize("isolation", ["none", "strong", "basic"])
async def test_a_command_of_another_hosts_file_is_run_by_bash(build, isolation):
    command = "set -o pipefail; if [[ -f page.txt ]]; then mkdir dist && cat page.txt |& tee dist/index.html &> log; fi"
    server = await build({"netlify.toml": f"[build]\ncommand = '{command}'\n", "page.txt": "made"}, isolation)
    assert server.finish.exit == "ok", server.text
    assert list(server.blobs.values()) == [b"made"]


async def test_a_server_rendered_project_fails_before_its_install(build):
    server = await build(node_project("", dependencies={"next": "16"}))
    assert (server.finish.exit, server.finish.step) == ("failed", "detect")
    assert "output: 'export'" in server.finish.reason


async def test_a_command_of_the_user_is_shell_inside_the_sandbox(build):
    server = await build(
        {"a.txt": "a"},
        install_command="",
        build_command='mkdir -p "my out" && echo "<p>$HOME" > "my out/index.html" && env | sort',
        output_directory="my out",
    )
    assert server.finish.exit == "ok", server.text
    assert not [line for line in server.lines if "BUILDSPACE_" in line or "a-token-for-tests" in line]
    assert {"CI=true", "LANG=C.UTF-8", "BUILDSPACE=1", "TZ=UTC", "PULL_REQUEST=false"} <= set(server.lines)
    site = "http://crimson-elephant"
    assert {f"URL={site}.localhost:8000", f"DEPLOY_URL={site}-01234567.localhost:8000"} <= set(server.lines)
    assert {"BRANCH=main", "HEAD=main", f"COMMIT_REF={server.facts['commitSha']}"} <= set(server.lines)
    assert {"CONTEXT=production", "NODE_OPTIONS=--max-old-space-size=1536"} <= set(server.lines)
    assert not [line for line in server.lines if line.startswith(("NETLIFY=", "VERCEL=", "CF_PAGES=", "NODE_ENV="))]


async def test_a_repository_with_netlify_toml_builds_as_there(build):
    toml = """
    [build]
    base = "site"
    command = "npm run make"
    publish = "www-out"
    ignore = "exit 0"
    [build.environment]
    GREETING = "Hello"
    NODE_OPTIONS = "--no-warnings"
    """
    make = (
        'mkdir -p www-out && echo "$GREETING $NODE_OPTIONS" > www-out/index.html && ln -s index.html www-out/home.html'
    )
    files = {"netlify.toml": toml, "site/package.json": json.dumps({"scripts": {"make": make}})}
    server = await build(files)
    assert server.finish.exit == "ok", server.text
    assert server.paths == ["home.html", "index.html"]
    assert list(server.blobs.values()) == [b"Hello --max-old-space-size=1536 --no-warnings\n"]
    assert "Build command from netlify.toml: npm run make" in server.lines
    assert "The ignore command is not run, because this deployment was asked for." in server.lines
    assert {"name": "build_command", "value": "npm run make", "origin": "netlify.toml"} in server.facts["settings"]
    origins = {used["name"]: used["origin"] for used in server.facts["settings"]}
    assert origins["install_command"] == "package.json"


async def test_the_build_cannot_find_the_token(build):
    script = (
        "let found = ''; for (const pid of fs.readdirSync('/proc').filter((x) => +x)) "
        "for (const file of ['environ', 'cmdline']) "
        "{ try { found += fs.readFileSync(`/proc/${pid}/${file}`, 'latin1') } catch {} } "
        "console.log(found.includes('a-token-' + 'for-tests') ? 'FOUND' : 'hidden');"
    )
    server = await build(node_project(f"{WRITE}{PAGE}{script}"), "strong")
    assert "hidden" in server.lines


@pytest.mark.parametrize("isolation", ["none", "basic", "strong"])
async def test_the_newest_node_builds_with_little_memory(build, isolation):
    """It reserves more than it uses."""
    project = node_project(WRITE + PAGE, engines={"node": "24.x"})
    server = await build(project, isolation, memory_bytes=512 * 1024**2)
    assert server.finish.exit == "ok", server.text
    assert "Node 24" in server.text


async def test_a_repository_beyond_the_disk_limit_fails_for_its_size(git, tmp_path):
    job = make_job(git.create("site", {"big": os.urandom(3_000_000)}), disk_bytes=1024**2)
    async with builders_server(job) as server:
        await run_builder(server, tmp_path / "work")
    assert server.finish.reason.startswith("git clone ran out of disk: a build, and so each of its files, has at most")
    assert server.finish.step == "clone"


async def test_a_file_beyond_the_disk_limit_fails_for_its_size(git, tmp_path):
    """It is small while it is compressed."""
    job = make_job(git.create("site", {"big": bytes(3_000_000)}), disk_bytes=1024**2)
    async with builders_server(job) as server:
        await run_builder(server, tmp_path / "work")
    assert server.finish.reason.startswith("git clone ran out of disk: a build, and so each of its files, has at most")


async def test_a_pointer_of_git_lfs_is_not_published(git, tmp_path):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 3\n"
    files = {"index.html": "<img src=a.png>", "a.png": pointer, ".gitattributes": "*.png filter=lfs\n"}
    async with builders_server(make_job(git.create("site", files))) as server:
        await run_builder(server, tmp_path / "work")
    assert server.finish.reason.startswith("a.png in the output is a pointer of Git LFS")
    assert "Warning: the content of a.png could not be fetched from Git LFS" in server.text


async def test_the_time_limit_ends_a_build(build):
    server = await build(node_project("setInterval(() => {}, 1000)"), time_limit_seconds=8)
    assert server.finish.reason == "The build took longer than its limit of 8 s and was stopped."


async def test_the_time_limit_ends_an_upload_too(git, tmp_path):
    job = make_job(git.create("site", {"index.html": "<p>"}), time_limit_seconds=3)
    async with builders_server(job) as server:
        server.failing["manifest"] = 10**6
        await run_builder(server, tmp_path / "work")
    assert server.finish.reason == "The build took longer than its limit of 3 s and was stopped."
    assert server.finish.step == "upload"


async def test_a_log_beyond_its_limit_fails_the_build(build):
    server = await build(node_project("for (;;) console.log('x'.repeat(1000))"), log_bytes=50_000)
    assert "The log reached its limit of 50000 bytes" in server.finish.reason


async def test_a_daemon_does_not_hold_the_build(build):
    daemon = "require('child_process').spawn('sleep', ['600'], {detached: true, stdio: 'inherit'}).unref();"
    server = await build(node_project(f"{WRITE}{PAGE}{daemon}"))
    assert server.finish.exit == "ok", server.text


async def test_lines_without_end_and_broken_bytes_arrive(build):
    odd = "process.stdout.write('y'.repeat(300000) + '\\n'); process.stdout.write(Buffer.from([0xff, 10]));"
    server = await build(node_project(f"{WRITE}{PAGE}{odd}"))
    assert sum(line.count("y") for line in server.lines if set(line) == {"y"}) == 300_000
    assert "\ufffd" in server.lines


HOSTILE_OUTPUTS = [
    ("fs.symlinkSync('/etc/passwd', 'dist/x')", "ok", "Left out x: it links to nothing in the output."),
    ("require('child_process').execSync('mkfifo dist/x')", "ok", "Left out x: it is not a regular file."),
    ("fs.linkSync('dist/index.html', 'dist/x')", "ok", "Left out x: it has several hard links"),
    ("fs.closeSync(fs.openSync('dist/x', 'w')); fs.truncateSync('dist/x', 2 ** 29)", "failed", "x has 536870912 bytes"),
    ("fs.writeFileSync(Buffer.from('dist/x\\xff', 'latin1'), '')", "ok", "Left out x"),
    ("fs.rmSync('dist', {recursive: true}); fs.symlinkSync('/etc', 'dist')", "failed", "left no files in dist/"),
]


@pytest.mark.parametrize(("script", "end", "words"), HOSTILE_OUTPUTS)
async def test_an_output_that_reaches_beyond_itself(build, script, end, words):
    server = await build(node_project(f"{WRITE}{PAGE}{script}"), output_directory="dist")
    assert server.finish.exit == end
    assert words in server.text
    assert not any(b"root:" in blob for blob in server.blobs.values())


async def test_a_hostile_repository_reads_nothing_of_the_machine(git, tmp_path, build):
    folder = tmp_path / "git" / "site.work"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<p>")
    (folder / "passwd.html").symlink_to("/etc/passwd")
    (folder / "package-lock.json").symlink_to("/etc/passwd")
    (folder / ".nvmrc").symlink_to("/etc/passwd")
    server = await build({})
    assert server.paths == ["index.html"]
    assert "root:" not in server.text


def server_shows_pid(server):
    async def look():
        return next((int(line.split()[1]) for line in server.lines if line.startswith("pid ")), None)

    return look


async def test_a_cancel_stops_the_builder_and_all_its_children(git, tmp_path):
    url = git.create("site", node_project("console.log('pid ' + process.pid); setInterval(() => {}, 1000)"))
    async with builders_server(make_job(url)) as server, started_builder(server, tmp_path / "work") as process:
        pid = await eventually(server_shows_pid(server), "the build shows its process")
        server.ended = True
        async with asyncio.timeout(30):
            assert await process.wait() == 3
        assert not os.path.exists(f"/proc/{pid}")


async def test_a_sigterm_says_goodbye_and_leaves_nothing_behind(git, tmp_path):
    url = git.create("site", node_project("console.log('pid ' + process.pid); setInterval(() => {}, 1000)"))
    async with builders_server(make_job(url)) as server, started_builder(server, tmp_path / "work") as process:
        pid = await eventually(server_shows_pid(server), "the build shows its process")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 3
        assert server.finish.exit == "lost"
        assert not os.path.exists(f"/proc/{pid}")


async def test_a_builder_without_its_settings_says_what_is_missing():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "builder"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "BUILDSPACE_URL, DEPLOYMENT_ID, BUILDSPACE_TOKEN" in errors.decode()
