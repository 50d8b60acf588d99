"""What a deployment builds."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class GitRef:
    """A commit of a git repository.

    `ref` is a branch or tag, None the repository's default branch. `commit` is None until the builder reports which
    one it is.
    """

    url: str
    ref: str | None
    commit: str | None = None


Source = GitRef
