"""The names of everything in the object store."""

from __future__ import annotations

import uuid


def blob_key(project_id: uuid.UUID, sha256: str) -> str:
    """The bytes of a file. Per project, so that nobody learns what another project has."""
    return f"__blobs/{project_id}/{sha256}"


def release_key(project_id: uuid.UUID, deployment_id: uuid.UUID) -> str:
    return f"__releases/{project_id}/{deployment_id}"


def outputs_prefix(slug: str) -> str:
    return f"__outputs/{slug}/"


def output_key(slug: str, path: str) -> str:
    """A file in the plain layout, which other builders and readers of the bucket share with us."""
    return outputs_prefix(slug) + path
