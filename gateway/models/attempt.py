"""A launch of a deployment with its steps, and a builder that has to be stopped."""

from __future__ import annotations

import dataclasses
import datetime
import uuid

from builder.protocol.calls import Failure
from builder.protocol.steps import Step


@dataclasses.dataclass(frozen=True, slots=True)
class StepTiming:
    """One step of a build. `seconds` is None while it runs. `started_at`: milliseconds since 1970."""

    name: Step
    started_at: int
    seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One launch of a deployment. `reason`: why it ended without a release. `failure`: why its command failed."""

    number: int
    launcher: str
    started_at: datetime.datetime
    steps: tuple[StepTiming, ...]
    reason: str | None
    failure: Failure | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class EndedBuilder:
    """The builder of an attempt that has ended.

    `may_bring_lines`: lines of its log may still arrive. `may_save`: it may save its installation.
    """

    deployment_id: uuid.UUID
    attempt: int
    handle: str
    reason: str
    is_canceled: bool
    may_bring_lines: bool
    may_save: bool
