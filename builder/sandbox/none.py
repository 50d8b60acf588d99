"""No isolation: limits, an account of its own if there is root to give it, and an end for everything. Loudly chosen."""

from __future__ import annotations

from builder.sandbox.supervised import SupervisedSandbox


class NoSandbox(SupervisedSandbox):
    name = "none"
