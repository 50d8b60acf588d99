"""The ways in which a build ends early."""

from __future__ import annotations

from collections.abc import Iterable

from builder.protocol.calls import Failure


class BuildFailed(Exception):
    """The project is at fault.

    `sentence` tells its owner what to change. `lines` are of the log, so that is not repeated there.
    """

    def __init__(
        self, sentence: str, exit_code: int | None = None, *, lines: Iterable[str] = (), failure: Failure | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.exit_code = exit_code
        self.lines = tuple(lines)
        self.failure = failure

    @property
    def reason(self) -> str:
        """The sentence and the lines."""
        return "\n".join([self.sentence, *self.lines])


class Lost(Exception):
    """The machine or the network is at fault: another attempt may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Ended(Exception):
    """This attempt is over: canceled, replaced, or given up by the gateway."""
