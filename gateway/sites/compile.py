"""From what a builder announced to what is served: a manifest becomes a release."""

from __future__ import annotations

import datetime

from builder.protocol.calls import Manifest
from gateway.errors import Invalid
from gateway.models import Blob, Deployment, Release, ReleaseFile
from gateway.sites.paths import check_file_path
from gateway.sites.release_format import check_blob

SIBLINGS = {".br": "br", ".gz": "gzip"}
"""The ending of a precompressed sibling, and its name in Content-Encoding."""


def compile_release(manifest: Manifest, deployment: Deployment, published_at: datetime.datetime) -> Release:
    """Raises Invalid, with the path, for a file that could not be served."""
    blobs = _checked_blobs(manifest)
    return Release(
        project_id=deployment.project_id,
        deployment_id=deployment.id,
        number=deployment.number,
        published_at=published_at,
        files={path: ReleaseFile(blob, _siblings_of(path, blobs)) for path, blob in blobs.items()},
        framework=manifest.framework,
        is_single_page=manifest.is_single_page,
        hashed_folders=tuple(check_file_path(folder.strip("/")) for folder in manifest.hashed_folders),
    )


def _checked_blobs(manifest: Manifest) -> dict[str, Blob]:
    blobs: dict[str, Blob] = {}
    sizes: dict[str, int] = {}
    for file in manifest.files:
        path = check_file_path(file.path)
        if path in blobs:
            raise Invalid(f"The path {path!r:.80} is there twice.")
        blobs[path] = check_blob(file.sha256, file.size)
        if sizes.setdefault(file.sha256, file.size) != file.size:
            raise Invalid(f"The sha256 {file.sha256} is there with two sizes, once for {path!r:.80}.")
    return blobs


def _siblings_of(path: str, blobs: dict[str, Blob]) -> dict[str, Blob]:
    """They also stay files under their own names."""
    return {coding: blobs[path + ending] for ending, coding in SIBLINGS.items() if path + ending in blobs}
