"""What a deployment serves: files by their blobs."""

from __future__ import annotations

import dataclasses
import datetime
import enum
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


class HtmlHandling(enum.StrEnum):
    """Which path shows an HTML page, and which ones are redirected to it. NONE: files only under their own names."""

    AUTO = "auto"
    DROP_TRAILING_SLASH = "drop-trailing-slash"
    FORCE_TRAILING_SLASH = "force-trailing-slash"
    NONE = "none"


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
    html_handling: HtmlHandling = HtmlHandling.AUTO
    hashed_folders: tuple[str, ...] = ()
