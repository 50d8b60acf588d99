"""The caller: the value that the guard passes to handlers and stores."""

from __future__ import annotations

import dataclasses
import enum
import uuid


class Scope(enum.StrEnum):
    """What an actor may do with its projects. READ: see them; DEPLOY: create and change them."""

    READ = "read"
    DEPLOY = "deploy"


@dataclasses.dataclass(frozen=True, slots=True)
class Actor:
    """Who calls. `owner_id`: whose projects it reaches; None: those of the whole installation."""

    kind: str
    owner_id: uuid.UUID | None
    scopes: frozenset[Scope]


OWNER = Actor("installation", None, frozenset(Scope))
"""The owner of this installation, for whom its jobs work too. There are no accounts: every caller is this actor."""
