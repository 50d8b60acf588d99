"""What the ECS launcher sends, held against the service's own description; and what it makes of ECS's words."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import uuid

import botocore.session
import pytest
from botocore.validate import ParamValidator

from gateway import config
from gateway.config import Builder, Config, Ecs
from gateway.engines.ecs import ecs_launcher as ecs
from gateway.engines.ecs import ecs_words
from gateway.engines.ecs.ecs_api import EcsApi, find_region
from gateway.engines.ecs.ecs_setup import find_faults
from gateway.errors import ConfigError
from gateway.roles import LaunchOrder

CLUSTER = "arn:aws:ecs:eu-west-1:111122223333:cluster/buildspace"
SETTINGS = Ecs(cluster=CLUSTER, task_definition="builder", subnets=["subnet-1"], security_groups=["sg-1"])
ORDER = LaunchOrder(
    uuid.UUID(int=7), 3, "crimson-elephant", "https://git.example/a.git", "token", "http://10.0.0.5:9001"
)
MODEL = botocore.session.get_session().get_service_model("ecs")


def test_the_request_is_one_that_ecs_understands() -> None:
    request = ecs.task_request(ORDER, SETTINGS, "container")
    report = ParamValidator().validate(request, MODEL.operation_model("RunTask").input_shape)
    assert not report.has_errors(), report.generate_report()


def test_the_request_depends_on_nothing_but_order_and_settings() -> None:
    first = json.dumps(ecs.task_request(ORDER, SETTINGS, "container"))
    again = json.dumps(ecs.task_request(dataclasses.replace(ORDER), dataclasses.replace(SETTINGS), "container"))
    assert first == again


def test_the_names_of_a_request_keep_to_the_limits_of_ecs() -> None:
    request = ecs.task_request(dataclasses.replace(ORDER, attempt=999), SETTINGS, "container")
    assert re.fullmatch(r"[!-~]{1,64}", request["clientToken"])
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,36}", request["startedBy"])


def test_a_very_long_git_url_still_fits_into_the_overrides() -> None:
    order = dataclasses.replace(ORDER, git_url="https://git.example/" + "a" * 4096, token="t" * 200)
    assert len(json.dumps(ecs.task_request(order, SETTINGS, "container")["overrides"])) < 8192


def test_attempts_differ_in_their_client_token() -> None:
    second = dataclasses.replace(ORDER, attempt=4)
    tokens = {ecs.task_request(order, SETTINGS, "container")["clientToken"] for order in (ORDER, second)}
    assert len(tokens) == 2


@pytest.mark.parametrize(("is_public", "word"), [(True, "ENABLED"), (False, "DISABLED")])
def test_a_task_gets_a_public_address_only_where_it_is_wanted(is_public: bool, word: str) -> None:
    request = ecs.task_request(ORDER, dataclasses.replace(SETTINGS, is_public=is_public), "container")
    assert request["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == word


@pytest.mark.parametrize(("wanted", "told"), [("auto", "container"), ("basic", "basic"), ("none", "none")])
def test_the_builder_is_told_its_isolation(wanted: str, told: str) -> None:
    assert ecs.choose_isolation(wanted) == told


async def test_strong_isolation_cannot_be_had_on_fargate() -> None:
    settings = Config(ecs=SETTINGS, builder=Builder(isolation="strong"))
    with pytest.raises(ConfigError, match=r"set builder\.isolation to auto"):
        async with ecs.open_ecs(settings):
            pass


@pytest.mark.parametrize(
    ("settings", "region"),
    [
        (SETTINGS, "eu-west-1"),
        (dataclasses.replace(SETTINGS, region="us-east-1"), "us-east-1"),
        (dataclasses.replace(SETTINGS, cluster="buildspace", region="us-east-1"), "us-east-1"),
        (dataclasses.replace(SETTINGS, cluster="arn:aws-cn:ecs:cn-north-1:1:cluster/b"), "cn-north-1"),
    ],
)
def test_the_region_is_that_of_the_setting_or_of_the_cluster(settings: Ecs, region: str) -> None:
    assert find_region(settings) == region


@pytest.mark.parametrize("cluster", ["buildspace", "arn:aws:ecs", ""])
def test_a_region_that_nobody_names_is_asked_for(cluster: str) -> None:
    with pytest.raises(ConfigError, match=r"ecs\.region"):
        find_region(dataclasses.replace(SETTINGS, cluster=cluster))


async def test_gateways_that_name_their_cluster_by_arn_or_by_name_share_its_builders() -> None:
    async with contextlib.AsyncExitStack() as stack:
        by_arn = ecs.EcsLauncher(EcsApi(SETTINGS, stack), SETTINGS, "container")
        named = dataclasses.replace(SETTINGS, cluster="buildspace", region="eu-west-1")
        by_name = ecs.EcsLauncher(EcsApi(named, stack), named, "container")
        elsewhere = dataclasses.replace(named, region="us-east-1")
        other = ecs.EcsLauncher(EcsApi(elsewhere, stack), elsewhere, "container")
    assert by_arn.name == by_name.name == "ecs:eu-west-1/buildspace"
    assert other.name != by_name.name


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (
            {"stopCode": "TaskFailedToStart", "stoppedReason": "CannotPullContainerError: not found."},
            "CannotPullContainerError: not found; TaskFailedToStart.",
        ),
        (
            {"stopCode": "SpotInterruption", "stoppedReason": "Your Spot Task was interrupted."},
            "Your Spot Task was interrupted; SpotInterruption.",
        ),
        (
            {"containers": [{"name": "other", "exitCode": 1}, {"name": "builder", "exitCode": 137, "reason": "OOM"}]},
            "OOM; the builder's exit code is 137.",
        ),
        ({"containers": [{"name": "builder", "exitCode": 0}]}, "the builder's exit code is 0."),
        ({}, ""),
    ],
)
def test_the_last_words_of_a_task_say_why_it_ended(task: dict[str, object], words: str) -> None:
    assert ecs_words.last_words(task, "builder") == words


def test_a_refusal_without_any_word_is_still_a_sentence() -> None:
    assert ecs_words.no_room([]).sentence == "ECS could not start the builder and will try again: no reason was given."


RIGHT = {"containerDefinitions": [{"name": "builder"}], "networkMode": "awsvpc", "compatibilities": ["EC2", "FARGATE"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"containerDefinitions": [{"name": "web"}, {"name": "log"}]}, "it has web, log"),
        ({"status": "INACTIVE"}, "not active"),
        ({"networkMode": "bridge"}, "awsvpc"),
        ({"compatibilities": ["EC2"]}, "FARGATE"),
        ({"taskRoleArn": "arn:aws:iam::1:role/all"}, "remove it"),
        (
            {"containerDefinitions": [{"name": "builder", "linuxParameters": {"initProcessEnabled": True}}]},
            "initProcessEnabled",
        ),
    ],
)
def test_a_task_definition_that_would_not_do_is_told(change: dict[str, object], words: str) -> None:
    assert find_faults(RIGHT, config.Ecs()) == []
    (fault,) = find_faults({**RIGHT, **change}, config.Ecs())
    assert words in fault
