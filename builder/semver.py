"""Version ranges as npm writes them: ^ ~ || - x < <= > >= = and partial versions."""

from __future__ import annotations

import dataclasses
import re

Version = tuple[int, int, int]

_PARTIAL = (
    r"[v=\s]*(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*])(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?)?"
)
_COMPARATOR = re.compile(rf"(\^|~>?|>=|<=|>|<|=|)\s*{_PARTIAL}\Z")
_HYPHEN = re.compile(rf"\s*{_PARTIAL}\s+-\s+{_PARTIAL}\s*\Z")
_TOKEN = re.compile(r"(?:\^|~>?|>=|<=|>|<|=)?\s*[v=]*[0-9xX*][0-9A-Za-z.*+-]*")
_INFINITE = (10**10, 0, 0)
_ZERO = (0, 0, 0)

LTS_NAMES = {
    "argon": 4,
    "boron": 6,
    "carbon": 8,
    "dubnium": 10,
    "erbium": 12,
    "fermium": 14,
    "gallium": 16,
    "hydrogen": 18,
    "iron": 20,
    "jod": 22,
    "krypton": 24,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """`intervals`: from (inclusive) to (exclusive). A version fits if it is in one of them."""

    text: str
    intervals: tuple[tuple[Version, Version], ...]

    def allows(self, version: Version) -> bool:
        return any(least <= version < end for least, end in self.intervals)


def parse_version(text: str) -> Version:
    """Raises ValueError for anything but a full version. A suffix behind a dash is ignored."""
    found = re.match(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+].*)?\Z", text.strip())
    if not found:
        raise ValueError(f"{text[:40]!r} is not a version.")
    return int(found[1]), int(found[2]), int(found[3])


def is_release(text: str) -> bool:
    """Whether this is a version without a suffix: no alpha, no release candidate."""
    return re.fullmatch(r"\d{1,9}\.\d{1,9}\.\d{1,9}", text) is not None


def version_text(version: Version) -> str:
    return ".".join(map(str, version))


def parse_node_range(text: str) -> Range:
    """A range, or a name of nvm, asdf or n: `node`, `lts/*`, `lts/jod`, `jod`. Raises ValueError with a sentence."""
    name = text.strip().lower().replace("lts-", "lts/")
    if name in ("node", "latest", "stable", "current", ""):
        return Range(text.strip() or "*", ((_ZERO, _INFINITE),))
    if name in ("lts", "lts/*"):
        return Range(text.strip(), tuple(((major, 0, 0), (major + 1, 0, 0)) for major in range(4, 200, 2)))
    if name.removeprefix("lts/") in LTS_NAMES:
        major = LTS_NAMES[name.removeprefix("lts/")]
        return Range(text.strip(), (((major, 0, 0), (major + 1, 0, 0)),))
    return parse_range(text)


def parse_range(text: str) -> Range:
    """Raises ValueError, with a sentence, for a range that npm would not read either."""
    if len(text) > 1000:
        raise ValueError("A version range has at most 1000 characters.")
    intervals = (_parse_alternative(alternative, text) for alternative in text.split("||"))
    return Range(text.strip(), tuple(interval for interval in intervals if interval[0] < interval[1]))


def _parse_alternative(alternative: str, text: str) -> tuple[Version, Version]:
    hyphen = _HYPHEN.match(alternative)
    if hyphen:
        parts = hyphen.groups()
        return _floor(parts[:3]), _after(parts[3:])
    least, end = _ZERO, _INFINITE
    rest = alternative.strip()
    while rest:
        token = _TOKEN.match(rest)
        if not token:
            raise ValueError(f"{text.strip()[:60]!r} is not a version range.")
        low, high = _parse_comparator(token[0], text)
        least, end = max(least, low), min(end, high)
        rest = rest[token.end() :].lstrip(" \t\r\n,")
    return least, end


def _parse_comparator(token: str, text: str) -> tuple[Version, Version]:
    found = _COMPARATOR.match(token)
    if not found:
        raise ValueError(f"{text.strip()[:60]!r} is not a version range.")
    sign, *parts = found.groups()
    floor = _floor(parts)
    after = _after(parts)
    if sign == ">=":
        return floor, _INFINITE
    if sign == ">":
        return after, _INFINITE
    if sign == "<":
        return _ZERO, floor
    if sign == "<=":
        return _ZERO, after
    if sign == "^":
        return floor, _after_caret(parts)
    if sign in ("~", "~>"):
        return floor, _after(parts[:2])
    return floor, after


def _numbers(parts: list[str | None] | tuple[str | None, ...]) -> list[int]:
    """The numbers before the first part that is missing or a wildcard."""
    numbers: list[int] = []
    for part in parts:
        if part is None or not part.isdigit():
            break
        numbers.append(int(part))
    return numbers


def _floor(parts: list[str | None] | tuple[str | None, ...]) -> Version:
    numbers = [*_numbers(parts), 0, 0, 0]
    return numbers[0], numbers[1], numbers[2]


def _after(parts: list[str | None] | tuple[str | None, ...]) -> Version:
    """The first version behind all those that these parts match."""
    numbers = _numbers(parts)
    if not numbers:
        return _INFINITE
    numbers[-1] += 1
    return _floor([str(number) for number in numbers])


def _after_caret(parts: list[str | None]) -> Version:
    numbers = _numbers(parts)
    for place, number in enumerate(numbers):
        if number or place == len(numbers) - 1:
            return _after(parts[: place + 1])
    return _INFINITE
