"""Reads the settings of a build from every place that has some."""

from __future__ import annotations

from builder.protocol.calls import Job
from builder.settings.resolved import CALL, PROJECT, Layer, Resolved


def read_settings(job: Job) -> Resolved:
    return Resolved([Layer(CALL, job.call, is_ours=True), Layer(PROJECT, job.project, is_ours=True)])
