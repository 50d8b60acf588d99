"""The commands of README's walk-through, run as they stand there, answer what stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import ROOT, Gateway

GIT_URL = "https://git.example.com/hello.git"
MADE_ANEW = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # an id
    r"|\b[a-z]+-[a-z]+(?=\.localhost|\", )"  # a slug
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"  # a time
    r"|memory (?:held by a cgroup|counted for the build as a whole, several times a second)"  # as the machine has it
)


def walk_through() -> list[tuple[str, str]]:
    """(command, what it prints) of the block that README marks."""
    text = Path(ROOT, "README.md").read_text()
    block = text.split("<!-- walkthrough", 1)[1].split("```console\n", 1)[1].split("```", 1)[0]
    parts = [part.partition("\n") for part in block.split("$ ")[1:]]
    return [(command, output.rstrip("\n")) for command, _, output in parts]


async def run(command: str) -> str:
    process = await asyncio.create_subprocess_exec("sh", "-c", command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return printed.decode().rstrip("\n")


async def test_the_walk_through_of_the_readme_prints_what_it_says(gateway: Gateway, repositories: Repositories) -> None:
    real = {
        GIT_URL: repositories.from_folder(ROOT / "examples" / "hello"),
        "localhost:9000": f"127.0.0.1:{gateway.api_port}",
        "localhost:8000": f"localhost:{gateway.sites_port}",
    }
    for command, promised in walk_through():
        printed = await run(replaced(command, real))
        # What is made anew each time stands in README as it was once: from here on the real one stands for it.
        real |= dict(zip(MADE_ANEW.findall(promised), MADE_ANEW.findall(printed), strict=True))
        assert printed == replaced(promised, real)
        await all_ended(gateway)


def replaced(text: str, real: dict[str, str]) -> str:
    for written, actual in real.items():
        text = text.replace(written, actual)
    return text


async def all_ended(gateway: Gateway) -> None:
    projects = (await gateway.get("/project"))["projects"]
    await asyncio.gather(*(gateway.log(project["newestDeployment"]["id"]) for project in projects))
