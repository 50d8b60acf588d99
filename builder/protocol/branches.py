"""Names of branches and tags: git's rule, shared by the API and the builder."""

from __future__ import annotations

import re

MAX_BRANCH = 255

# The rules of https://git-scm.com/docs/git-check-ref-format. No leading hyphen, because git would read an option.
_BRANCH = re.compile(
    r"(?![-/])(?!@\Z)(?!.*(?:\.\.|//|@\{|\.lock(?:/|\Z)))(?!(?:.*/)?\.)"
    rf"[^\x00-\x20\x7f~^:?*\[\\]{{1,{MAX_BRANCH}}}(?<![/.])\Z"
)


def check_branch(branch: str) -> None:
    """Raises ValueError with a sentence."""
    if not _BRANCH.match(branch):
        raise ValueError("The branch is not a name that git accepts for a branch or tag, such as main.")
