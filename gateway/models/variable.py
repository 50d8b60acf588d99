"""A variable of a project's builds, the rules for its name and value, and which of several counts."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable

from builder.protocol.branches import check_branch
from builder.protocol.variables import MAX_VALUE_BYTES, NODE_OPTIONS, refuse_name
from gateway.models.deployment import Deployment
from gateway.models.project import Project

MAX_VARIABLES = 200
MAX_NAME = 128
MAX_TOTAL_BYTES = 256 * 1024
"""Of all values of a project: the system limits what a program is started with."""
LEAST_SECRET = 8
PUBLIC_PREFIXES = ("VITE_", "NEXT_PUBLIC_", "PUBLIC_", "REACT_APP_", "GATSBY_", "NUXT_PUBLIC_", "EXPO_PUBLIC_")
"""Frameworks copy variables with such names into the files that every visitor gets."""

ALL, PRODUCTION, PREVIEW = "all", "production", "preview"
BRANCH = "branch:"


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """`is_public`: its value may stand in what is published, although it is a secret."""

    name: str
    value: str = dataclasses.field(repr=False)
    context: str = ALL
    is_secret: bool = False
    is_public: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class StoredVariable:
    """As it is shown: `value` is None for a secret."""

    name: str
    context: str
    value: str | None = dataclasses.field(repr=False)
    is_secret: bool
    is_public: bool
    updated_at: datetime.datetime
    updated_by: str


def refuse_context(context: str) -> str | None:
    """Why this is no context, as the end of a sentence. None: it is one."""
    if context in (ALL, PRODUCTION, PREVIEW):
        return None
    branch = context.removeprefix(BRANCH)
    try:
        if branch == context:
            raise ValueError
        check_branch(branch)
    except ValueError:
        return f"must be {ALL}, {PRODUCTION}, {PREVIEW}, or {BRANCH} and the name of a branch"
    return None


def refuse_variable(variable: Variable) -> str | None:
    """Why the variable cannot be kept, as the end of a sentence that begins with its name. None: it can."""
    name, value = variable.name, variable.value
    if len(name) > MAX_NAME:
        return f"is too long: a name has at most {MAX_NAME} characters"
    if (reason := refuse_name(name)) is not None:
        return reason
    if "\0" in value:
        return "has a NUL character, which no environment can hold"
    if len(value.encode(errors="replace")) > MAX_VALUE_BYTES:
        return f"is too long: a value has at most {MAX_VALUE_BYTES} bytes"
    return _refuse_secret(variable) if variable.is_secret else None


def _refuse_secret(variable: Variable) -> str | None:
    longest = max((len(line.strip()) for line in variable.value.splitlines()), default=0)
    if longest < LEAST_SECRET:
        return (
            f"is too short for a secret: no line of it has {LEAST_SECRET} characters, and hiding shorter text would"
            " hide ordinary words of the log. Set it without `secret`, or choose a longer value"
        )
    prefix = next((prefix for prefix in PUBLIC_PREFIXES if variable.name.startswith(prefix)), None)
    if prefix is not None and not variable.is_public:
        return (
            f"is secret, and frameworks publish variables whose names begin with {prefix}: every visitor could read it."
            " Rename it, or say `public: true` if everyone may read it"
        )
    return None


def warn_about(variables: Iterable[Variable]) -> list[str]:
    """Sentences about what is accepted and may surprise."""
    names = {variable.name for variable in variables}
    return [
        f"{name} is appended to the options that the platform sets itself; a wrong option ends every command of Node."
        for name in sorted(names & {NODE_OPTIONS})
    ]


def context_of(deployment: Deployment, project: Project) -> str:
    """What the deployment is for: PRODUCTION if it builds the project's own branch, PREVIEW for any other ref."""
    return PRODUCTION if deployment.source.ref in (None, project.branch) else PREVIEW


def contexts_of(context: str, branch: str | None) -> tuple[str, ...]:
    """The contexts whose variables a deployment gets, the weakest first."""
    return (ALL, context, *([BRANCH + branch] if branch else []))
