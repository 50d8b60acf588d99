"""The ECS launcher against moto, with the promises and the troubles of the real one before it."""

import contextlib
import dataclasses
import uuid

import pytest

from gateway.config import Builder, Config, Secret
from gateway.engines.ecs import ecs_launcher as ecs
from gateway.engines.ecs.ecs_api import EcsApi
from gateway.errors import ConfigError, LaunchRefused, Unanswered, Unavailable
from gateway.roles import BuilderState, LaunchOrder
from tests.engines.builder_state import state_of
from tests.engines.ecs import running_ecs
from tests.unit.control.fakes import Clock

TOKEN = "b7e2-token"


@pytest.fixture
async def server(aws, tmp_path):
    async with running_ecs(aws, tmp_path) as server:
        yield server


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def launcher(server, clock):
    async with a_launcher(server.settings(), clock) as launcher:
        yield launcher


@contextlib.asynccontextmanager
async def a_launcher(settings, clock, **timing):
    async with contextlib.AsyncExitStack() as stack:
        api = EcsApi(settings, stack, **{"pauses_seconds": (0.01, 0.01), **timing})
        yield ecs.EcsLauncher(api, settings, "container", clock=clock)


def an_order(attempt=1):
    return LaunchOrder(
        uuid.uuid4(), attempt, "crimson-elephant", "https://git.example/a.git", TOKEN, "http://10.0.0.5:9001"
    )


async def test_the_builder_is_told_all_it_needs_and_nothing_else(server, launcher):
    order = an_order(2)
    handle = await launcher.launch(order)
    assert server.tasks[handle].environment == {
        "BUILDSPACE_URL": order.builders_url,
        "BUILDSPACE_TOKEN": TOKEN,
        "BUILDSPACE_ATTEMPT": "2",
        "BUILDSPACE_ISOLATION": "container",
        "DEPLOYMENT_ID": str(order.deployment_id),
        "PROJECT_ID": "crimson-elephant",
        "GIT_REPOSITORY_URL": "https://git.example/a.git",
    }
    assert await state_of(launcher, handle) is BuilderState.RUNNING


async def test_the_same_order_finds_the_task_that_it_started(server, launcher, clock):
    order = an_order()
    first = await launcher.launch(order)
    async with a_launcher(server.settings(), clock) as after_a_restart:
        assert await after_a_restart.launch(dataclasses.replace(order)) == first
    bodies = {call.body for call in server.called("RunTask")}
    assert len(bodies) == 1
    assert len(server.tasks) == 1


async def test_an_answer_that_is_lost_does_not_start_a_second_task(server, launcher):
    server.lose_answer("RunTask")
    handle = await launcher.launch(an_order())
    assert list(server.tasks) == [handle]
    first, second = server.called("RunTask")
    assert first.body == second.body


async def test_an_answer_that_is_late_does_not_start_a_second_task(server, clock):
    server.hold_answer("RunTask")
    async with a_launcher(server.settings(), clock, read_seconds=1.0) as launcher:
        handle = await launcher.launch(an_order())
    assert list(server.tasks) == [handle]


async def test_answers_that_are_all_lost_are_no_verdict_and_the_next_call_finds_the_task(server, launcher):
    for _ in range(3):
        server.lose_answer("RunTask")
    order = an_order()
    with pytest.raises(Unanswered):
        await launcher.launch(order)
    assert await launcher.launch(order) in server.tasks
    assert len(server.tasks) == 1


async def test_a_try_that_may_have_had_its_effect_is_not_forgotten_when_the_next_cannot_be_made(server, launcher):
    server.lose_answer("RunTask")
    server.refuse("RunTask", "ThrottlingException", "Rate exceeded")
    server.refuse("RunTask", "ThrottlingException", "Rate exceeded")
    with pytest.raises(Unanswered):
        await launcher.launch(an_order())


async def test_a_call_that_was_never_made_had_no_effect(server, launcher):
    await server.stop()
    with pytest.raises(Unavailable) as away:
        await launcher.launch(an_order())
    assert not isinstance(away.value, Unanswered)


