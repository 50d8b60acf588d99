"""What a host name leads to, as the site listener reads it."""

from __future__ import annotations

import dataclasses
import uuid

from gateway.models.deployment import Status


@dataclasses.dataclass(frozen=True, slots=True)
class SitePointer:
    """What a host name leads to. `deployment_id` is None if nothing is published under it yet."""

    project_id: uuid.UUID
    slug: str
    deployment_id: uuid.UUID | None
    newest_status: Status | None
    is_preview: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Signpost:
    """A name that its project gave up: it leads to `slug`, or, if that is None, nowhere."""

    name: str
    slug: str | None


Target = SitePointer | Signpost
