"""Settings files as values with line numbers: TOML, and JSON with or without comments."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from builder.checkout import TOO_MANY_DIGITS, Checkout, parse_json
from builder.errors import BuildFailed
from builder.protocol.settings import BY_NAME

MAX_COMMAND = 10_000
"""In a file a command may have several lines."""
MAX_LETTERS = 256 * 1024
"""tomllib takes about 20 us for each key."""
MOST_NAMED = 12
# tomllib takes quadratic time for keys such as a.a.a.a and so on. Strings, which may be parts of a key, are replaced by
# a letter first. Nothing is tried twice (*+, ++), so that a search takes linear time itself.
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){33}")
_BASIC_STRING = r'''"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5})?|"(?:[^"\\\n]|\\.)*+"?'''
_LITERAL_STRING = r"""'''(?:[^']|'(?!''))*+(?:'{3,5})?|'[^'\n]*+'?"""
_TOML_STRING_OR_COMMENT = re.compile(rf"{_BASIC_STRING}|{_LITERAL_STRING}|#[^\n]*", re.DOTALL)
# A string may lack its end, so that each letter is looked at once.
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:[^"\\\n]|\\.)*"?|,(?=\s{0,1000}[\]}])')


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A settings file. `name` is its path in the repository."""

    name: str
    text: str
    values: Mapping[str, Any]

    def failure(self, sentence: str, *keys: str) -> BuildFailed:
        """The error for a wrong value of the key at this path of keys."""
        return BuildFailed(f"{self.name}, line {self.line(*keys)}: {sentence}")

    def table(self, *keys: str) -> Mapping[str, Any]:
        """The table at this path. Empty if there is none. Raises BuildFailed for anything but a table."""
        found: Any = self.values
        for place, key in enumerate(keys, 1):
            found = found.get(key, {})
            if found is None:
                return {}
            if not isinstance(found, dict):
                raise self.failure(f"{'.'.join(keys[:place])} must be a table.", *keys[:place])
        return found  # type: ignore[no-any-return]

    def setting(self, name: str, *keys: str) -> str | None:
        """The text at this path, as the value of a setting. None: it is not set. Raises BuildFailed if it is wrong."""
        value = self.table(*keys[:-1]).get(keys[-1])
        if value is None:
            return None
        try:
            _check(name, value)
        except ValueError as error:
            raise self.failure(f"{keys[-1]} {error}.", *keys) from error
        return str(value)

    def line(self, *keys: str) -> int:
        """Where the last of these keys is written; the best guess where one name is used several times."""
        wanted, *above = reversed(keys)
        within = ".".join(reversed(above))
        section, first = "", 0
        for number, line in enumerate(self.text.splitlines(), 1):
            plain = line.replace('"', "").replace("'", "").strip()
            if plain.startswith("["):
                section = plain.lstrip("[ ").partition("]")[0].strip()
                if section == ".".join(keys) or section.startswith(".".join(keys) + "."):
                    return number
            elif plain.lstrip("{, ").startswith(wanted) and _ends_key(plain.lstrip("{, ")[len(wanted) :]):
                if section == within:
                    return number
                first = first or number
        return first or 1

    def unsupported(self, keys: Iterable[tuple[str, ...]]) -> list[str]:
        """One line for the log that names these keys. Empty if there are none."""
        named = [f"{'.'.join(path)} (line {self.line(*path)})" for path in itertools.islice(keys, MOST_NAMED)]
        return [f"{self.name}: not supported yet, and passed over: {', '.join(named)}."] if named else []


def read_toml(checkout: Checkout, path: PurePosixPath) -> Document | None:
    """None if there is no such file. Raises BuildFailed with the line for one that is not TOML."""
    text = _read(checkout, path)
    if text is None:
        return None
    if _LONG_KEY.search(_TOML_STRING_OR_COMMENT.sub("s", text)):
        raise BuildFailed(f"{path} has a key with more than 32 dots.")
    try:
        values = tomllib.loads(text)
        str(values)  # raises ValueError for a long number that is not decimal, such as 0xfff
    except tomllib.TOMLDecodeError as error:
        raise BuildFailed(f"{path} is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise BuildFailed(f"{path} is nested too deeply.") from error
    except ValueError as error:
        raise BuildFailed(f"{path} can't be read: {TOO_MANY_DIGITS}") from error
    return Document(str(path), text, values)


def read_json(checkout: Checkout, path: PurePosixPath, *, with_comments: bool = False) -> Document | None:
    """None if there is no such file. Raises BuildFailed with the line for one that is not an object of JSON."""
    text = _read(checkout, path)
    if text is None:
        return None
    try:
        values = parse_json(without_comments(text) if with_comments else text)
    except json.JSONDecodeError as error:
        raise BuildFailed(
            f"{path} is not valid JSON: {error.msg} (at line {error.lineno}, column {error.colno})."
        ) from error
    except ValueError as error:
        raise BuildFailed(f"{path} can't be read: {error}") from error
    if not isinstance(values, dict):
        raise BuildFailed(f"{path} must hold an object, beginning with {{ in line 1.")
    return Document(str(path), text, values)


def without_comments(text: str) -> str:
    """JSON without comments and trailing commas. Each line stays where it is."""

    def blank(found: re.Match[str]) -> str:
        return found[0] if found[0].startswith('"') else "\n" * found[0].count("\n")

    return _STRING_OR_COMMA.sub(lambda found: "" if found[0] == "," else found[0], _STRING_OR_COMMENT.sub(blank, text))


def _read(checkout: Checkout, path: PurePosixPath) -> str | None:
    text = checkout.read(path)
    if text is not None and len(text) > MAX_LETTERS:
        raise BuildFailed(f"{path} is too large: a settings file has at most {MAX_LETTERS // 1024} KiB.")
    return text


def _ends_key(rest: str) -> bool:
    return rest.lstrip()[:1] in ("=", ":", ".")


def _check(name: str, value: object) -> None:
    if not name.endswith("_command"):
        BY_NAME[name].check(value)
    elif not isinstance(value, str):
        raise ValueError("must be text")
    elif len(value) > MAX_COMMAND or "\0" in value:
        raise ValueError(f"must be a command of at most {MAX_COMMAND} characters, without NUL")