async def test_a_task_that_was_started_under_other_settings_is_taken_over(server, launcher, clock):
    order = an_order()
    first = await launcher.launch(order)
    async with a_launcher(dataclasses.replace(server.settings(), is_public=True), clock) as changed:
        assert await changed.launch(order) == first
    assert list(server.tasks) == [first]


async def test_a_conflict_that_names_no_task_ends_the_deployment(server, launcher):
    server.refuse("RunTask", "ConflictException", "In use.")
    with pytest.raises(LaunchRefused, match="Deploy again") as refused:
        await launcher.launch(an_order())
    assert refused.value.final


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("RESOURCE:ENI", "network interface"),
        ("RESOURCE:CPU", "processors"),
        ("RESOURCE:MEMORY", "memory"),
        ("RESOURCE:PORTS", "no room"),
        ("AGENT", "agent"),
        ("Capacity is unavailable at this time", "Capacity is unavailable"),
    ],
)
async def test_a_failure_inside_a_good_answer_is_a_refusal_to_be_tried_again(server, launcher, reason, words):
    server.have_no_room(reason)
    order = an_order()
    with pytest.raises(LaunchRefused, match=words) as refused:
        await launcher.launch(order)
    assert reason in refused.value.sentence
    assert not refused.value.final
    assert await launcher.launch(order) in server.tasks


@pytest.mark.parametrize(
    ("code", "message", "words", "final"),
    [
        ("AccessDeniedException", "User may not perform ecs:RunTask.", "iam:PassRole", False),
        ("ClusterNotFoundException", "Cluster not found.", "CLUSTER_ARN", True),
        ("ClientException", "TaskDefinition is inactive", "TASK_ARN", True),
        ("ClientException", "Unable to find the task definition.", "TASK_ARN", True),
        ("ClientException", "Capacity is unavailable at this time. Please try again later", "no capacity", False),
        ("InvalidParameterException", "The subnet ID 'subnet-1' does not exist", "ecs.subnets", True),
        ("InvalidParameterException", "The security group 'sg-1' does not exist", r"ecs\.security_groups", True),
        ("InvalidParameterException", "Override for container named x is not a container", "ecs.container", True),
        ("PlatformTaskDefinitionIncompatibilityException", "No.", "deploy/", True),
        ("UnsupportedFeatureException", "No.", "ecs.task_definition", True),
        ("BlockedException", "Blocked.", "account", True),
        ("SomethingNewException", "Who knows.", "Who knows", False),
    ],
)
async def test_a_refused_call_says_what_would_be_right(server, launcher, code, message, words, final):
    server.refuse("RunTask", code, message)
    with pytest.raises(LaunchRefused, match=words) as refused:
        await launcher.launch(an_order())
    assert code in refused.value.sentence
    assert refused.value.final is final
    assert len(server.called("RunTask")) == 1


async def test_being_throttled_is_waited_out(server, launcher):
    server.refuse("RunTask", "ThrottlingException", "Rate exceeded")
    server.refuse("RunTask", "ServerException", "Our fault.", status=500)
    assert await launcher.launch(an_order()) in server.tasks


async def test_being_throttled_for_long_is_no_verdict(server, launcher):
    for _ in range(3):
        server.refuse("RunTask", "ThrottlingException", "Rate exceeded")
    with pytest.raises(Unavailable, match="throttling"):
        await launcher.launch(an_order())


async def test_credentials_that_are_not_accepted_are_named_and_may_become_right(server, launcher):
    for _ in range(3):
        server.refuse("RunTask", "UnrecognizedClientException", "The security token is invalid.")
    with pytest.raises(Unavailable, match=r"ecs\.access_key_id"):
        await launcher.launch(an_order())


