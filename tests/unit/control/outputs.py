"""Builds' outputs for tests: files by path, and what a builder would announce and send of them."""

from __future__ import annotations

import dataclasses
import hashlib

from builder.protocol.calls import Finish, Manifest, ManifestFile

OK = Finish(exit="ok", last_seq=0)


def sha256_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def make_manifest(files: dict[str, bytes], **changes) -> Manifest:
    announced = tuple(ManifestFile(path, sha256_of(body), len(body)) for path, body in files.items())
    return dataclasses.replace(Manifest(announced), **changes)


async def one_chunk(body: bytes):
    yield body


async def upload(publisher, deployment, files: dict[str, bytes]) -> None:
    """What a builder does before it finishes."""
    missing = await publisher.accept_manifest(deployment, make_manifest(files))
    bodies = {sha256_of(body): body for body in files.values()}
    for sha256 in missing:
        body = bodies[sha256]
        await publisher.store_blob(deployment, sha256, len(body), one_chunk(body))
