"""What callers send, checked: marshmallow schemas for bodies, functions for the rest of a call."""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import marshmallow
from marshmallow import ValidationError, fields, validate

from builder.protocol.branches import MAX_BRANCH, check_branch
from builder.protocol.giturls import EVERY_HOST, MAX_URL_LENGTH, GitUrl, parse_git_url
from builder.protocol.lines import MAX_ATTEMPT
from builder.protocol.settings import PLAIN, SETTINGS, Setting, Settings
from gateway.errors import Invalid, NotFound
from gateway.models.log import LogPosition
from gateway.models.project import Project
from gateway.models.slugs import LABEL
from gateway.models.source import GitRef, Source
from gateway.models.variable import MAX_NAME as MAX_VARIABLE_NAME
from gateway.models.variable import MAX_VARIABLES

MAX_NAME = 100
MAX_PAGE = 100
PAGE = 20
MAX_LOG_PAGE = 10_000

ParseUrl = Callable[[str, Sequence[str]], GitUrl]

_VISIBLE = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*\Z"
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_CURSOR = re.compile(r"[A-Za-z0-9_=-]{1,200}\Z")
_LOG_CURSOR = re.compile(r"([0-9]{1,3})\.([0-9]{1,15})\Z")
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?\Z")


class Text(fields.String):
    """Text that PostgreSQL and a terminal accept: valid Unicode that passes `validate`."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "required": "is required",
        "null": "must be text, not null",
        "invalid": "must be text",
        "invalid_utf8": "must be valid Unicode",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise self.make_error("invalid")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.make_error("invalid_utf8") from error
        return value


class Flag(fields.Boolean):
    """true or false; no text or number stands for them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


def _setting(
    longest: int,
    *checks: Any,
    example: str,
    about: str,
    text_format: str | None = None,
    pattern: str = PLAIN,
    wrong: str = "must not contain line breaks or control characters",
) -> Text:
    return Text(
        load_default=None,
        allow_none=True,
        validate=[
            validate.Length(max=longest, error=f"has at most {longest} characters"),
            validate.Regexp(pattern, error=wrong),
            *checks,
        ],
        metadata={"description": about, "example": example} | ({"format": text_format} if text_format else {}),
    )


def url_check(parse: ParseUrl) -> Callable[[str], None]:
    """A check of a field. Accepts private hosts: the configuration decides whether they may be cloned (`read_url`)."""

    def check(text: str) -> None:
        try:
            parse(text, EVERY_HOST)
        except ValueError as error:
            raise ValidationError(f"is wrong: {error}") from error

    return check


def read_url(field: str, parse: ParseUrl, text: str, allow_private_hosts: Sequence[str]) -> GitUrl:
    """The value of this field. Raises Invalid for a host that builds may not reach."""
    try:
        return parse(text, allow_private_hosts)
    except ValueError as error:
        sentence = f"{field} is wrong: {error}"
        raise Invalid(sentence, {field: sentence}) from error


def _check_branch(text: str) -> None:
    """Empty means the default branch."""
    try:
        check_branch(text or "main")
    except ValueError as error:
        raise ValidationError("must be a name that git accepts for a branch or tag, such as main") from error