async def test_missing_credentials_are_said_at_each_call_and_looked_for_again(server, clock, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = dataclasses.replace(server.settings(), access_key_id="", secret_access_key=Secret(""))
    async with a_launcher(settings, clock) as launcher:
        with pytest.raises(Unavailable, match="no credentials"):
            await launcher.check()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "found")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "later")
        await launcher.check()


async def test_a_wrong_setting_that_the_library_sees_ends_the_deployment(server, clock):
    async with a_launcher(dataclasses.replace(server.settings(), container=None), clock) as launcher:
        with pytest.raises(LaunchRefused, match=r"ecs\.container") as refused:
            await launcher.launch(an_order())
    assert refused.value.final


async def test_ecs_away_is_said_and_its_return_is_seen(server, launcher):
    handle = await launcher.launch(an_order())
    await launcher.check()
    await server.stop()
    with pytest.raises(Unavailable, match=r"ecs\.endpoint"):
        await launcher.check()
    with pytest.raises(Unavailable):
        await launcher.launch(an_order())
    with pytest.raises(Unavailable):
        await state_of(launcher, handle)
    with pytest.raises(Unavailable):
        await launcher.stop(handle, "No more.")
    await server.start()
    await launcher.check()
    assert await state_of(launcher, handle) is BuilderState.RUNNING


async def test_a_task_that_ended_is_gone_and_says_why(server, launcher):
    handle = await launcher.launch(an_order())
    assert await launcher.last_words(handle) == ""
    server.end(
        handle,
        reason="Essential container in task exited",
        exit_code=137,
        container_reason="OutOfMemoryError: Container killed due to memory usage",
    )
    assert await state_of(launcher, handle) is BuilderState.GONE
    words = await launcher.last_words(handle)
    assert words.startswith("OutOfMemoryError")
    assert "exit code is 137" in words


async def test_a_task_whose_containers_have_ended_is_gone(server, launcher):
    handle = await launcher.launch(an_order())
    server.tasks[handle].status = "DEPROVISIONING"
    assert await state_of(launcher, handle) is BuilderState.GONE


@pytest.mark.parametrize("status", ["PROVISIONING", "PENDING", "ACTIVATING", "DEACTIVATING", "STOPPING"])
async def test_a_task_on_its_way_is_not_gone(server, launcher, status):
    handle = await launcher.launch(an_order())
    server.tasks[handle].status = status
    assert await state_of(launcher, handle) is BuilderState.RUNNING


async def test_a_task_that_ecs_does_not_know_yet_is_believed_for_a_minute(server, launcher, clock):
    handle = await launcher.launch(an_order())
    server.forgotten.add(handle)
    assert await state_of(launcher, handle) is BuilderState.RUNNING
    clock.pass_by(59)
    assert await state_of(launcher, handle) is BuilderState.RUNNING
    server.forgotten.clear()
    assert await state_of(launcher, handle) is BuilderState.RUNNING
    server.forgotten.add(handle)
    clock.pass_by(30)
    assert await state_of(launcher, handle) is BuilderState.RUNNING
    clock.pass_by(61)
    assert await state_of(launcher, handle) is BuilderState.GONE
    assert await launcher.last_words(handle) == ""


async def test_many_tasks_are_looked_for_in_one_call(server, launcher):
    handles = [await launcher.launch(an_order()) for _ in range(6)]
    server.end(handles[3], reason="Spot", code="SpotInterruption")
    states = await launcher.find([*handles, "process:1:2"])
    assert [handle for handle, state in states.items() if state is BuilderState.GONE] == [handles[3]]
    assert states.keys() == set(handles)
    (call,) = server.called("DescribeTasks")
    assert sorted(call.request["tasks"]) == sorted(handles)


async def test_more_than_a_hundred_tasks_are_looked_for_in_calls_that_ecs_takes(server, launcher):
    handle = await launcher.launch(an_order())
    await launcher.find([f"{handle}{number}" for number in range(130)])
    assert [len(call.request["tasks"]) for call in server.called("DescribeTasks")] == [100, 30]


