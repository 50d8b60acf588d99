"""The rules of a deployment's life: its time limits, and how its log ends. No I/O."""

from __future__ import annotations

import dataclasses

from builder.protocol.lines import MAX_SEQ
from gateway.models.deployment import Deployment, Status

REFUSALS = 20
"""How often the launcher may refuse one deployment. The wait doubles after each refusal, about an hour in all."""
FIRST_REFUSAL_SECONDS = 2.0
LONGEST_REFUSAL_SECONDS = 240.0
GRACE_SECONDS = 300.0
"""How much longer than the build's time limit an attempt may take: to start, to upload, to finish."""
CONTAINER_START_SECONDS = 180.0
"""How long, beside the lease, a container may take to its builder's first heartbeat. A lost one is noticed sooner."""
LOG_GRACE_SECONDS = 60.0
"""How long a finished log with missing lines is waited for after the last line that arrived."""
MOST_RANGES = 1000
"""Ranges of missing lines, which are stored with the deployment."""
LOG_SETTLE_SECONDS = 5.0
"""The same for a log whose builder did not report the number of lines."""


def is_running(deployment: Deployment, attempt: int) -> bool:
    """Whether this attempt may still call the builders' API with its token."""
    return deployment.status is Status.BUILDING and deployment.attempt == attempt


def may_bring_lines(deployment: Deployment) -> bool:
    """Whether the builder of this ended attempt may still deliver lines that the transport did not accept."""
    return deployment.last_seq is not None and deployment.log_complete is None


def bound_seconds(time_limit_seconds: float) -> float:
    """The longest that an attempt may take."""
    return time_limit_seconds + GRACE_SECONDS


def time_limit_sentence(time_limit_seconds: float) -> str:
    minutes = round(time_limit_seconds / 60)
    limit = f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes else f"{time_limit_seconds:.0f} seconds"
    return f"The build was stopped: it did not end within its time limit of {limit}."


@dataclasses.dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a log: whether it is complete, and the missing ranges."""

    complete: bool
    missing: tuple[tuple[int, int], ...]


def look_until(last_seq: int | None) -> int:
    """The last seq for which the log store is asked for missing lines."""
    return MAX_SEQ if last_seq is None else last_seq


def decide_log_end(last_seq: int | None, missing: list[tuple[int, int]], quiet_seconds: float) -> LogEnd | None:
    """How the log ended. None: wait for more lines.

    `missing` is what the log store lacks of 1..look_until(last_seq); `quiet_seconds` is how long that has not changed.
    A log is complete only if the builder reported the number of lines and all are stored. Without this report (lost,
    canceled, stopped) the log ends with the last stored line, and `missing` holds the gaps before it.
    """
    if last_seq is None:
        gaps = _told([span for span in missing if span[1] < MAX_SEQ])
        return LogEnd(False, gaps) if quiet_seconds >= LOG_SETTLE_SECONDS else None
    if not missing:
        return LogEnd(True, ())
    return LogEnd(False, _told(missing)) if quiet_seconds >= LOG_GRACE_SECONDS else None


def _told(missing: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """More ranges than the limit are combined into one, from the first missing line to the last."""
    if len(missing) <= MOST_RANGES:
        return tuple(missing)
    return (*missing[: MOST_RANGES - 1], (missing[MOST_RANGES - 1][0], missing[-1][1]))