def _field(setting: Setting) -> fields.Field[Any]:
    def check(value: Any) -> None:
        try:
            setting.check(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    if setting.is_flag:
        return Flag(load_default=None, allow_none=True, metadata={"description": setting.about})
    return _setting(
        setting.longest,
        check,
        example=setting.example,
        about=setting.about,
        text_format=setting.text_format,
        pattern=setting.pattern,
        wrong=setting.wrong,
    )


class OverrideRequest(marshmallow.Schema):
    """A variable for one deployment, stronger than the project's of the same name."""

    name = Text(
        required=True,
        validate=validate.Length(min=1, max=MAX_VARIABLE_NAME, error=f"has from 1 to {MAX_VARIABLE_NAME} characters"),
        metadata={"description": "As the build sees it.", "example": "API_URL", "format": "variable-name"},
    )
    value = Text(required=True, metadata={"description": "Any text.", "example": "https://api.example.com"})
    secret = Flag(
        load_default=None, allow_none=True, metadata={"description": "It is never shown again, and hidden in logs."}
    )
    public = Flag(
        load_default=None,
        allow_none=True,
        metadata={"description": "Its value may stand in what is published, although it is secret."},
    )

    class Meta:
        unknown = marshmallow.RAISE


class VariableRequest(OverrideRequest):
    """One variable. It replaces the one of the same name and context."""

    context = Text(
        load_default=None,
        metadata={
            "format": "context",
            "description": "Which deployments get it: all, production, preview, or branch:<name>.",
        },
    )


def _several(kind: type[marshmallow.Schema], about: str) -> fields.List[Any]:
    return fields.List(
        fields.Nested(kind),
        load_default=None,
        allow_none=True,
        validate=validate.Length(max=MAX_VARIABLES, error=f"has at most {MAX_VARIABLES} entries"),
        metadata={"description": about},
    )


class _Project(marshmallow.Schema):
    """What to deploy. For a setting that is left out, null or empty, the builder decides."""

    name = Text(
        required=True,
        validate=[
            validate.Length(min=1, max=MAX_NAME, error=f"has from 1 to {MAX_NAME} characters"),
            validate.Regexp(_VISIBLE, error="must contain a visible character and no control characters"),
        ],
        metadata={"description": "The project's display name.", "example": "my-awesome-app"},
    )
    gitUrl = Text(
        required=True,
        validate=[
            validate.Length(min=1, max=MAX_URL_LENGTH, error=f"has from 1 to {MAX_URL_LENGTH} characters"),
            url_check(parse_git_url),
        ],
        metadata={
            "format": "git-url",
            "description": "The HTTPS URL of a repository. A private one needs a git token or a deploy key.",
            "example": "https://github.com/user/repo.git",
        },
    )
    branch = _setting(
        MAX_BRANCH, _check_branch, text_format="git-ref", example="main", about="The branch or tag to build."
    )

    class Meta:
        unknown = marshmallow.RAISE


_SETTINGS = {setting.json_name: _field(setting) for setting in SETTINGS}
ProjectRequest = _Project.from_dict(
    {
        **_SETTINGS,
        "variables": _several(VariableRequest, "The project's first variables, also for its first deployment."),
    },
    name="ProjectRequest",
)


class _Deployment(marshmallow.Schema):
    """What to deploy, and settings for this deployment alone. Nothing: the newest commit of the project's branch."""

    ref = _setting(
        MAX_BRANCH,
        _check_branch,
        text_format="git-ref",
        example="v1.2.0",
        about="A branch, a tag, or the 40 digits of a commit, for this deployment alone.",
    )
    variables = _several(OverrideRequest, "For this deployment alone; a later one does not get them.")

    class Meta:
        unknown = marshmallow.RAISE


DeploymentRequest = _Deployment.from_dict(_SETTINGS, name="DeploymentRequest")
_Change = _Project.from_dict(
    {
        **_SETTINGS,
        "slug": Text(metadata={"description": "Its new slug, and so its new address.", "format": "slug"}),
        "keepOldAddress": Flag(
            load_default=True, metadata={"description": "Whether the old address leads to the new one for 30 days."}
        ),
    },
    name="ProjectChange",
)


class ProjectChange(_Change):  # type: ignore[valid-type,misc]  # made by from_dict
    """What to change; the rest stays. For a setting that is null or empty, the builder decides."""

    def __init__(self) -> None:
        super().__init__(partial=True)


class EmptyRequest(marshmallow.Schema):
    """Nothing, or an empty object."""

    class Meta:
        unknown = marshmallow.RAISE


@dataclasses.dataclass(frozen=True, slots=True)
class NewProject:
    """`variables`: loaded VariableRequests."""

    name: str
    source: Source
    settings: Settings
    variables: Sequence[Mapping[str, Any]] = ()


def read_new_project(body: Mapping[str, Any], allow_private_hosts: Sequence[str]) -> NewProject:
    """Raises Invalid with a sentence for each field that is wrong."""
    values = load(ProjectRequest(), body)
    git_url = read_url("gitUrl", parse_git_url, values["gitUrl"], allow_private_hosts)
    source = GitRef(str(git_url), values["branch"] or None)
    return NewProject(values["name"], source, Settings(**_chosen(values)), values["variables"] or ())


def read_project_change(
    body: Mapping[str, Any], allow_private_hosts: Sequence[str]
) -> tuple[Callable[[Project], Project], bool]:
    """The change of a project that `body` asks for, and whether its old address stays. Raises Invalid."""
    values = load(ProjectChange(), body)
    changed: dict[str, Any] = {name: values[name] for name in ("name", "slug") if name in values}
    if "gitUrl" in values:
        changed["git_url"] = str(read_url("gitUrl", parse_git_url, values["gitUrl"], allow_private_hosts))
    if "branch" in values:
        changed["branch"] = values["branch"] or None

    def edit(project: Project) -> Project:
        settings = dataclasses.replace(project.settings, **_chosen(values))
        return dataclasses.replace(project, **changed, settings=settings)

    return edit, values.get("keepOldAddress", True)


def read_overrides(values: Mapping[str, Any]) -> Settings:
    """The settings among the values of a DeploymentRequest."""
    return Settings(**_chosen(values))


def _chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the values, by their names in Python. Empty text stands for None."""
    found = {setting.name: values[setting.json_name] for setting in SETTINGS if setting.json_name in values}
    return {name: None if value == "" else value for name, value in found.items()}


def load(schema: marshmallow.Schema, body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises Invalid: the first sentence in `details`, one for each field in `fields`."""
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        messages = error.messages_dict
        known = [name for name in schema.fields if name in messages]
        others = [name for name in messages if name not in schema.fields]
        sentences = {_shown(name): _sentence(name, messages[name], schema) for name in known + others}
        raise Invalid(next(iter(sentences.values())), sentences) from error
    return loaded


def read_deployment_id(text: str) -> uuid.UUID:
    """Raises Invalid."""
    if not _UUID.match(text):
        sentence = "The id of a deployment looks like 550e8400-e29b-41d4-a716-446655440000."
        raise Invalid(sentence, {"id": sentence})
    return uuid.UUID(text)


def read_slug(text: str) -> str:
    """Raises NotFound: text that is no slug names no project."""
    if not LABEL.match(text):
        raise NotFound(f"No project is called {text[:80]!a}.")
    return text


def read_page(query: Mapping[str, str]) -> tuple[int, str | None]:
    """`limit` and `cursor` of a list."""
    cursor = query.get("cursor") or None
    if cursor is not None and not _CURSOR.match(cursor):
        sentence = "cursor must be the `next` of the page before."
        raise Invalid(sentence, {"cursor": sentence})
    return read_limit(query, PAGE, MAX_PAGE), cursor


def read_limit(query: Mapping[str, str], default: int, most: int) -> int:
    text = query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= most):
        sentence = f"limit must be a whole number from 1 to {most}."
        raise Invalid(sentence, {"limit": sentence})
    return int(text)


