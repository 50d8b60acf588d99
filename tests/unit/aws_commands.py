"""Reads `aws` commands out of a page as a shell and the AWS CLI would, as far as the page goes."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

from botocore import xform_name
from botocore.model import ListShape, MapShape, Shape, StructureShape

GLOBAL_OPTIONS = ("query", "output", "region")
SAMPLE = "sample-0123456789abcdef"


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """`words` follow `aws`: service, operation, options."""

    line: str
    words: tuple[str, ...]


def read_commands(page: str) -> list[Command]:
    """Every `aws` command of the page's shell blocks, with the values of variables put in."""
    commands: list[Command] = []
    variables: dict[str, str] = {}
    for line in _lines(page):
        name, value = _assignment(line)
        text = value[2:-1] if value.startswith("$(") else line
        if name and not value.startswith("$("):
            variables[name] = "".join(shlex.split(_expand(value, variables)))
            continue
        if name:
            variables[name] = SAMPLE
        if text.startswith("aws "):
            words = shlex.split(_expand(text, variables).partition(" | ")[0])
            commands.append(Command(line, tuple(words[1:])))
    return commands


def options_of(words: tuple[str, ...]) -> dict[str, list[str]]:
    """What stands behind each `--option`."""
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            assert word[2:] not in found, f"{word} is there twice"
            found[word[2:]] = []
        else:
            assert found, f"{word} belongs to no option"
            found[list(found)[-1]].append(word)
    return found


def parameters_of(options: dict[str, list[str]], shape: StructureShape, root: Path) -> dict[str, Any]:
    """The request that the options make. AssertionError for one that the operation does not have."""
    members = {xform_name(name, "-"): name for name in shape.members}
    request: dict[str, Any] = {}
    for option, words in options.items():
        if option in GLOBAL_OPTIONS:
            continue
        if option == "cli-input-json":
            request |= json.loads(_text(words[0], root))
            continue
        is_no = option.startswith("no-") and option not in members
        name = members.get(option.removeprefix("no-") if is_no else option)
        assert name, f"there is no --{option}; there are {', '.join(sorted(members))}"
        request[name] = not is_no if not words else _value(words, shape.members[name], root)
    return request


def wrong_enums(value: Any, shape: Shape, place: str = "") -> list[str]:
    """Values that the service does not know, by their places."""
    if isinstance(shape, StructureShape):
        known = {name: each for name, each in value.items() if name in shape.members}
        return [w for name, each in known.items() for w in wrong_enums(each, shape.members[name], f"{place}.{name}")]
    if isinstance(shape, ListShape):
        return [wrong for each in value for wrong in wrong_enums(each, shape.member, place)]
    if isinstance(shape, MapShape):
        return [wrong for each in value.values() for wrong in wrong_enums(each, shape.value, place)]
    is_wrong = bool(getattr(shape, "enum", None)) and value not in shape.enum
    return [f"{place}: {value!r} is none of {', '.join(shape.enum)}"] if is_wrong else []


def _lines(page: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def _assignment(line: str) -> tuple[str, str]:
    matched = re.match(r"(?:export )?([A-Z][A-Z_]*)=(.*)\Z", line)
    return (matched[1], matched[2]) if matched else ("", "")


def _expand(text: str, variables: dict[str, str]) -> str:
    """As in a shell, but within single quotes too, where the page has no variables. Commands inside are a sample."""
    text = re.sub(r"\$\([^)]*\)", SAMPLE, text)
    unknown = [name for name in re.findall(r"\$([A-Z_]+)", text) if name not in variables]
    assert not unknown, f"nothing sets {unknown}: {text}"
    return re.sub(r"\$([A-Z_]+)", lambda found: variables[found[1]], text)


def _text(word: str, root: Path) -> str:
    """The word, or what is in the file that it names."""
    return (root / word.removeprefix("file://")).read_text() if word.startswith("file://") else word


def _value(words: list[str], shape: Shape, root: Path) -> Any:
    text = _text(words[0], root)
    if text.lstrip()[:1] in ("{", "[") and shape.type_name != "string":
        return json.loads(text)
    if isinstance(shape, ListShape):
        return [_simple(word, shape.member) for word in words]
    assert len(words) == 1, f"one value is expected, not {words}"
    return _simple(text, shape)


def _simple(text: str, shape: Shape) -> Any:
    """One value, in the short form of the AWS CLI where it is made of others."""
    if isinstance(shape, StructureShape):
        inner = text[1:-1] if text.startswith("{") else text
        pairs = [part.partition("=") for part in _split(inner)]
        unknown = [name for name, _, _ in pairs if name not in shape.members]
        assert not unknown, f"{shape.name} has no {unknown}: it has {', '.join(shape.members)}"
        return {name: _simple(value, shape.members[name]) for name, _, value in pairs}
    if isinstance(shape, ListShape):
        inner = text[1:-1] if text.startswith("[") else text
        return [_simple(part, shape.member) for part in _split(inner)]
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "boolean":
        return {"true": True, "false": False}[text]
    return text


def _split(text: str) -> list[str]:
    """At the commas that stand in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
