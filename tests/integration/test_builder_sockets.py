"""Real tools that use sockets of their own, or look at the folders above theirs, build under each grade that holds."""

import json
import platform

import pytest

from tests.engines.builder_process import run_builder
from tests.engines.builders_api import builders_server, make_job
from tests.engines.git_server import git_server

BOTH = pytest.mark.parametrize("isolation", ["basic", "strong"])
# tsx listens on a Unix socket in the folder of temporary files; the preview listens on a fixed port.
PREVIEW = """
import fs from 'node:fs';
import { build, preview } from 'vite';
await build({ logLevel: 'error' });
const server: any = await preview({ preview: { port: 4173, strictPort: true } });
const page: string = await (await fetch('http://localhost:4173/')).text();
fs.writeFileSync('dist/index.html', page.replace('template', 'rendered'));
await server.close();
"""
BUN = f"@oven/bun-linux-{'x64' if platform.machine() == 'x86_64' else 'aarch64'}"


async def built(tmp_path, isolation, files):
    async with git_server(tmp_path / "git") as git, builders_server(make_job(git.create("site", files))) as server:
        await run_builder(server, tmp_path / "work", isolation=isolation)
    assert server.finish.exit == "ok", server.text
    return next(iter(server.blobs.values()))


@BOTH
async def test_a_page_is_rendered_by_a_preview_of_the_build(tmp_path, isolation):
    package = {
        "type": "module",
        "scripts": {"build": "tsx render.ts"},
        "devDependencies": {"tsx": "4.19.2", "vite": "7.1.0"},
    }
    files = {"package.json": json.dumps(package), "render.ts": PREVIEW, "index.html": "<p>template"}
    assert await built(tmp_path, isolation, files) == b"<p>rendered"


async def test_an_old_bun_of_the_project_runs_scripts_in_basic(tmp_path):
    package = {
        "dependencies": {BUN: "1.3.0"},
        "scripts": {
            "build": f"node_modules/{BUN}/bin/bun run page",
            "page": "mkdir -p dist && echo old > dist/index.html",
        },
    }
    assert await built(tmp_path, "basic", {"package.json": json.dumps(package)}) == b"old\n"
