"""The ways in which a build ends early."""

from __future__ import annotations


class BuildFailed(Exception):
    """The project is at fault. A full sentence that tells its owner what to change."""

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.exit_code = exit_code


class Lost(Exception):
    """The machine or the network is at fault: another attempt may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ended(Exception):
    """This attempt is over: canceled, replaced, or given up by the gateway."""
