"""The variables of a job in the environment of its commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.protocol.calls import Variable
from builder.protocol.variables import NODE_OPTIONS, refuse_name


def with_variables(environment: Mapping[str, str], variables: Iterable[Variable]) -> dict[str, str]:
    """The variables stand above the environment, except for names that the platform keeps for itself."""
    own = {variable.name: variable.value for variable in variables if refuse_name(variable.name) is None}
    if environment.get(NODE_OPTIONS) and NODE_OPTIONS in own:
        own[NODE_OPTIONS] = f"{environment[NODE_OPTIONS]} {own[NODE_OPTIONS]}"
    return {**environment, **own}
