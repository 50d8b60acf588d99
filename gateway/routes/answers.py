"""The answers of the API: marshmallow schemas, which dump the answers and are the source of /openapi.json."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from typing import Any, cast

import marshmallow
from aiohttp import web
from marshmallow import fields, validate
from marshmallow.experimental.context import Context

from builder.protocol.calls import Failure
from builder.protocol.names import camel_case
from builder.protocol.settings import BY_NAME, SETTINGS, Setting
from builder.protocol.steps import Stream
from gateway.models.addresses import Addresses
from gateway.models.attempt import Attempt
from gateway.models.cause import CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.project import Project
from gateway.routes.table import route_of
from gateway.services import SERVICES


def answer(request: web.Request, value: object, status: int | None = None, **headers: str) -> web.Response:
    """The value, dumped by the schema of the called route, with the route's status unless one is given."""
    route = route_of(request)
    if route.answer is None:
        raise TypeError(f"The route {route.path} states no schema for its answer.")
    with Context(request.app[SERVICES].addresses):
        body = _schema(route.answer).dump(value)
    return json_response(body, status or route.status, **headers)


def json_response(body: object, status: int = 200, **headers: str) -> web.Response:
    text = json.dumps(body, ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


@functools.cache
def _schema(kind: type[marshmallow.Schema]) -> marshmallow.Schema:
    return kind()


class Answer(marshmallow.Schema):
    """Fields named as in the models; camelCase in JSON."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.data_key = camel_case(field_obj.data_key or field_name)


class Moment(fields.DateTime):
    """ISO 8601 in UTC, with milliseconds and Z. Takes milliseconds since 1970 too."""

    def _serialize(self, value: datetime.datetime | int | None, *args: Any, **kwargs: Any) -> str | None:
        if isinstance(value, int):
            return iso_of_milliseconds(value)
        if value is None:
            return None
        return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Link(fields.String):
    """An address that `Addresses` makes from these attributes."""

    _CHECK_ATTRIBUTE = False

    def __init__(self, kind: str, *attributes: str, **more: Any) -> None:
        super().__init__(required=True, **more)
        self._kind = kind
        self._attributes = attributes

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        schema = cast("marshmallow.Schema", self.parent)
        values = [schema.get_attribute(obj, name, None) for name in self._attributes]
        made: str = getattr(Context[Addresses].get(), self._kind)(*values)
        return made


def iso_of_milliseconds(milliseconds: int) -> str:
    """Computed in whole numbers, because a float would lose the last millisecond."""
    seconds, rest = divmod(milliseconds, 1000)
    moment = datetime.datetime.fromtimestamp(min(seconds, 253402300799), datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03}Z"


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectNow:
    """A project with its newest deployment."""

    project: Project
    newest_deployment: Deployment | None


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentHistory:
    """A deployment with its attempts, the first one first."""

    deployment: Deployment
    attempts: list[Attempt]

    @property
    def failure(self) -> Failure | None:
        return self.attempts[-1].failure if self.attempts else None


class Commit(Answer):
    sha = fields.String(required=True, attribute="source.commit")
    message = fields.String(required=True, allow_none=True, attribute="commit_message")


class StepTiming(Answer):
    name = fields.String(required=True)
    started_at = Moment(required=True)
    seconds = fields.Float(required=True, allow_none=True, metadata={"description": "null while the step runs."})


class DeploymentAnswer(Answer):
    """One try to publish one commit."""

    id = fields.UUID(required=True)
    project = fields.String(
        required=True, attribute="project_slug", metadata={"description": "The slug of its project."}
    )
    number = fields.Integer(required=True, metadata={"description": "Counts up within the project."})
    status = fields.String(required=True, validate=validate.OneOf([str(status) for status in Status]))
    attempt = fields.Integer(required=True, metadata={"description": "Counts up when a builder is lost."})
    trigger = fields.String(
        required=True, attribute="cause.kind", validate=validate.OneOf([str(kind) for kind in CauseKind])
    )
    reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it failed."})
    queue_reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it waits."})
    exit_code = fields.Integer(required=True, allow_none=True)
    is_live = fields.Boolean(required=True)
    commit = fields.Nested(Commit, required=True, allow_none=True)
    branch = fields.String(required=True, allow_none=True, attribute="source.ref")
    framework = fields.String(required=True, allow_none=True)
    node_version = fields.String(required=True, allow_none=True)
    isolation = fields.String(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepTiming), required=True)
    files = fields.Integer(required=True, allow_none=True)
    bytes = fields.Integer(required=True, allow_none=True)
    created_at = Moment(required=True)
    started_at = Moment(required=True, allow_none=True)
    completed_at = Moment(required=True, allow_none=True)
    url = Link("site", "project_slug", metadata={"description": "The project's site."})
    deployment_url = Link(
        "deployment", "project_slug", "id", metadata={"description": "The address of this deployment alone."}
    )
    logs_url = Link("log", "id")
    page_url = Link("page", "id")

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if attr == "commit":
            return obj if obj.source.commit is not None else None
        return super().get_attribute(obj, attr, default)


class FailureAnswer(Answer):
    """Why a command of the build failed."""

    kind = fields.String(
        required=True,
        data_key="class",
        metadata={"description": "A known failure, such as npm-peer-conflict; otherwise unknown."},
    )
    step = fields.String(required=True)
    line = fields.String(
        required=True, allow_none=True, metadata={"description": "The first line that names the error."}
    )
    seq = fields.Integer(required=True, allow_none=True, metadata={"description": "The number of that line."})
    advice = fields.String(required=True, allow_none=True, metadata={"description": "What to do about it."})


class AttemptAnswer(Answer):
    """One launch of a deployment's builder. Another one follows only if a builder was lost."""

    number = fields.Integer(required=True)
    started_at = Moment(required=True)
    steps = fields.List(fields.Nested(StepTiming), required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it ended without a release."})


class UsedSettingAnswer(Answer):
    """A setting that the build used."""

    name = fields.String(required=True)
    value = fields.String(required=True)
    origin = fields.String(required=True, metadata={"description": "Where the value came from."})

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return BY_NAME[obj.name].json_name if attr == "name" else super().get_attribute(obj, attr, default)


class DeploymentDetails(DeploymentAnswer):
    """A deployment with the settings that it used, and all of its attempts, in order."""

    settings = fields.List(fields.Nested(UsedSettingAnswer), required=True, attribute="used_settings")
    attempts = fields.List(fields.Nested(AttemptAnswer), required=True)
    failure = fields.Nested(
        FailureAnswer,
        required=True,
        allow_none=True,
        metadata={"description": "Why its command failed; null if none did."},
    )

    def get_attribute(self, obj: DeploymentHistory, attr: str, default: Any) -> Any:
        if attr in ("attempts", "failure"):
            return getattr(obj, attr)
        return super().get_attribute(obj.deployment, attr, default)


class _Project(Answer):
    """A git repository with a slug, settings and a live release."""

    name = fields.String(required=True)
    slug = fields.String(required=True)
    git_url = fields.String(required=True)
    branch = fields.String(required=True, allow_none=True)
    url = Link("site", "slug")
    created_at = Moment(required=True)
    live_deployment_id = fields.UUID(required=True, allow_none=True)
    newest_deployment = fields.Nested(DeploymentAnswer, required=True, allow_none=True)

    def get_attribute(self, obj: ProjectNow, attr: str, default: Any) -> Any:
        return (
            obj.newest_deployment if attr == "newest_deployment" else super().get_attribute(obj.project, attr, default)
        )


def _setting_field(setting: Setting) -> fields.Field[Any]:
    kind = fields.Boolean if setting.is_flag else fields.String
    return kind(required=True, allow_none=True, attribute=f"settings.{setting.name}")


ProjectAnswer = _Project.from_dict({each.name: _setting_field(each) for each in SETTINGS}, name="ProjectAnswer")


class ProjectList(Answer):
    projects = fields.List(fields.Nested(ProjectAnswer), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The cursor of the next page."})


class DeletedAnswer(Answer):
    """The project is not served any more. Its names are kept from other projects for 30 days."""

    slug = fields.String(required=True)


class ClearedAnswer(Answer):
    """What was in the project's install cache."""

    installations = fields.Integer(required=True)
    bytes = fields.Integer(required=True)


class DeploymentList(Answer):
    deployments = fields.List(fields.Nested(DeploymentAnswer), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The cursor of the next page."})


class DeployedAnswer(Answer):
    deployment_id = fields.UUID(required=True, attribute="id")
    project_slug = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf([str(status) for status in Status]))
    url = Link("site", "project_slug")


class LogLineAnswer(marshmallow.Schema):
    event_id = fields.UUID(required=True)
    deployment_id = fields.UUID(required=True)
    log = fields.String(required=True)
    timestamp = Moment(required=True)
    attempt = fields.Integer(required=True)
    seq = fields.Integer(required=True)
    stream = fields.String(required=True, validate=validate.OneOf([str(stream) for stream in Stream]))
    step = fields.String(required=True)


class LogAnswer(Answer):
    raw_logs = fields.List(fields.Nested(LogLineAnswer), required=True)
    ended = fields.Boolean(required=True, metadata={"description": "No more lines will come after `next`."})
    complete = fields.Boolean(required=True, metadata={"description": "Every line that the builder sent is stored."})
    missing = fields.List(
        fields.List(fields.Integer(), validate=validate.Length(equal=2)),
        required=True,
        metadata={"description": "Ranges [first, last] of the last attempt that never arrived."},
    )
    next = fields.String(required=True, metadata={"description": "The `after` of the next page."})


class ErrorAnswer(marshmallow.Schema):
    error = fields.String(required=True, metadata={"description": "The kind of error."})
    details = fields.String(required=True, metadata={"description": "A sentence: what is wrong, what would be right."})
    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        data_key="fields",
        metadata={"description": "A sentence for each field that is wrong."},
    )


class HealthAnswer(Answer):
    status = fields.String(required=True)
    version = fields.String(required=True)


class ReadyAnswer(Answer):
    ready = fields.Boolean(required=True)
    troubles = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    isolation = fields.String(required=True, allow_none=True)
