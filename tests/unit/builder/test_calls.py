"""The messages of the builders' API: typed where they enter."""

import json

import pytest

from builder.protocol.calls import Facts, Finish, Job, KafkaTarget, Manifest, ManifestFile, StepStarted
from builder.protocol.settings import Settings, UsedSetting
from builder.protocol.steps import Step

JOB = Job(
    project_slug="blog",
    git_url="https://example.com/blog.git",
    branch=None,
    call=Settings(build_command="make"),
    project=Settings(strict_lockfile=True),
    site_url="https://blog.example.com",
    deployment_url="https://blog-01234567.example.com",
    context="production",
    time_limit_seconds=900,
    memory_bytes=1,
    processes=2,
    disk_bytes=3,
    log_bytes=4,
    output_files=5,
    output_bytes=6,
    file_bytes=7,
    allow_private_hosts=["10.0.0.0/8"],
    kafka=KafkaTarget(("kafka:9092",), "container-logs", password="secret"),
)


@pytest.mark.parametrize(
    "message",
    [
        JOB,
        StepStarted(Step.INSTALL, 12),
        Facts("0" * 40, None, "vite"),
        Facts(settings=(UsedSetting("build_command", "make", "the call"),)),
        Finish("failed", 3, "It broke.", Step.BUILD, 1),
        Manifest((ManifestFile("index.html", "0" * 64, 1),), "vite", True, ("assets",)),
    ],
)
def test_a_message_comes_back_as_it_was(message):
    assert type(message).from_json(message.to_json()) == message


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        (StepStarted, {"step": "install", "at": "1"}, "at must be a whole number"),
        (StepStarted, {"step": "install", "at": True}, "at must be a whole number"),
        (StepStarted, {"step": "sudo", "at": 1}, "step must be one of prepare, clone"),
        (StepStarted, {"step": ["install"], "at": 1}, "step must be one of prepare, clone"),
        (StepStarted, {"step": "install"}, "needs at"),
        (StepStarted, {"step": "install", "at": 1, "x": 1}, "has no 'x'"),
        (StepStarted, [], "StepStarted must be an object"),
        (Facts, {"commit_sha": "0"}, "has no 'commit_sha'"),
        (Facts, {"commitSha": 1}, "commitSha must be text"),
        (Finish, {"exit": "ok", "lastSeq": None}, "lastSeq must be a whole number"),
        (Finish, {"exit": "ok", "lastSeq": 0, "exitCode": "1"}, "exitCode must be a whole number"),
        (Manifest, {"files": 5}, "files must be a list"),
        (Manifest, {"files": [5]}, "ManifestFile must be an object"),
        (Manifest, {"files": [{"path": "a"}]}, "needs sha256, size"),
        (Manifest, {"files": [{"path": 7, "sha256": "0", "size": 1}]}, "path must be text"),
        (Manifest, {"files": [], "isSinglePage": 1}, "isSinglePage must be true or false"),
        (Manifest, {"files": [], "hashedFolders": [5]}, "hashedFolders must be text"),
        (Manifest, {"files": [], "hashedFolders": "assets"}, "hashedFolders must be a list"),
    ],
)
def test_a_field_of_another_type_is_named(kind, body, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind.from_json(json.dumps(body).encode())


def test_a_field_of_a_field_is_typed_too():
    body = json.loads(JOB.to_json())
    body["kafka"]["brokers"] = ["kafka:9092", 5]
    with pytest.raises(ValueError, match="brokers must be text"):
        Job.from_json(json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[" * 100_000, b'{"at": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_a_sentence(body):
    with pytest.raises(ValueError, match="This is not a StepStarted"):
        StepStarted.from_json(body)