async def test_a_stop_is_told_with_its_reason_and_may_be_repeated(server, launcher):
    handle = await launcher.launch(an_order())
    await launcher.stop(handle, "It was canceled. " * 40)
    await launcher.stop(handle, "again")
    assert await state_of(launcher, handle) is BuilderState.GONE
    assert len(server.called("StopTask")[0].request["reason"]) == 255
    assert (await launcher.last_words(handle)).startswith("It was canceled.")


async def test_stopping_a_task_that_is_forgotten_is_no_error(server, launcher):
    handle = await launcher.launch(an_order())
    server.forgotten.add(handle)
    await launcher.stop(handle, "No more.")


async def test_a_stop_that_is_denied_is_said(server, launcher):
    handle = await launcher.launch(an_order())
    server.refuse("StopTask", "AccessDeniedException", "No.")
    with pytest.raises(Unavailable, match="AccessDenied"):
        await launcher.stop(handle, "No more.")


@pytest.mark.parametrize("handle", ["process:1:2", "arn:aws:ecs:eu-central-1:1:task/another-cluster/1", ""])
async def test_nothing_is_said_of_what_is_no_task_of_this_cluster(server, launcher, handle):
    assert await launcher.find([handle]) == {}
    assert server.called("DescribeTasks") == []


async def test_a_cluster_that_is_not_there_is_named(server, clock):
    settings = dataclasses.replace(server.settings(), cluster="nowhere", region="eu-central-1")
    async with a_launcher(settings, clock) as launcher:
        with pytest.raises(Unavailable, match=r"nowhere does not exist in eu-central-1\. Check ecs\.cluster"):
            await launcher.check()
        with pytest.raises(LaunchRefused, match="CLUSTER_ARN"):
            await launcher.launch(an_order())


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"task_definition": "nothing:1"}, "TASK_ARN"), ({"container": "buildr"}, r"ecs\.container.*it has builder")],
)
async def test_a_task_definition_that_cannot_start_is_seen_before_the_first_deployment(server, clock, changes, words):
    async with a_launcher(dataclasses.replace(server.settings(), **changes), clock) as launcher:
        for _ in range(2):
            with pytest.raises(Unavailable, match=words):
                await launcher.check()


async def test_a_right_task_definition_is_looked_at_once_a_minute(server, launcher, clock):
    for seconds in (0, 30, 29, 1):
        clock.pass_by(seconds)
        await launcher.check()
    assert len(server.called("DescribeTaskDefinition")) == 2


async def test_a_role_that_may_not_see_the_task_definition_can_start_tasks(server, launcher):
    server.refuse("DescribeTaskDefinition", "AccessDeniedException", "No.")
    await launcher.check()


async def test_a_cluster_that_answers_late_is_said(server, launcher, monkeypatch):
    monkeypatch.setattr(ecs, "CHECK_SECONDS", 0.05)
    server.hold_answer("DescribeClusters")
    with pytest.raises(Unavailable, match="does not answer within"):
        await launcher.check()


async def examined(config):
    async with ecs.open_ecs(config) as launcher:
        return await launcher.examine()


async def test_the_doctor_finds_a_right_setup_well(server):
    sentence = await examined(Config(ecs=server.settings()))
    assert "buildspace-builder" in sentence


async def test_the_doctor_tells_that_the_container_is_not_in_the_task_definition(server):
    settings = server.settings(container="buildr")
    with pytest.raises(Unavailable, match=r"ecs\.container.*buildr.*it has builder"):
        await examined(Config(ecs=settings))


async def test_the_doctor_tells_that_there_is_no_such_task_definition(server):
    settings = dataclasses.replace(server.settings(), task_definition="nothing:1")
    with pytest.raises(Unavailable, match="TASK_ARN"):
        await examined(Config(ecs=settings))


async def test_the_doctor_tells_that_strong_isolation_cannot_be_had(server):
    with pytest.raises(ConfigError, match="Fargate"):
        await examined(Config(ecs=server.settings(), builder=Builder(isolation="strong")))
