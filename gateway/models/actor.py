"""The caller: the value that the guard passes to handlers and stores."""

from __future__ import annotations

import enum


class Scope(enum.StrEnum):
    """What an actor may do. READ: see everything that is its own; DEPLOY: change it."""

    READ = "read"
    DEPLOY = "deploy"
