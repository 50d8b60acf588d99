"""Writes docs/api.md from the API's own description. Run it when the API changes; a test compares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.routes import API
from gateway.routes.openapi import REASONS, describe_api

API_PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
BEGINNING = """\
# API

Made from the running code by `python -m scripts.reference`; `/openapi.json` says the same to programs. Bodies and
answers are JSON with camelCase names. Every error is `{"error": "<what kind>", "details": "<a sentence>"}`; a 400 about
a body adds `fields`, a sentence for each. Lists are paged: pass `next` of one page as `cursor` of the following; `null`
ends them. Answers to GET of 1 KiB or more, logs too, are compressed with gzip for clients that accept it.

"""


def api_page() -> str:
    description = describe_api("", API)
    calls = [
        _call(f"{method.upper()} {path}", operation)
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    ]
    shapes = [_shape(name, schema) for name, schema in sorted(description["components"]["schemas"].items())]
    errors = [f"| {status} | {reason} |" for status, reason in REASONS.items()]
    table = "\n".join(["| error | meaning |", "|---|---|", *errors])
    return BEGINNING + table + "\n\n" + "\n".join(calls) + "\n# Shapes\n\n" + "\n".join(shapes)


def _call(name: str, operation: dict[str, Any]) -> str:
    lines = [f"## `{name}`", "", f"{operation['summary']}.", ""]
    body = operation.get("requestBody")
    if body:
        lines += [f"Body: {_type(body['content']['application/json']['schema'])}", ""]
    lines += [
        f"- `{each['name']}` ({each['in']}): {each.get('description', '')}" for each in operation.get("parameters", [])
    ]
    answers = {status: _answer(answer) for status, answer in operation["responses"].items()}
    good = [f"{status} {answer}" for status, answer in answers.items() if status not in REASONS or answer]
    bad = [status for status in answers if status in REASONS]
    return "\n".join([*lines, "", f"Answers: {'; '.join(good)}. Errors: {', '.join(bad)}.", ""])


def _answer(answer: dict[str, Any]) -> str:
    """The content of a successful answer. Empty for an error."""
    content = answer.get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if schema.get("$ref", "").endswith("ErrorAnswer"):
        return ""
    return _type(schema) if schema else ", ".join(content)


def _shape(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return "\n".join([f"## {name}", "", *_fields(schema.get("properties", {}), required), ""])


def _fields(properties: dict[str, Any], required: list[str]) -> Iterator[str]:
    for name, schema in properties.items():
        words = [_type(schema)]
        words += [] if name in required else ["optional"]
        words += ["may be null"] if schema.get("nullable") else []
        note = f". {schema['description']}" if "description" in schema else ""
        yield f"- `{name}`: {', '.join(words)}{note}"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if "$ref" in each)
    if "enum" in schema:
        return "one of " + ", ".join(str(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or "anything")


if __name__ == "__main__":
    API_PAGE.write_text(api_page())
