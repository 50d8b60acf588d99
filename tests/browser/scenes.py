"""What the pages show in tests and pictures: invented projects, deployments and logs."""

from __future__ import annotations

import datetime

from builder.protocol.calls import Failure
from builder.protocol.steps import Step
from gateway.models.attempt import Attempt
from gateway.models.deployment import Deployment, Status
from gateway.models.project import Project
from tests.browser.fakes import FakeServices, now, timings

MINUTE = datetime.timedelta(minutes=1)
E = "\x1b"
HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 2'>",
    "</div></section></main><h1 id=injected>Log in again</h1>",
    f"{E}]8;;javascript:window.pwned=3{E}\\click{E}]8;;{E}\\ me",
    f"{E}[31m<b>red{E}[0m &lt;script&gt; &amp;",
    f"{E}[38;5;999999999999m{E}[38;2;;;m{E}[;;;;;;m{E}[m{E}[{E}[?25l{E}[2J{E}[1;1Hgarbage{E}",
    f"{E}]0;title never ends <script>window.pwned = 4</script>",
    f"{E}P+q{E}X{E}^{E}_broken strings",
    "\x00\x01\x07\x08\x7f\x9b31mcontrols\u0085",
    "\u202egnp.exe rtl \u2066 isolate",
    "${window.pwned=5} {{7*7}} {% raw %} javascript:alert(1)",
]


def ready(services: FakeServices, project: Project, minutes: float, **given: object) -> Deployment:
    began = now() - minutes * MINUTE
    values = {
        "status": Status.READY,
        "created_at": began,
        "started_at": began,
        "completed_at": began + datetime.timedelta(seconds=21.4),
        "steps": timings(began),
        "framework": "Vite",
        "node_version": "24.19.0",
        "files": 214,
        "bytes": 1_912_000,
        "last_seq": 0,
        "log_complete": True,
    }
    return services.deployments.add(project, **{**values, **given})


def failed(services: FakeServices, project: Project, minutes: float, **given: object) -> Deployment:
    began = now() - minutes * MINUTE
    values = {
        "status": Status.FAILED,
        "completed_at": began + datetime.timedelta(seconds=9.3),
        "steps": timings(began, "install"),
        "reason": "npm install ended with exit code 1:\nnpm error code ERESOLVE\nnpm error ERESOLVE could not resolve",
        "exit_code": 1,
        "files": None,
        "bytes": None,
    }
    return ready(services, project, minutes, **{**values, **given})


def failed_by_a_command(services: FakeServices) -> Deployment:
    line = "npm error ERESOLVE unable to resolve dependency tree"
    advice = (
        'react-dom@17.0.2 needs react@"17.0.2", but react@18.3.1 is installed. Install versions that fit each other,'
        " or write `legacy-peer-deps=true` into .npmrc."
    )
    said = [f"In step install, npm-peer-conflict: {line}", f"What to do: {advice}", "npm error Found: react@18.3.1"]
    reason = "\n".join(["`npm ci` failed with exit code 1.", *said])
    deployment = failed(services, services.projects.add(), 5, reason=reason, last_seq=5)
    services.logs.write(deployment, "$ npm ci", stream="system", step="install")
    services.logs.write(deployment, "npm warn deprecated inflight@1.0.6", stream="stderr", step="install")
    lines = ("npm error code ERESOLVE", line, "npm error Found: react@18.3.1")
    services.logs.write(deployment, *lines, stream="stderr", step="install")
    failure = Failure("npm-peer-conflict", Step.INSTALL, line, 4, advice)
    services.deployments.history[deployment.id] = [
        Attempt(1, "process", deployment.created_at, deployment.steps, reason, failure)
    ]
    return deployment


def building(services: FakeServices, project: Project, **given: object) -> Deployment:
    began = now() - datetime.timedelta(seconds=14.5)
    values = {
        "status": Status.BUILDING,
        "completed_at": None,
        "steps": timings(began, "build", is_running=True),
        "files": None,
        "bytes": None,
        "last_seq": None,
        "log_complete": None,
    }
    deployment = ready(services, project, 0, **{**values, **given})
    return services.deployments.change(deployment.id, created_at=began, started_at=began)


def a_busy_gateway(services: FakeServices) -> Deployment:
    """Eight projects; the deployment that builds in one of them."""
    for name, minutes in (("landing-2027", 9000), ("handbook", 2900), ("storybook", 1500)):
        ready(services, _project(services, name), minutes, is_live=True, commit="9f2a6b0" * 5, commit_message="Edit")
    failed(services, _project(services, "status-page"), 301, commit="77e03da" * 5, commit_message="Poll less often")
    for name, minutes in (("changelog", 185), ("marketing-site", 61), ("docs-portal", 2)):
        ready(services, _project(services, name), minutes, is_live=True, commit="51bd990" * 5, commit_message="Edit")
    project = _project(services, "design-system")
    rows = (
        (1470, "51bd990", "Docs: contribution guide and release checklist"),
        (182, "9f2a6b0", "Upgrade to Vite 8.3 and drop the legacy plugin"),
        (26, "0c7de18", "Button: keep focus ring inside overflow containers"),
    )
    for minutes, sha, message in rows:
        ready(services, project, minutes, commit=sha * 5, commit_message=message, is_live=sha == "0c7de18")
        if sha == "51bd990":
            failed(services, project, 301, commit="77e03da" * 5, commit_message="Table: virtual rows (#412)")
    deployment = building(
        services, project, commit="b41f9c2" * 5, commit_message="Tokens: regenerate dark palette from OKLCH ramps"
    )
    write_build(services, deployment)
    return deployment


def write_build(services: FakeServices, deployment: Deployment, modules: int = 4000) -> None:
    logs = services.logs
    logs.write(deployment, "Building with process isolation strong.", stream="system", step="prepare")
    logs.write(deployment, "Cloning https://git.example.com/team/design-system.git", stream="system", step="clone")
    logs.write(deployment, "Vite, npm by package-lock.json, Node 24.19.0.", stream="system", step="detect")
    logs.write(deployment, "$ npm ci", stream="system", step="install")
    logs.write(deployment, "npm warn deprecated inflight@1.0.6: leaks memory", stream="stderr", step="install")
    logs.write(deployment, "", "added 51 packages in 7s", step="install")
    logs.write(deployment, "$ npm run build", stream="system")
    logs.write(deployment, "", "> design-system@4.2.0 build", "> vite build", "")
    logs.write(deployment, *(_module(number) for number in range(modules)))
    warning = f"{E}[33m(!) Some chunks are larger than 500 kB after minification.{E}[39m"
    logs.write(deployment, warning, stream="stderr")
    logs.write(deployment, *(_module(number) for number in range(12)))


def _module(number: int) -> str:
    size = number * 31 % 900 / 100 + 0.4
    name = f"Part{number * 7919 % 9973:x}.tsx"
    return f"{E}[32m✓{E}[39m transformed {E}[2msrc/components/{E}[22m{E}[36m{name}{E}[39m  {E}[2m{size:.2f} kB{E}[22m"


def _project(services: FakeServices, name: str) -> Project:
    url = f"https://git.example.com/team/{name}.git"
    return services.projects.add(name=name, slug=name, git_url=url, branch="main")
