"""Lines of build logs, and positions between them."""

from __future__ import annotations

import dataclasses
import uuid

from builder.protocol.steps import Step, Stream


@dataclasses.dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a build log. `timestamp`: milliseconds since 1970 by the builder's clock."""

    deployment_id: uuid.UUID
    attempt: int
    seq: int
    timestamp: int
    stream: Stream
    step: Step
    text: str


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """A place in a log: after line `seq` of `attempt`. (1, 0) is the beginning."""

    attempt: int = 1
    seq: int = 0
