"""No isolation: limits, an account of its own if the platform is root, and an end for all processes."""

from __future__ import annotations

from builder.sandbox.supervised import SupervisedSandbox


class NoSandbox(SupervisedSandbox):
    name = "none"
