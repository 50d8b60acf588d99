"""What is refused of variables, and why."""

from typing import Any

import pytest

from builder.protocol.variables import MAX_VALUE_BYTES
from gateway.errors import Invalid
from gateway.models.variable import Variable, contexts_of, warn_about
from gateway.routes.variable_bodies import load_variables, read_variables


def read(body: dict[str, Any]) -> list[Variable]:
    return read_variables(load_variables(body))


def refused(body: dict[str, Any]) -> Invalid:
    with pytest.raises(Invalid) as error:
        read(body)
    return error.value


def test_one_variable_is_plain_and_for_every_deployment() -> None:
    assert read({"name": "A", "value": "1"}) == [Variable("A", "1", "all", False, False)]


def test_what_stands_beside_many_counts_for_each_that_does_not_say_otherwise() -> None:
    body = {"secret": True, "context": "preview", "variables": [{"name": "A", "value": "12345678"}]}
    body["variables"].append({"name": "B", "value": "2", "secret": False, "context": "branch:feature/x"})
    assert read(body) == [
        Variable("A", "12345678", "preview", True, False),
        Variable("B", "2", "branch:feature/x", False, False),
    ]


NAMES = {
    "PATH": "PATH cannot be set: the platform sets it",
    "HOME": "HOME cannot be set",
    "NETLIFY": "NETLIFY cannot be set: it says that another host builds the site",
    "LD_PRELOAD": "LD_PRELOAD cannot be set: every program would load code from there",
    "LD_ANYTHING": "LD_ANYTHING cannot be set",
    "BUILDSPACE": "BUILDSPACE cannot be set: the platform sets those names",
    "BUILDSPACE_TOKEN": "BUILDSPACE_TOKEN cannot be set",
    "BASH_ENV": "BASH_ENV cannot be set: the shell runs the file that it names",
    "1A": "1A is not a name of a variable",
    "A-B": "A-B is not a name of a variable",
    "A B": "A B is not a name of a variable",
    "A\n": "A\\n is not a name of a variable",
    "BASH_FUNC_x%%": "BASH_FUNC_x%% is not a name of a variable",
    "Ä": "\\xc4 is not a name of a variable",
}


@pytest.mark.parametrize(("name", "sentence"), NAMES.items())
def test_a_name_that_would_do_harm_is_refused_with_the_reason(name: str, sentence: str) -> None:
    assert refused({"name": name, "value": "x"}).sentence.startswith(sentence)


@pytest.mark.parametrize("value", ["", "1234567", "1234567\n", "short\nlines\nonly", "  1234567  "])
def test_a_short_secret_is_refused_with_the_reason(value: str) -> None:
    sentence = refused({"name": "KEY", "value": value, "secret": True}).sentence
    assert "KEY is too short for a secret: no line of it has 8 characters" in sentence


def test_a_secret_with_eight_characters_is_accepted() -> None:
    assert read({"name": "KEY", "value": "12345678", "secret": True})[0].is_secret


PREFIXES = ["VITE_", "NEXT_PUBLIC_", "PUBLIC_", "REACT_APP_", "GATSBY_", "NUXT_PUBLIC_", "EXPO_PUBLIC_"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_secret_that_frameworks_publish_has_to_be_called_public(prefix: str) -> None:
    body = {"name": f"{prefix}KEY", "value": "12345678", "secret": True}
    assert f"whose names begin with {prefix}: every visitor could read it" in refused(body).sentence
    assert read(body | {"public": True}) == [Variable(f"{prefix}KEY", "12345678", "all", True, True)]


@pytest.mark.parametrize("context", ["", "staging", "branch:", "branch:a..b", "branch", "Production"])
def test_another_context_is_refused(context: str) -> None:
    sentence = refused({"name": "A", "value": "1", "context": context}).sentence
    assert sentence == "The context of A must be all, production, preview, or branch: and the name of a branch."


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": "1"},
        {"name": "A", "value": "1", "dotenv": "A=1"},
        {"variables": [], "copyFrom": "blog"},
        {"secret": True},
    ],
)
def test_exactly_one_way_is_needed(body: dict[str, Any]) -> None:
    assert refused(body).sentence == "Send either name and value, or variables, or dotenv, or copyFrom."


def test_a_value_is_needed() -> None:
    assert refused({"name": "A"}).sentence == "value is required"


def test_the_same_twice_is_refused() -> None:
    one = {"name": "A", "value": "1"}
    assert refused({"variables": [one, one]}).sentence == "A appears twice with the context all."


def test_what_no_environment_holds_is_refused() -> None:
    assert "NUL character" in refused({"name": "A", "value": "a\0b"}).sentence
    assert "at most 32768 bytes" in refused({"name": "A", "value": "x" * (MAX_VALUE_BYTES + 1)}).sentence


def test_every_bad_line_of_a_file_gets_a_sentence_with_its_number() -> None:
    error = refused({"dotenv": "A=1\nnonsense\nPATH=/x\nKEY=hunter2\n", "secret": True, "context": "all"})
    assert error.fields["dotenv line 2"] == "Line 2 is not NAME=value."
    assert error.fields["dotenv line 3"].startswith("Line 3: PATH cannot be set")
    assert error.fields["dotenv line 4"].startswith("Line 4: KEY is too short for a secret")
    assert error.fields["dotenv line 1"].startswith("Line 1: A is too short for a secret")
    assert error.sentence.index("Line 1") < error.sentence.index("Line 2") < error.sentence.index("Line 4")
    assert "hunter2" not in str(error.fields)


def test_the_last_of_several_lines_counts() -> None:
    assert read({"dotenv": "A=1\nA=2"}) == [Variable("A", "2")]


def test_a_file_without_variables_is_refused() -> None:
    assert refused({"dotenv": "# nothing\n"}).sentence == "The file has no variable: a line is NAME=value."


def test_node_options_are_accepted_with_a_warning() -> None:
    assert warn_about(read({"name": "NODE_OPTIONS", "value": "--max-old-space-size=1"})) != []
    assert warn_about(read({"name": "A", "value": "1"})) == []


def test_a_branch_is_stronger_than_its_context_and_that_than_all() -> None:
    assert contexts_of("production", "main") == ("all", "production", "branch:main")


def test_a_variable_does_not_show_its_value() -> None:
    assert "hunter2" not in repr(Variable("A", "hunter2"))
