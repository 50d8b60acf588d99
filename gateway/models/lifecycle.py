"""A deployment's life: its bounds, and how its log ends. Decides only, does nothing."""

from __future__ import annotations

import dataclasses

from builder.protocol.lines import MAX_SEQ
from gateway.models import Deployment, Status

REFUSALS = 20
"""So often may the launcher refuse one deployment. It waits twice as long after each, which makes about an hour."""
FIRST_REFUSAL_SECONDS = 2.0
LONGEST_REFUSAL_SECONDS = 240.0
GRACE_SECONDS = 300.0
"""What an attempt may take beyond the build's own time limit: to start, to upload, to finish."""
CONTAINER_START_SECONDS = 180.0
"""What a container may take to its builder's first sign of life, beside the lease. A lost one is found sooner."""
LOG_GRACE_SECONDS = 60.0
"""A finished log that still lacks lines is waited for this long after the last line that arrived."""
MOST_RANGES = 1000
"""Of missing lines; they are kept with the deployment."""
LOG_SETTLE_SECONDS = 5.0
"""As above, when nobody said how many lines there are."""


def is_running(deployment: Deployment, attempt: int) -> bool:
    """Whether this attempt may still say anything: its token opens the builders' API for so long."""
    return deployment.status is Status.BUILDING and deployment.attempt == attempt


def may_bring_lines(deployment: Deployment) -> bool:
    """Whether the builder of this ended attempt may still bring lines that the transport did not take."""
    return deployment.last_seq is not None and deployment.log_complete is None


def bound_seconds(time_limit_seconds: float) -> float:
    """Longer than this no attempt may take."""
    return time_limit_seconds + GRACE_SECONDS


def time_limit_sentence(time_limit_seconds: float) -> str:
    minutes = round(time_limit_seconds / 60)
    limit = f"{minutes} minute{'' if minutes == 1 else 's'}" if minutes else f"{time_limit_seconds:.0f} seconds"
    return f"The build was stopped: it did not end within its time limit of {limit}."


@dataclasses.dataclass(frozen=True, slots=True)
class LogEnd:
    """What is known of an ended log: whether every line is there, and the ranges that are not."""

    complete: bool
    missing: tuple[tuple[int, int], ...]


def look_until(last_seq: int | None) -> int:
    """Up to which seq to ask the log store for missing lines."""
    return MAX_SEQ if last_seq is None else last_seq


def decide_log_end(last_seq: int | None, missing: list[tuple[int, int]], quiet_seconds: float) -> LogEnd | None:
    """How the log ended, or None: wait for more lines.

    `missing` is what the log store lacks of 1..look_until(last_seq); `quiet_seconds` is how long that has not changed.
    A log is complete only when the builder said how many lines there are and all are stored. Of a builder that never
    said so (lost, canceled, stopped) the log ends with the last stored line, and `missing` holds the gaps before it.
    """
    if last_seq is None:
        gaps = _told([span for span in missing if span[1] < MAX_SEQ])
        return LogEnd(False, gaps) if quiet_seconds >= LOG_SETTLE_SECONDS else None
    if not missing:
        return LogEnd(True, ())
    return LogEnd(False, _told(missing)) if quiet_seconds >= LOG_GRACE_SECONDS else None


def _told(missing: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Beyond so many the rest is told as one, from the first that is missing to the last."""
    if len(missing) <= MOST_RANGES:
        return tuple(missing)
    return (*missing[: MOST_RANGES - 1], (missing[MOST_RANGES - 1][0], missing[-1][1]))