def read_log_cursor(text: str) -> LogPosition:
    """Empty: the beginning."""
    if not text:
        return LogPosition()
    found = _LOG_CURSOR.match(text)
    if not found or not 1 <= int(found[1]) <= MAX_ATTEMPT:
        sentence = "after must be the `next` of the page before."
        raise Invalid(sentence, {"after": sentence})
    return LogPosition(int(found[1]), int(found[2]))


def read_idempotency_key(text: str | None) -> str | None:
    if text is not None and not _KEY.match(text):
        sentence = "Idempotency-Key must be 1 to 255 printable ASCII characters."
        raise Invalid(sentence, {"Idempotency-Key": sentence})
    return text


def _sentence(name: str, messages: Any, schema: marshmallow.Schema) -> str:
    place = name
    while isinstance(messages, dict) and messages:
        inner, messages = next(iter(messages.items()))
        place = f"{place}.{_shown(inner)}"
    message = messages[0] if isinstance(messages, list) and messages else str(messages)
    if name not in schema.fields:
        if name == "_schema":
            return str(message)
        known = ", ".join(schema.fields)
        right = f"the fields are {known}." if known else "the body must be empty."
        return f"{_shown(name)} is not a known field; {right}"
    return f"{place} {message}"


def _shown(name: object) -> str:
    """The name, shortened: callers may send any characters, and as many as a body holds."""
    return ascii(str(name)[:60])[1:-1]
