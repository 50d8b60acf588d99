"""`make demo` as a newcomer sees it: the log, the page's title, the addresses, and a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.engines.gateway import ROOT, running_gateway
from tests.engines.ports import free_ports


async def test_the_demo_shows_its_log_serves_its_page_and_goes_on_from_what_is_there(tmp_path: Path) -> None:
    sites, api, builders, git = free_ports(4)
    settings = {
        "BUILDSPACE_DATA_DIRECTORY": str(tmp_path / "data"),
        "BUILDSPACE_SITES_PORT": str(sites),
        "BUILDSPACE_SITES_URL": f"http://{{slug}}.localhost:{sites}",
        "BUILDSPACE_API_PORT": str(api),
        "BUILDSPACE_BUILDERS_PORT": str(builders),
        "DEMO_GIT_PORT": str(git),
    }
    first = await run_demo(settings)
    assert "$ npm run build" in first
    assert "“Your site is live” is live after" in first
    second = await run_demo(settings)
    assert site_of(second) == site_of(first)
    assert "(0 new, 0 bytes)" in second


async def test_beside_another_gateway_the_demo_touches_nothing_and_says_so(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        settings = {
            "BUILDSPACE_DATA_DIRECTORY": str(tmp_path / "of the demo"),
            "BUILDSPACE_API_PORT": str(gateway.api_port),
            "DEMO_GIT_PORT": str(free_ports(1)[0]),
        }
        demo = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scripts.demo"),
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await asyncio.wait_for(demo.communicate(), 60)
        assert (demo.returncode, f"already answers at {gateway.api}" in printed.decode()) == (1, True)
        assert (await gateway.get("/project"))["projects"] == []


async def run_demo(settings: dict[str, str]) -> str:
    """What it prints until it serves; then Ctrl-C, which ends it well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scripts.demo",
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            printed = (await process.stdout.readuntil(b"Serving until Ctrl-C.")).decode()
        process.send_signal(signal.SIGINT)
        _, ended = await asyncio.gather(process.stdout.read(), process.wait())
        assert ended == 0
        return printed
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def site_of(printed: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.strip().startswith("Site ")]
    return line.split()[1]
