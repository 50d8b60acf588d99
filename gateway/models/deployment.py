"""A deployment and its state."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid

from builder.protocol.calls import Isolation
from builder.protocol.settings import Settings, UsedSetting
from gateway.models.attempt import StepTiming
from gateway.models.cause import Cause
from gateway.models.source import Source


class Status(enum.StrEnum):
    """The state of a deployment. READY, FAILED and CANCELED are final."""

    QUEUE = "QUEUE"
    BUILDING = "BUILDING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        return self in (Status.READY, Status.FAILED, Status.CANCELED)


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """One try to publish one commit. `launcher`, `handle`, `steps` and so on are those of its last attempt.

    `settings` are the project's when it was requested, `overrides` those of the request; `used_settings` are what the
    builder made of them and of the repository's files.
    """

    id: uuid.UUID
    project_id: uuid.UUID
    project_slug: str
    project_name: str
    number: int
    status: Status
    attempt: int
    source: Source
    cause: Cause
    settings: Settings
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    completed_at: datetime.datetime | None
    lease_until: datetime.datetime | None
    launcher: str | None
    handle: str | None
    queue_reason: str | None
    reason: str | None
    exit_code: int | None
    commit_message: str | None
    framework: str | None
    node_version: str | None
    steps: tuple[StepTiming, ...]
    files: int | None
    bytes: int | None
    last_seq: int | None
    log_complete: bool | None
    log_missing: tuple[tuple[int, int], ...]
    is_live: bool
    isolation: Isolation | None = None
    overrides: Settings = Settings()
    used_settings: tuple[UsedSetting, ...] = ()
