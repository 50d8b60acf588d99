"""Why a deployment was requested."""

from __future__ import annotations

import dataclasses
import enum


class CauseKind(enum.StrEnum):
    """By what a deployment was requested. FORM: by a form of the pages."""

    API = "api"
    FORM = "form"


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """`actor`: the kind of the actor that requested it. `branch` and `commit`: those that the request was about.

    None: the request named none.
    """

    kind: CauseKind
    actor: str
    branch: str | None = None
    commit: str | None = None
