"""A project and the settings of its builds."""

from __future__ import annotations

import dataclasses
import datetime
import uuid


@dataclasses.dataclass(frozen=True, slots=True)
class BuildSettings:
    """The settings of a build that users may choose. None: the builder decides."""

    branch: str | None = None
    root_directory: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    output_directory: str | None = None
    node_version: str | None = None


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
