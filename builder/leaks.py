"""Looks for secrets in the files that are about to be published."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from builder.masking import Finder, forms_of
from builder.protocol.calls import Variable


@dataclasses.dataclass(frozen=True, slots=True)
class Leak:
    """Line `line` of a file, from 1, has the value of the variable `name`. Line 0: its path has it."""

    name: str
    line: int


class Leaks:
    """The values to look for: those of secrets that are not public, in all their forms."""

    def __init__(self, variables: Iterable[Variable] = ()) -> None:
        self._owners: dict[bytes, str] = {}
        for variable in variables:
            if variable.is_secret and not variable.is_public:
                self._owners |= dict.fromkeys(forms_of(variable.value, by_line=False), variable.name)
        self._finder = Finder(self._owners)
        self.overlap = max(0, self._finder.longest - 1)

    def __bool__(self) -> bool:
        return bool(self._owners)

    def look(self, content: bytes) -> tuple[str, int] | None:
        """The variable whose value stands in the content first, and where."""
        found = self._finder.find(content)
        if not found:
            return None
        pattern, start, _ = min(found, key=lambda match: match[1])
        return self._owners[self._finder.patterns[pattern]], start

    def in_path(self, path: str) -> Leak | None:
        found = self.look(path.encode(errors="surrogateescape"))
        return Leak(found[0], 0) if found else None


NO_LEAKS = Leaks()


class FileSearch:
    """One file, fed in pieces of any size; holds no more than the longest value."""

    def __init__(self, leaks: Leaks) -> None:
        self._leaks = leaks
        self._kept = b""
        self._lines = 0

    def feed(self, chunk: bytes) -> Leak | None:
        """The first leak that ends in this piece."""
        if not self._leaks:
            return None
        content = self._kept + chunk
        if (found := self._leaks.look(content)) is not None:
            name, start = found
            return Leak(name, self._lines + content.count(b"\n", 0, start) + 1)
        gone = max(0, len(content) - self._leaks.overlap)
        self._lines += content.count(b"\n", 0, gone)
        self._kept = content[gone:]
        return None


def explain_leak(path: str, leak: Leak) -> str:
    place = f"{path}, line {leak.line}," if leak.line else "The path of a file"
    return (
        f"{place} has the value of the secret {leak.name}, so nothing was published: every visitor could read it."
        f" Keep it out of what is published; or, if everyone may read it, set {leak.name} with `public: true`."
    )
