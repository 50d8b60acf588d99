"""What a deployment serves: files by their blobs."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, slots=True)
class Blob:
    """Bytes by their sha256 (lower-case hex) and size."""

    sha256: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseFile:
    """A file of a release and the precompressed files that the site contains, by coding (`br`, `gzip`)."""

    blob: Blob
    encodings: Mapping[str, Blob] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """What a READY deployment serves. Immutable. Paths have no leading slash: `assets/app.js`."""

    project_id: uuid.UUID
    deployment_id: uuid.UUID
    number: int
    published_at: datetime.datetime
    files: Mapping[str, ReleaseFile]
    framework: str | None = None
    is_single_page: bool = False
    html_handling: str = "auto"
    hashed_folders: tuple[str, ...] = ()
