"""docs/aws.md and deploy/, held against what botocore knows of the services."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import botocore.session
import jmespath
import pytest
from botocore import xform_name
from botocore.model import OperationModel
from botocore.validate import ParamValidator

from gateway import config
from gateway.config import Config, load_config
from gateway.engines.ecs.ecs_setup import find_faults
from gateway.models import object_keys as keys
from tests.unit.aws_commands import Command, options_of, parameters_of, read_commands, wrong_enums

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PAGE = (ROOT / "docs" / "aws.md").read_text()
COMMANDS = read_commands(PAGE)
OF_THE_CLI_ALONE = {
    ("ecr", "get-login-password"): {"region"},
    ("s3", "rm"): {"recursive"},
    ("logs", "tail"): {"since"},
}
"""Commands that the AWS CLI adds to the services, with the options that the page uses."""
ACTIONS_THAT_ARE_NO_OPERATIONS = {
    "iam:PassRole": "iam:CreateRole",
    "s3:ListBucket": "s3:ListObjectsV2",
    "s3:ListBucketMultipartUploads": "s3:ListMultipartUploads",
}
"""Rights that AWS names otherwise than the operations for which they are asked."""

session = botocore.session.get_session()


def operation_of(service: str, command: str) -> OperationModel:
    model = session.get_service_model("s3" if service == "s3api" else service)
    (name,) = [name for name in model.operation_names if xform_name(name, "-") == command]
    return model.operation_model(name)


def is_plain(command: Command) -> bool:
    return command.words[:2] not in OF_THE_CLI_ALONE and command.words[1] != "wait"


PLAIN = [command for command in COMMANDS if is_plain(command)]
WAITS = [command for command in COMMANDS if command.words[1] == "wait"]
OTHERS = [command for command in COMMANDS if command.words[:2] in OF_THE_CLI_ALONE]


def test_the_page_is_read_whole() -> None:
    assert len(COMMANDS) == len(re.findall(r"^(?:[A-Z_]+=\$\()?aws ", PAGE, re.MULTILINE))
    assert len(COMMANDS) > 90


@pytest.mark.parametrize("command", PLAIN, ids=lambda command: " ".join(command.words[:2]))
def test_a_command_is_what_the_service_understands(command: Command) -> None:
    service, name = command.words[:2]
    shape = operation_of(service, name).input_shape
    request = parameters_of(options_of(command.words[2:]), shape, ROOT)
    # The client itself makes the tokens that keep a repeated call from counting twice.
    made = {name: "0" * 36 for name, member in shape.members.items() if member.metadata.get("idempotencyToken")}
    report = ParamValidator().validate({**made, **request}, shape)
    assert not report.has_errors(), f"{command.line}\n{report.generate_report()}"
    assert wrong_enums(request, shape) == []


@pytest.mark.parametrize("command", PLAIN, ids=lambda command: " ".join(command.words[:2]))
def test_a_query_asks_for_what_the_answer_has(command: Command) -> None:
    query = (options_of(command.words[2:]).get("query") or ["@"])[0]
    jmespath.compile(query)
    first = re.match(r"\w*", query)
    output = operation_of(*command.words[:2]).output_shape
    assert first
    assert first[0] == "" or first[0] in output.members


@pytest.mark.parametrize("command", WAITS, ids=lambda command: " ".join(command.words[:3]))
def test_a_wait_is_for_something_that_the_service_knows(command: Command) -> None:
    service, _, name = command.words[:3]
    waiters = session.get_waiter_model(service)
    (waiter,) = [waiter for waiter in waiters.waiter_names if xform_name(waiter, "-") == name]
    shape = session.get_service_model(service).operation_model(waiters.get_waiter(waiter).operation).input_shape
    request = parameters_of(options_of(command.words[3:]), shape, ROOT)
    assert not ParamValidator().validate(request, shape).has_errors(), command.line


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: " ".join(command.words[:2]))
def test_a_command_of_the_cli_alone_has_options_that_it_knows(command: Command) -> None:
    options = {word[2:] for word in command.words if word.startswith("--")}
    assert options <= OF_THE_CLI_ALONE[command.words[:2]]


def test_every_document_is_used_by_the_page_and_explained() -> None:
    readme = (DEPLOY / "README.md").read_text()
    documents = sorted(path.name for path in DEPLOY.glob("*.json"))
    assert documents == sorted(set(re.findall(r"file://deploy/([\w.-]+)", PAGE)))
    explained = [name for name in documents if name in readme or f"{name.partition('-')[0]}-*.json" in readme]
    assert explained == documents


POLICIES = sorted(DEPLOY.glob("iam-*.json"))


def statements(path: Path) -> list[dict[str, object]]:
    return json.loads(path.read_text())["Statement"]


def listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_allows_actions_that_exist_and_says_on_what(path: Path) -> None:
    for statement in statements(path):
        for action in listed(statement["Action"]):
            service, _, name = ACTIONS_THAT_ARE_NO_OPERATIONS.get(action, action).partition(":")
            assert name in session.get_service_model(service).operation_names, action
        assert "*" not in "".join(listed(statement["Action"]))
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])


def test_only_what_has_no_resource_is_allowed_on_all() -> None:
    wide = {
        action
        for path in POLICIES
        for statement in statements(path)
        if statement.get("Resource") == "*"
        for action in listed(statement["Action"])
    }
    assert wide == {"ecr:GetAuthorizationToken", "ecs:DescribeTaskDefinition"}


def test_the_gateway_may_do_all_that_it_does_on_ecs_and_s3() -> None:
    allowed = {action for each in statements(DEPLOY / "iam-gateway-task.json") for action in listed(each["Action"])}
    called = re.findall(
        r'\.call\(\s*"(\w+)"', "".join(p.read_text() for p in (ROOT / "gateway").glob("engines/ecs/*.py"))
    )
    operations = {xform_name(name): name for name in session.get_service_model("ecs").operation_names}
    assert {f"ecs:{operations[name]}" for name in called} == {action for action in allowed if action.startswith("ecs:")}
    objects = {action for action in allowed if action.startswith("s3:")}
    assert objects >= {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:AbortMultipartUpload"}


def test_the_gateway_may_write_where_its_keys_begin() -> None:
    (objects,) = [
        each for each in statements(DEPLOY / "iam-gateway-task.json") if each["Sid"] == "KeepBlobsAndReleases"
    ]
    prefixes = [arn.partition("/")[2].rstrip("*") for arn in listed(objects["Resource"])]
    written = (keys.blob_key("p", "0"), keys.release_key("p", "d"), keys.cache_key("p", "0"))
    ours = (*written, "__outputs/slug/index.html", "doctor/0")
    assert all(key.startswith(tuple(prefixes)) for key in ours)
    assert len(prefixes) == len(ours)


def builder_definition() -> dict[str, object]:
    return json.loads((DEPLOY / "task-definition.json").read_text())


def test_the_task_definition_of_the_builder_is_what_the_doctor_wants() -> None:
    assert find_faults(builder_definition(), config.Ecs()) == []
    assert "taskRoleArn" not in builder_definition()


def test_roles_families_and_groups_have_one_name_everywhere() -> None:
    text = "".join(path.read_text() for path in DEPLOY.glob("*.json"))
    roles = set(re.findall(r"role/([\w-]+)", text))
    assert roles == {command.words[3] for command in COMMANDS if command.words[:2] == ("iam", "create-role")}
    groups = set(re.findall(r"/buildspace/(?:builders|gateway)", text))
    assert groups == {each.words[3] for each in COMMANDS if each.words[:2] == ("logs", "create-log-group")}
    assert f"task-definition/{builder_definition()['family']}:*" in text
    images = set(re.findall(r"amazonaws\.com/([\w-]+):latest", text))
    assert images == {each.words[3] for each in COMMANDS if each.words[:2] == ("ecr", "create-repository")}


def test_the_settings_of_the_gateways_task_are_settings() -> None:
    (container,) = json.loads((DEPLOY / "gateway-task-definition.json").read_text())["containerDefinitions"]
    environment = {pair["name"]: pair["value"] for pair in container["environment"]}
    secrets = {pair["name"]: "postgresql://user:password@host/db" for pair in container["secrets"]}
    loaded = load_config(None, {**environment, **secrets})
    assert loaded.ecs.task_definition == builder_definition()["family"]
    ports = {mapping["containerPort"] for mapping in container["portMappings"]}
    assert ports == {loaded.sites.port, loaded.api.port, loaded.builders.port}


def test_the_config_file_of_the_page_is_accepted(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert tomllib.loads(block)
    path = tmp_path / "config.toml"
    path.write_text(block)
    loaded = load_config(path, {})
    assert isinstance(loaded, Config)
    assert loaded.has_builders_elsewhere


def test_every_named_setting_and_variable_of_the_page_exists() -> None:
    sections = {field: getattr(Config(), field) for field in Config.__dataclass_fields__}
    named = re.findall(r"`([a-z0-9]+)\.([a-z_]+)(?: = [^`]*)?`", PAGE + (DEPLOY / "README.md").read_text())
    settings = [(section, key) for section, key in named if section in sections]
    assert settings
    assert [each for each in settings if not hasattr(sections[each[0]], each[1])] == []


WRONG = {
    "an option that is not there": "aws ecs create-cluster --cluster-nam buildspace",
    "a part that is not there": "aws ec2 describe-vpcs --filters Nam=vpc-id,Values=vpc-1",
    "two values for one": "aws ecs create-cluster --cluster-name build space",
    "a variable that nothing sets": "aws ecs create-cluster --cluster-name $NOTHING",
    "a file that is not there": "aws iam create-role --role-name r --assume-role-policy-document file://deploy/no.json",
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises((AssertionError, FileNotFoundError)):
        requests_of(line)


def requests_of(line: str) -> list[dict[str, object]]:
    commands = read_commands(f"```sh\n{line}\n```\n")
    return [
        parameters_of(options_of(each.words[2:]), operation_of(*each.words[:2]).input_shape, ROOT) for each in commands
    ]


def test_a_value_that_the_service_does_not_know_would_be_noticed() -> None:
    line = "aws elbv2 create-target-group --name a --protocol HTTP --target-type adress"
    shape = operation_of("elbv2", "create-target-group").input_shape
    (request,) = requests_of(line)
    assert wrong_enums(request, shape) == [".TargetType: 'adress' is none of instance, ip, lambda, alb"]
