"""Makes a release from the manifest that a builder announced."""

from __future__ import annotations

import datetime

from builder.protocol.calls import Manifest
from gateway.models.deployment import Deployment
from gateway.models.release import Blob, Release, ReleaseFile

SIBLINGS = {".br": "br", ".gz": "gzip"}
"""The ending of a precompressed sibling, and its name in Content-Encoding."""


def compile_release(manifest: Manifest, deployment: Deployment, published_at: datetime.datetime) -> Release:
    """The manifest must have been checked when it was announced."""
    blobs = {file.path: Blob(file.sha256, file.size) for file in manifest.files}
    return Release(
        project_id=deployment.project_id,
        deployment_id=deployment.id,
        number=deployment.number,
        published_at=published_at,
        files={path: ReleaseFile(blob, _siblings_of(path, blobs)) for path, blob in blobs.items()},
        framework=manifest.framework,
        is_single_page=manifest.is_single_page,
        hashed_folders=tuple(folder.strip("/") for folder in manifest.hashed_folders),
    )


def _siblings_of(path: str, blobs: dict[str, Blob]) -> dict[str, Blob]:
    """Precompressed siblings also stay files under their own names."""
    return {coding: blobs[path + ending] for ending, coding in SIBLINGS.items() if path + ending in blobs}
