"""What a repository offers, and which of it is built: a branch, a tag, a commit, or what HEAD names."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable

from builder.errors import BuildFailed
from builder.protocol.branches import check_branch, is_commit, is_short_commit

MAX_SHOWN = 10
MAX_REFS_BYTES = 64 * 2**20
"""Some 700,000 refs."""
BRANCHES = "refs/heads/"
TAGS = "refs/tags/"


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is fetched: `source` as the server knows it, `target` as the checkout does. `sha` is the commit or tag."""

    source: str
    target: str
    sha: str
    branch: str | None = None

    @property
    def refspec(self) -> str:
        return f"+{self.source}:{self.target}"


@dataclasses.dataclass(frozen=True, slots=True)
class Refs:
    """`head` is the commit of HEAD, and `head_branch` the branch that it names, if that exists."""

    head: str | None
    head_branch: str | None
    branches: dict[str, str]
    tags: dict[str, str]

    @classmethod
    def from_text(cls, text: str) -> Refs:
        """From the output of `git ls-remote --symref`."""
        found: dict[str, str] = {}
        head_target = ""
        for value, _, name in (line.partition("\t") for line in text.splitlines()):
            if name == "HEAD" and value.startswith("ref: "):
                head_target = value.removeprefix("ref: ")
            elif not name.endswith("^{}"):
                found[name] = value
        head_branch = head_target.removeprefix(BRANCHES) if head_target in found else None
        return cls(found.get("HEAD"), head_branch, _below(BRANCHES, found), _below(TAGS, found))

    def choose(self, ref: str | None, url: object) -> Wanted:
        """Raises BuildFailed with a sentence that names what could be built instead."""
        if ref is None:
            return self._choose_head(url)
        if ref in self.branches:
            return self._branch(ref)
        if ref in self.tags:
            return Wanted(f"{TAGS}{ref}", f"{TAGS}{ref}", self.tags[ref])
        if is_commit(ref):
            return Wanted(ref, "refs/remotes/origin/commit", ref)
        raise BuildFailed(self._explain_missing(ref, url))

    def _choose_head(self, url: object) -> Wanted:
        if self.head_branch is not None:
            return self._branch(self.head_branch)
        if self.head is not None:
            return Wanted("HEAD", "refs/remotes/origin/HEAD", self.head)
        if self.branches:
            raise BuildFailed(
                f"The repository {url} has no default branch: its HEAD names one that does not exist."
                f" Set branch to one that does: {_listed(self.branches)}."
            )
        if self.tags:
            raise BuildFailed(
                f"The repository {url} has no branch, only tags. Set branch to one of them: {_listed(self.tags)}."
            )
        raise BuildFailed(f"The repository {url} is empty. Push a commit to it, and deploy again.")

    def _branch(self, name: str) -> Wanted:
        try:
            check_branch(name)
        except ValueError as error:  # HEAD's branch comes from the server
            raise BuildFailed(str(error)) from error
        return Wanted(f"{BRANCHES}{name}", f"refs/remotes/origin/{name}", self.branches[name], name)

    def _explain_missing(self, ref: str, url: object) -> str:
        if not self.branches and not self.tags:
            return f"The repository {url} is empty. Push the branch {ref!r} to it, and deploy again."
        sentence = f"There is no branch or tag called {ref!r} in {url}."
        if is_short_commit(ref):
            return f"{sentence} A commit is named by all its 40 digits."
        near = difflib.get_close_matches(ref, [*self.branches, *self.tags], MAX_SHOWN)
        others = dict.fromkeys([*near, *self.branches, *self.tags])
        return f"{sentence} Set branch to one that exists: {_listed(others)}."


def _below(prefix: str, refs: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in refs.items() if name.startswith(prefix)}


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(_first(names))
    more = len(names) - MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _first(names: Iterable[str]) -> list[str]:
    return [name for name, _ in zip(names, range(MAX_SHOWN), strict=False)]
