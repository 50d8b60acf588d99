"""The values that the gateway works with: frozen, no I/O."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Mapping


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


class Trigger(enum.StrEnum):
    """By what a deployment was asked for."""

    API = "api"
    FORM = "form"


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


@dataclasses.dataclass(frozen=True, slots=True)
class StepTiming:
    """One step of a build. `seconds` is None while it runs. `started_at`: milliseconds since 1970."""

    name: str
    started_at: int
    seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One launch of a deployment. `reason`: why it ended without a release."""

    number: int
    launcher: str
    started_at: datetime.datetime
    steps: tuple[StepTiming, ...]
    reason: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class EndedBuilder:
    """The builder of an attempt that has ended. `may_bring_lines`: lines of its log may still arrive."""

    deployment_id: uuid.UUID
    attempt: int
    handle: str
    reason: str
    is_canceled: bool
    may_bring_lines: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """One try to publish one commit. `launcher`, `handle`, `steps` and so on are those of its last attempt."""

    id: uuid.UUID
    project_id: uuid.UUID
    project_slug: str
    project_name: str
    number: int
    status: Status
    attempt: int
    trigger: Trigger
    git_url: str
    settings: BuildSettings
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    completed_at: datetime.datetime | None
    lease_until: datetime.datetime | None
    launcher: str | None
    handle: str | None
    queue_reason: str | None
    reason: str | None
    exit_code: int | None
    commit_sha: str | None
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
    isolation: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a build log. `timestamp`: milliseconds since 1970 by the builder's clock."""

    deployment_id: uuid.UUID
    attempt: int
    seq: int
    timestamp: int
    stream: str
    step: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """A place in a log: after line `seq` of `attempt`. (1, 0) is the beginning."""

    attempt: int = 1
    seq: int = 0


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


@dataclasses.dataclass(frozen=True, slots=True)
class SitePointer:
    """What a host name leads to. `deployment_id` is None if nothing is published under it yet."""

    project_id: uuid.UUID
    slug: str
    deployment_id: uuid.UUID | None
    newest_status: Status | None
    is_preview: bool = False
