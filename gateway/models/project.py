"""A project and the settings of its builds."""

from __future__ import annotations

import dataclasses
import datetime
import uuid

from builder.protocol.settings import Settings
from gateway.models.source import GitRef, Source


@dataclasses.dataclass(frozen=True, slots=True)
class Project:
    """A git repository with a slug, settings and a live release.

    `branch` is the one whose deployments go live, None the repository's default branch. `settings`: what a
    person set; None: the repository's files or the builder decide.
    """

    id: uuid.UUID
    name: str
    slug: str
    git_url: str
    branch: str | None
    settings: Settings
    live_deployment_id: uuid.UUID | None
    activation_floor: int
    created_at: datetime.datetime

    @property
    def source(self) -> Source:
        """What a deployment builds unless the request names another ref."""
        return GitRef(self.git_url, self.branch)
