"""The isolation of builds, chosen once by trying it. Sites are served whether there is one or not."""

from __future__ import annotations

import dataclasses
import os

from builder.protocol.calls import Isolation
from gateway.background import Health
from gateway.engines.process.grades import Grade, choose_grade, find_memory_limit
from gateway.errors import LaunchRefused

BUILDERS = "builders"


class IsolationChoice:
    """The sandbox of builds. Until one is chosen, and if none works, builds wait."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._grade: Grade | None = None
        self._refusal = LaunchRefused("The sandbox has not been chosen yet.")

    @property
    def name(self) -> Isolation | None:
        return self._grade.name if self._grade else None

    @property
    def sentence(self) -> str:
        """The grade in words, or the reason why there is none."""
        return self._grade.sentence if self._grade else self._refusal.sentence

    def grade(self) -> Grade:
        """Raises LaunchRefused while builds may not run."""
        if self._grade is None:
            raise self._refusal
        return self._grade

    def leave_to_containers(self) -> None:
        """Builders run elsewhere, each in a container of its own, and choose the isolation inside it themselves."""
        self._grade = Grade(Isolation.CONTAINER, "Each build runs in a container of its own.")

    async def choose(self, wanted: str, *, is_loopback_only: bool) -> None:
        """Sites are served in any case: a grade that does not work is shown in the health and holds up builds alone."""
        try:
            grade = await choose_grade(wanted, is_loopback_only)
            memory = await find_memory_limit(os.getpid())
            self._grade = dataclasses.replace(grade, sentence=f"{grade.sentence} {memory}")
        except LaunchRefused as refusal:
            self._refusal = refusal
            self._health.trouble(BUILDERS, refusal.sentence)
