"""What callers send about variables, checked: one, many, the text of a .env file, or another project's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from gateway.errors import Invalid
from gateway.models.variable import (
    ALL,
    MAX_TOTAL_BYTES,
    MAX_VARIABLES,
    Variable,
    refuse_context,
    refuse_variable,
)
from gateway.routes.dotenv import parse_dotenv
from gateway.routes.requests import Text, VariableRequest, load

MOST_SENTENCES = 10


class VariablesRequest(VariableRequest):
    """One variable (`name`, `value`), many (`variables`), a file (`dotenv`), or another project's (`copyFrom`).

    `context`, `secret` and `public` count for each variable that does not say otherwise.
    """

    name = Text(load_default=None, metadata=VariableRequest._declared_fields["name"].metadata)
    value = Text(load_default=None, metadata=VariableRequest._declared_fields["value"].metadata)
    variables = fields.List(
        fields.Nested(VariableRequest),
        load_default=None,
        validate=validate.Length(max=MAX_VARIABLES, error=f"has at most {MAX_VARIABLES} entries"),
    )
    dotenv = Text(load_default=None, metadata={"description": "The text of a .env file.", "format": "dotenv"})
    copyFrom = Text(load_default=None, metadata={"description": "The slug of a project.", "format": "slug"})


def read_variables(values: Mapping[str, Any]) -> list[Variable]:
    """The variables of a loaded body without `copyFrom`. Raises Invalid with a sentence for each that is wrong."""
    ways = [name for name in ("name", "variables", "dotenv", "copyFrom") if values[name] is not None]
    if len(ways) != 1:
        raise Invalid("Send either name and value, or variables, or dotenv, or copyFrom.")
    if ways == ["dotenv"]:
        return read_dotenv(values["dotenv"], values)
    if ways == ["name"]:
        if values["value"] is None:
            raise Invalid("value is required", {"value": "value is required"})
        return _checked([("name", _make(values, values))])
    return read_entries(values["variables"], values)


def read_entries(entries: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any]) -> list[Variable]:
    """Raises Invalid, also for two of the same name and context."""
    return _checked([(f"variables.{number}", _make(entry, defaults)) for number, entry in enumerate(entries)])


def read_dotenv(text: str, defaults: Mapping[str, Any]) -> list[Variable]:
    """Of several lines with one name the last one counts. Raises Invalid with a sentence for each wrong line."""
    if len(text) > MAX_TOTAL_BYTES:
        raise Invalid(f"The file has more than {MAX_TOTAL_BYTES} characters.")
    entries, bad = parse_dotenv(text)
    problems = {f"dotenv line {each.line}": f"Line {each.line} {each.problem}." for each in bad}
    variables = {}
    for entry in entries:
        variable = _make({"name": entry.name, "value": entry.value}, defaults)
        variables[variable.name] = variable
        if (reason := refuse_variable(variable)) is not None:
            problems[f"dotenv line {entry.line}"] = f"Line {entry.line}: {_shown(entry.name)} {reason}."
    _refuse(problems, lambda name: int(name.rpartition(" ")[2]))
    _check_context(defaults)
    if not variables:
        raise Invalid("The file has no variable: a line is NAME=value.")
    return list(variables.values())


def read_context(text: str | None) -> str | None:
    """Raises Invalid."""
    if text is not None and (reason := refuse_context(text)) is not None:
        raise Invalid(f"context {reason}.", {"context": f"context {reason}."})
    return text


def load_variables(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Invalid with a sentence for each field."""
    return load(VariablesRequest(), body)


def _make(entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> Variable:
    def said(name: str, otherwise: Any) -> Any:
        found = [given[name] for given in (entry, defaults) if given.get(name) is not None]
        return found[0] if found else otherwise

    return Variable(entry["name"], entry["value"], said("context", ALL), said("secret", False), said("public", False))


def _checked(found: Iterable[tuple[str, Variable]]) -> list[Variable]:
    problems: dict[str, str] = {}
    variables: dict[tuple[str, str], Variable] = {}
    for place, variable in found:
        if (reason := refuse_context(variable.context)) is not None:
            problems[place] = f"The context of {_shown(variable.name)} {reason}."
        elif (reason := refuse_variable(variable)) is not None:
            problems[place] = f"{_shown(variable.name)} {reason}."
        elif (variable.name, variable.context) in variables:
            problems[place] = f"{variable.name} appears twice with the context {variable.context}."
        variables[variable.name, variable.context] = variable
    _refuse(problems, str)
    return list(variables.values())


def _check_context(defaults: Mapping[str, Any]) -> None:
    read_context(defaults.get("context"))


def _refuse(problems: Mapping[str, str], order: Callable[[str], Any]) -> None:
    """Raises Invalid if there is any problem: nothing is stored if one variable is wrong."""
    if problems:
        sentences = {name: problems[name] for name in sorted(problems, key=order)}
        shown = list(sentences.values())[:MOST_SENTENCES]
        more = len(sentences) - len(shown)
        raise Invalid(" ".join([*shown, *([f"{more} more are wrong."] if more else [])]), sentences)


def _shown(name: str) -> str:
    return ascii(name[:60])[1:-1]
