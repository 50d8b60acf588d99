"""Who calls: the value that goes from the guard into handlers and stores."""

from __future__ import annotations

import enum


class Scope(enum.StrEnum):
    """What an actor may do. READ: look at everything that is its own; DEPLOY: change it."""

    READ = "read"
    DEPLOY = "deploy"
