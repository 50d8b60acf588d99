"""Reads the settings of a build from every place that has some."""

from __future__ import annotations

from pathlib import PurePosixPath

from builder.checkout import HERE, Checkout
from builder.errors import BuildFailed
from builder.protocol.calls import Job
from builder.protocol.settings import clean_path
from builder.settings.buildspace import read_buildspace
from builder.settings.netlify import read_netlify
from builder.settings.resolved import CALL, PROJECT, Layer, Resolved
from builder.settings.vercel import read_vercel
from builder.settings.wrangler import read_wrangler


def read_settings(job: Job, checkout: Checkout) -> Resolved:
    """Raises BuildFailed for a file that can't be understood, with its line."""
    call, project = Layer(CALL, job.call, is_ours=True), Layer(PROJECT, job.project, is_ours=True)
    branch = branch_of(job, checkout)
    ours = read_buildspace(checkout, _root(call, project))
    netlify = read_netlify(checkout, _root(call, ours, project), job.context, branch)
    root = _root(call, ours, project, netlify) or HERE
    layers = (call, ours, project, netlify, read_vercel(checkout, root, branch), read_wrangler(checkout, root))
    return Resolved([layer for layer in layers if layer is not None])


def branch_of(job: Job, checkout: Checkout) -> str:
    """The branch or tag that is built: the job's, else the default branch that git checked out."""
    if job.branch:
        return job.branch
    head = checkout.read_start(PurePosixPath(".git/HEAD")).strip()
    return head.removeprefix("ref: refs/heads/") if head.startswith("ref: refs/heads/") else ""


def _root(*layers: Layer | None) -> PurePosixPath | None:
    """The root directory that the strongest of these sets."""
    found = (layer.settings.root_directory for layer in layers if layer is not None)
    text = next((text for text in found if text is not None), None)
    try:
        return None if text is None else PurePosixPath(clean_path(text or ".", "rootDirectory"))
    except ValueError as error:
        raise BuildFailed(str(error)) from error
