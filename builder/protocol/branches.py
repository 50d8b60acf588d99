"""What can be built of a repository, by name: git's rule for branches and tags, and ids of commits."""

from __future__ import annotations

import re

MAX_BRANCH = 255

# The rules of https://git-scm.com/docs/git-check-ref-format. No leading hyphen, because git would read an option.
_BRANCH = re.compile(
    r"(?![-/])(?!@\Z)(?!.*(?:\.\.|//|@\{|\.lock(?:/|\Z)))(?!(?:.*/)?\.)"
    rf"[^\x00-\x20\x7f~^:?*\[\\]{{1,{MAX_BRANCH}}}(?<![/.])\Z"
)
_COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}\Z")


def check_branch(branch: str) -> None:
    """Raises ValueError with a sentence."""
    if not _BRANCH.match(branch):
        raise ValueError("The branch is not a name that git accepts for a branch or tag, such as main.")


def is_commit(ref: str) -> bool:
    """Whether it is the whole id of a commit. A branch or tag of that name comes first."""
    return _COMMIT.match(ref) is not None


def is_short_commit(ref: str) -> bool:
    """Whether it looks like the beginning of a commit's id."""
    return _SHORT_COMMIT.match(ref) is not None
