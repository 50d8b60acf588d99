"""What a build costs beside its own commands: `python -m bench.build [ROUNDS] [SITE...]`, also `make bench-build`.

The same lockfiles are installed and built three ways in one run, turn by turn: by hand (`bare`), by hand in the sandbox
that the platform chooses here (`sandbox`), and through `POST /project` (`platform`). Each time with an empty cache, and
the platform once more with its install cache.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path, PurePath
from typing import Any

from builder.environment import make_environment
from builder.node import find_nodes
from builder.sandbox import Limits, open_sandbox
from builder.toolchain import Toolchain
from scripts.git_server import commit_folder, serve_git
from tests.engines.gateway import Gateway, running_gateway

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "sites"
SITES = ("vite-react", "eleventy")
COMMANDS = (("npm", "ci"), ("npm", "run", "build"))
OUTSIDE = ("launch", "prepare", "clone", "detect", "collect", "upload")
"""Steps of a deployment that are not the project's own commands."""

Figures = dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class ByHand:
    """The project's commands without the platform, inside a sandbox of this grade (`none`: outside of any)."""

    grade: str

    async def measure(self, site: str, folder: Path) -> Figures:
        work = folder / f"{site}-{self.grade}"
        shutil.copytree(FIXTURES / site, work / "src")
        (work / "home").mkdir()
        sandbox = open_sandbox(self.grade, work=work)
        node = find_nodes()[-1]
        Toolchain(node.programs).link(work / "tools")
        path = f"{sandbox.path(work / 'tools')}:{node.path}"
        environment = {**make_environment(sandbox.path(work / "home")), "PATH": path}
        figures: Figures = {}
        for name, argv in zip(("install", "build"), COMMANDS, strict=True):
            began = time.monotonic()
            process = await sandbox.start(
                argv, environment=environment, directory=PurePath("src"), limits=Limits(), read_only=node.read_only
            )
            output, errors = await process.communicate()
            await sandbox.kill_all()
            if process.returncode != 0:
                raise SystemExit(f"{' '.join(argv)} of {site} failed:\n{(output + errors).decode()[-2000:]}")
            figures[name] = time.monotonic() - began
        shutil.rmtree(work)
        return figures


@dataclasses.dataclass(frozen=True, slots=True)
class ByPost:
    gateway: Gateway
    repositories: str

    async def measure(self, site: str) -> tuple[str, Figures]:
        """A new project; its slug and the seconds of each step."""
        answer = await self.gateway.deploy(f"{self.repositories}/{site}.git")
        return answer["projectSlug"], await self._figures(answer["deploymentId"])

    async def again(self, slug: str) -> Figures:
        status, answer = await self.gateway.call("POST", f"/project/{slug}/deployments", {})
        if status != 201:
            raise SystemExit(f"The second deployment was refused: {answer}")
        return await self._figures(answer["deploymentId"])

    async def _figures(self, deployment_id: str) -> Figures:
        began = time.monotonic()
        deployment = await self.gateway.ended(deployment_id)
        if deployment["status"] != "READY":
            raise SystemExit(f"A deployment failed: {deployment['reason']}")
        return {"all": time.monotonic() - began, **step_seconds(deployment)}


def step_seconds(deployment: dict[str, Any]) -> Figures:
    """Seconds of each step. `launch` is the time from the request to the first step."""
    steps = deployment["steps"]
    first, asked = (datetime.datetime.fromisoformat(at) for at in (steps[0]["startedAt"], deployment["createdAt"]))
    return {"launch": (first - asked).total_seconds(), **{step["name"]: step["seconds"] for step in steps}}


async def measure(folder: Path, rounds: int, sites: list[str]) -> None:
    repositories = folder / "repositories"
    for site in sites:
        await asyncio.to_thread(commit_folder, FIXTURES / site, repositories / f"{site}.git")
    async with serve_git(repositories) as url, running_gateway(folder) as gateway:
        post = ByPost(gateway, url)
        grade = (await gateway.get("/ready"))["isolation"]
        print(f"isolation {grade}, {os.cpu_count()} cores, median of {rounds} rounds, seconds\n")
        for site in sites:
            await measure_site(site, post, grade, folder / "by-hand", rounds)


async def measure_site(site: str, post: ByPost, grade: str, folder: Path, rounds: int) -> None:
    seen: dict[str, list[Figures]] = collections.defaultdict(list)
    for _ in range(rounds):
        for name, by_hand in (("bare", "none"), ("sandbox", grade)):
            seen[name].append(await ByHand(by_hand).measure(site, folder))
        slug, figures = await post.measure(site)
        seen["platform"].append(figures)
        seen["platform, again"].append(await post.again(slug))
    print(table(site, {name: medians(each) for name, each in seen.items()}), flush=True)


def medians(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def table(site: str, rows: dict[str, Figures]) -> str:
    columns = ("install", "build", *OUTSIDE)
    lines = [f"| {site} | " + " | ".join(columns) + " | commands against bare |", "|---" * (len(columns) + 2) + "|"]
    bare = commands(rows["bare"])
    for name, figures in rows.items():
        cells = " | ".join(f"{figures[each]:.1f}" if each in figures else "" for each in columns)
        lines.append(f"| {name} | {cells} | {commands(figures) / bare:.2f} |")
    return "\n".join([*lines, ""])


def commands(figures: Figures) -> float:
    return figures["install"] + figures["build"]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 3
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        asyncio.run(measure(Path(name), count, arguments or list(SITES)))
