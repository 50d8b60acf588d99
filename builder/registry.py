"""The npm registry, asked by npm itself: it knows the registry's address, its certificates and its hashes.

Runs outside the sandbox, so it downloads packages whole and never installs them: no script of a package runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.environment import CERTIFICATES
from builder.protocol.registries import REGISTRIES

ASK_SECONDS = 60.0
DOWNLOAD_SECONDS = 180.0
MISSING = ("E404", "ETARGET", "ENOVERSIONS")
OPTIONS = {
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
    # One retry after a second: a registry that is away must not cost a build npm's usual 70 seconds.
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
}
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]{1,60})?\Z")


class Unfetched(Exception):
    """A package could not be had. `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Missing(Unfetched):
    """The registry answered, and has no such package or version."""


class Registry:
    """`npm`: the command that starts an npm of this machine. `home`: a private folder for what npm writes."""

    name = "the npm registry"
    prefix = ""

    def __init__(self, npm: Sequence[str], path: str, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._npm = npm
        self._home = home
        passed_on = {name: environ[name] for name in (*CERTIFICATES, *REGISTRIES) if environ.get(name)}
        self._environment = {"PATH": path, "HOME": str(home), "npm_config_cache": str(home / "npm"), **OPTIONS}
        self._environment |= passed_on

    async def list_versions(self, name: str) -> list[str]:
        found = await self._ask(ASK_SECONDS, "view", name, "versions")
        versions = [found] if isinstance(found, str) else found
        if not isinstance(versions, list):
            raise Unfetched(f"The npm registry lists no versions of {name}.")
        return [version for version in versions if isinstance(version, str) and _VERSION.match(version)]

    async def download(self, name: str, version: str, folder: Path) -> Path:
        """The package as one file. npm compares it with the hash in the registry's metadata."""
        if not _VERSION.match(version):
            raise Missing(f"{version[:60]!r} is not a version of {name}.")
        found = await self._ask(
            DOWNLOAD_SECONDS, "pack", f"{name}@{version}", "--ignore-scripts", f"--pack-destination={folder}"
        )
        files = [file for file in os.listdir(folder) if file.endswith(".tgz")]
        if not isinstance(found, list) or len(files) != 1:
            raise Unfetched(f"npm did not save {name}@{version}.")
        return folder / files[0]

    async def _ask(self, seconds: float, *arguments: str) -> object:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(*self._npm, *arguments, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            # A folder without a project, whose .npmrc npm would read.
            cwd=self._home,
        )
        try:
            async with asyncio.timeout(seconds):
                output, errors = await process.communicate()
        except TimeoutError as error:
            raise Unfetched(f"The npm registry did not answer `npm {arguments[0]}` within {seconds:.0f} s.") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _read_answer(arguments[1], process.returncode, output, errors)


def _read_answer(spec: str, code: int | None, output: bytes, errors: bytes) -> object:
    try:
        found = json.loads(output or b"null")
    except ValueError:
        found = None
    if code == 0 and found is not None:
        return found
    error = found.get("error") if isinstance(found, dict) else None
    problem = error if isinstance(error, dict) else {}
    if problem.get("code") in MISSING:
        raise Missing(f"The npm registry has no {spec}.")
    lines = str(problem.get("summary") or errors.decode(errors="replace")).strip().splitlines()
    said = lines[0][:300] if lines else f"npm ended with exit code {code}"
    raise Unfetched(f"{spec} could not be fetched from the npm registry: {said.rstrip('.')}.")
