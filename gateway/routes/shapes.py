"""The answers of the API as marshmallow schemas: the source of /openapi.json and docs/api.md."""

from __future__ import annotations

import marshmallow
from marshmallow import fields, validate

from gateway.models import Status, Trigger


class Commit(marshmallow.Schema):
    sha = fields.String(required=True)
    message = fields.String(required=True, allow_none=True)


class StepTiming(marshmallow.Schema):
    name = fields.String(required=True)
    startedAt = fields.DateTime(required=True)
    seconds = fields.Float(required=True, allow_none=True, metadata={"description": "null while the step runs."})


class DeploymentAnswer(marshmallow.Schema):
    """One try to publish one commit."""

    id = fields.UUID(required=True)
    project = fields.String(required=True, metadata={"description": "The slug of its project."})
    number = fields.Integer(required=True, metadata={"description": "Counts up within the project."})
    status = fields.String(required=True, validate=validate.OneOf([str(status) for status in Status]))
    attempt = fields.Integer(required=True, metadata={"description": "Counts up when a builder is lost."})
    trigger = fields.String(required=True, validate=validate.OneOf([str(trigger) for trigger in Trigger]))
    reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it failed."})
    queueReason = fields.String(required=True, allow_none=True, metadata={"description": "Why it waits."})
    exitCode = fields.Integer(required=True, allow_none=True)
    isLive = fields.Boolean(required=True)
    commit = fields.Nested(Commit, required=True, allow_none=True)
    branch = fields.String(required=True, allow_none=True)
    framework = fields.String(required=True, allow_none=True)
    nodeVersion = fields.String(required=True, allow_none=True)
    isolation = fields.String(required=True, allow_none=True)
    steps = fields.List(fields.Nested(StepTiming), required=True)
    files = fields.Integer(required=True, allow_none=True)
    bytes = fields.Integer(required=True, allow_none=True)
    createdAt = fields.DateTime(required=True)
    startedAt = fields.DateTime(required=True, allow_none=True)
    completedAt = fields.DateTime(required=True, allow_none=True)
    url = fields.String(required=True, metadata={"description": "The project's site."})
    deploymentUrl = fields.String(required=True, metadata={"description": "The address of this deployment alone."})
    logsUrl = fields.String(required=True)
    pageUrl = fields.String(required=True)


class AttemptAnswer(marshmallow.Schema):
    """One launch of a deployment's builder. Another one follows only if a builder was lost."""

    number = fields.Integer(required=True)
    startedAt = fields.DateTime(required=True)
    steps = fields.List(fields.Nested(StepTiming), required=True)
    reason = fields.String(required=True, allow_none=True, metadata={"description": "Why it ended without a release."})


class DeploymentDetails(DeploymentAnswer):
    """A deployment with all of its attempts, in order."""

    attempts = fields.List(fields.Nested(AttemptAnswer), required=True)


class ProjectAnswer(marshmallow.Schema):
    """A git repository with a slug, settings and a live release."""

    name = fields.String(required=True)
    slug = fields.String(required=True)
    gitUrl = fields.String(required=True)
    branch = fields.String(required=True, allow_none=True)
    rootDirectory = fields.String(required=True, allow_none=True)
    installCommand = fields.String(required=True, allow_none=True)
    buildCommand = fields.String(required=True, allow_none=True)
    outputDirectory = fields.String(required=True, allow_none=True)
    nodeVersion = fields.String(required=True, allow_none=True)
    url = fields.String(required=True)
    createdAt = fields.DateTime(required=True)
    liveDeploymentId = fields.UUID(required=True, allow_none=True)
    newestDeployment = fields.Nested(DeploymentAnswer, required=True, allow_none=True)


class ProjectList(marshmallow.Schema):
    projects = fields.List(fields.Nested(ProjectAnswer), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The cursor of the next page."})


class DeploymentList(marshmallow.Schema):
    deployments = fields.List(fields.Nested(DeploymentAnswer), required=True)
    next = fields.String(required=True, allow_none=True, metadata={"description": "The cursor of the next page."})


class DeployedAnswer(marshmallow.Schema):
    deploymentId = fields.UUID(required=True)
    projectSlug = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf([str(status) for status in Status]))
    url = fields.String(required=True)


class LogLineAnswer(marshmallow.Schema):
    event_id = fields.UUID(required=True)
    deployment_id = fields.UUID(required=True)
    log = fields.String(required=True)
    timestamp = fields.DateTime(required=True)
    attempt = fields.Integer(required=True)
    seq = fields.Integer(required=True)
    stream = fields.String(required=True, validate=validate.OneOf(["stdout", "stderr", "system"]))
    step = fields.String(required=True)


class LogAnswer(marshmallow.Schema):
    rawLogs = fields.List(fields.Nested(LogLineAnswer), required=True)
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


class HealthAnswer(marshmallow.Schema):
    status = fields.String(required=True)
    version = fields.String(required=True)


class ReadyAnswer(marshmallow.Schema):
    ready = fields.Boolean(required=True)
    troubles = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    isolation = fields.String(required=True, allow_none=True)
