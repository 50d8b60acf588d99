"""A project and the settings of its builds."""

from __future__ import annotations

import dataclasses
import datetime
import uuid

from builder.protocol.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class BuildSettings(Settings):
    """What a person set for a project. None: the repository's files or the builder decide."""

    branch: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Project:
    """A git repository with a slug, settings and a live release."""

    id: uuid.UUID
    name: str
    slug: str
    git_url: str
    settings: BuildSettings
    live_deployment_id: uuid.UUID | None
    activation_floor: int
    created_at: datetime.datetime
