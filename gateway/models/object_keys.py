"""The keys of everything in the object store. No other module makes one."""

from __future__ import annotations

import secrets
import uuid

BLOBS, RELEASES, CACHES, OUTPUTS, DOCTOR = "__blobs/", "__releases/", "__cache/", "__outputs/", "doctor/"
PREFIXES = (BLOBS, RELEASES, CACHES, OUTPUTS, DOCTOR)
"""Every key that Buildspace writes to a bucket begins with one of these."""


def blobs_prefix(project_id: uuid.UUID) -> str:
    return f"{BLOBS}{project_id}/"


def blob_key(project_id: uuid.UUID, sha256: str) -> str:
    """The bytes of a file. Each project has its own blobs, so that no project learns which files another has."""
    return blobs_prefix(project_id) + sha256


def releases_prefix(project_id: uuid.UUID) -> str:
    return f"{RELEASES}{project_id}/"


def release_key(project_id: uuid.UUID, deployment_id: uuid.UUID) -> str:
    return f"{releases_prefix(project_id)}{deployment_id}"


def caches_prefix(project_id: uuid.UUID) -> str:
    return f"{CACHES}{project_id}/"


def cache_key(project_id: uuid.UUID, sha256: str) -> str:
    """A saved installation. Each project has its own, so that none can give another what it would run."""
    return caches_prefix(project_id) + sha256


def outputs_prefix(slug: str) -> str:
    return f"{OUTPUTS}{slug}/"


def output_key(slug: str, path: str) -> str:
    """A file in the plain layout, which other builders and readers of the bucket use as well."""
    return outputs_prefix(slug) + path


def doctor_key() -> str:
    """A temporary object that the doctor writes, reads and deletes."""
    return DOCTOR + secrets.token_hex(8)
