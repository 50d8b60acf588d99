"""What the deployment store promises: each transition once, and only from where it may begin."""

import asyncio
import uuid

import pytest

from builder.protocol.calls import Facts, Failure
from builder.protocol.settings import Settings, UsedSetting
from builder.protocol.steps import Step
from gateway.errors import Conflict, Invalid, NotFound
from gateway.models import lifecycle
from gateway.models.actor import OWNER
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Status
from gateway.models.source import GitRef
from tests.engines.gateway import eventually
from tests.engines.stores import LifeStore, deploy_again, new_project

NOBODY = uuid.UUID(int=7)


async def test_a_claim_takes_the_oldest_first(projects, deployments, queued):
    second = await new_project(projects, "Two")
    third = await new_project(projects, "Three")
    first_two = await deployments.claim("process", 60, limit=2)
    rest = await deployments.claim("process", 60, limit=2)
    assert [found.id for found in first_two] == [queued.id, second.id]
    assert [found.id for found in rest] == [third.id]
    assert await deployments.count_building("process") == 3


async def test_a_claim_says_who_builds_and_until_when(deployments, queued):
    (claimed,) = await deployments.claim("process", 60)
    assert (claimed.status, claimed.launcher, claimed.handle) == (Status.BUILDING, "process", None)
    assert (claimed.lease_until - claimed.started_at).total_seconds() == 60


async def test_many_claims_at_once_never_share_a_deployment(projects, deployments):
    await asyncio.gather(*(new_project(projects, "P") for _ in range(20)))
    claims = await asyncio.gather(*(deployments.claim("process", 60, limit=3) for _ in range(12)))
    claimed = [deployment.id for claim in claims for deployment in claim]
    assert len(claimed) == len(set(claimed)) == 20


async def test_gateways_that_share_a_launcher_stay_under_its_limit_together(projects, deployments):
    await asyncio.gather(*(new_project(projects, "P") for _ in range(20)))
    claims = await asyncio.gather(*(deployments.claim("ecs:builds", 60, limit=5, concurrency=7) for _ in range(8)))
    assert sum(map(len, claims)) == await deployments.count_building("ecs:builds") == 7
    assert await deployments.claim("ecs:builds", 60, concurrency=7) == []


async def to_stop(deployments, launcher="process"):
    return [(builder.attempt, builder.handle) for builder in await deployments.builders_to_stop(launcher)]


async def stop_all(deployments):
    for builder in await deployments.builders_to_stop("process"):
        await deployments.builder_gone(builder)


async def test_builds_of_another_gateway_take_no_place_of_this_one(projects, deployments):
    await asyncio.gather(*(new_project(projects, "P") for _ in range(4)))
    assert len(await deployments.claim("process:one", 60, limit=9, concurrency=2)) == 2
    assert len(await deployments.claim("process:two", 60, limit=9, concurrency=2)) == 2
    assert await deployments.count_building("process:one") == 2


async def test_the_builder_of_another_gateway_is_not_ours_to_stop(deployments, building):
    await deployments.launched(building.id, 1, "process:1:2")
    await deployments.cancel(OWNER, building.id)
    assert await to_stop(deployments, "process:elsewhere") == []


async def test_deploying_again_uses_the_settings_of_now(database, deployments, queued):
    await database.pool.execute("""UPDATE projects SET settings = '{"build_command": "make"}'""")
    again = await deploy_again(deployments, queued.project_slug)
    assert (again.number, again.settings.build_command) == (2, "make")
    assert (await deployments.get(OWNER, queued.id)).settings.build_command is None


async def test_the_settings_of_a_projects_first_call_are_that_deployments_and_then_the_projects(projects, deployments):
    wanted = Settings(build_command="make", strict_lockfile=False)
    first = await new_project(projects, settings=wanted)
    again = await deploy_again(deployments, first.project_slug)
    assert (first.settings, first.overrides) == (wanted, wanted)
    assert (again.settings, again.overrides) == (wanted, Settings())


async def test_a_deployment_keeps_the_source_and_the_cause_of_its_request(projects, deployments, queued):
    source = GitRef("https://example.com/fork.git", "next", "ab" * 20)
    cause = Cause(CauseKind.FORM, "user", "next", "ab")
    again = await deploy_again(deployments, queued.project_slug, source=source, cause=cause)
    assert (again.source, again.cause) == (source, cause)
    assert (await projects.get(OWNER, queued.project_slug)).source == queued.source


async def test_deployments_of_one_project_get_different_numbers_at_once(deployments, queued):
    made = await asyncio.gather(*(deploy_again(deployments, queued.project_slug) for _ in range(20)))
    assert sorted(deployment.number for deployment in made) == list(range(2, 22))


async def test_deploying_an_unknown_project_again_is_not_found(deployments):
    with pytest.raises(NotFound):
        await deploy_again(deployments, "nothing")


async def test_a_list_is_read_page_by_page_newest_first(deployments, queued):
    for _ in range(4):
        await deploy_again(deployments, queued.project_slug)
    first, cursor = await deployments.list(OWNER, queued.project_slug, 3)
    second, end = await deployments.list(OWNER, queued.project_slug, 3, cursor)
    assert [deployment.number for deployment in (*first, *second)] == [5, 4, 3, 2, 1]
    assert end is None


async def test_the_list_of_an_unknown_project_is_not_found(deployments):
    with pytest.raises(NotFound):
        await deployments.list(OWNER, "nothing", 10)


async def test_the_newest_deployment_of_each_project(projects, deployments, queued):
    other = await new_project(projects, "Two")
    again = await deploy_again(deployments, queued.project_slug)
    newest = await deployments.newest(OWNER, [queued.project_id, other.project_id, NOBODY])
    assert {project: found.id for project, found in newest.items()} == {
        queued.project_id: again.id,
        other.project_id: other.id,
    }


async def test_an_unknown_deployment_is_not_found(deployments):
    with pytest.raises(NotFound, match=str(NOBODY)):
        await deployments.get(OWNER, NOBODY)


async def test_a_launched_attempt_has_a_handle(deployments, building):
    await deployments.launched(building.id, 1, "process:1:2")
    assert (await deployments.building())[0].handle == "process:1:2"


async def test_a_refusal_waits_in_the_queue_with_the_launchers_words(deployments, building):
    assert await deployments.refused(building.id, 1, "No room.") is Status.QUEUE
    found = await deployments.get(OWNER, building.id)
    assert (found.attempt, found.queue_reason, found.reason) == (1, "No room.", None)
    assert await deployments.claim("process", 60) == []


async def waits(deployments, database, building):
    """Refuse it once more; how long it waits then, after which it is claimed again."""
    await deployments.refused(building.id, 1, "No room.")
    wait = "SELECT extract(epoch FROM launch_after - now()) FROM deployments WHERE status = 'QUEUE'"
    seconds = await database.pool.fetchval(wait)
    await database.pool.execute("UPDATE deployments SET launch_after = now()")
    await deployments.claim("process", 60)
    return float(seconds or 0)


async def test_each_refusal_waits_twice_as_long_whichever_gateway_tells_it(deployments, database, building):
    others = [deployments, LifeStore(database), LifeStore(database)]
    assert [round(await waits(each, database, building)) for each in others] == [2, 4, 8]


async def test_a_refused_deployment_gives_up_after_about_an_hour(deployments, database, building):
    delays = [await waits(deployments, database, building) for _ in range(lifecycle.REFUSALS)]
    assert max(delays) <= lifecycle.LONGEST_REFUSAL_SECONDS
    assert 45 * 60 < sum(delays) < 75 * 60
    assert (await deployments.get(OWNER, building.id)).status is Status.FAILED


async def test_a_builder_whose_attempt_is_followed_by_another_is_to_be_stopped(deployments, building):
    await deployments.launched(building.id, 1, "process:1:2")
    await deployments.lost(building.id, 1, "It gave no sign of life.", 3)
    (again,) = await deployments.claim("process", 60)
    assert (again.attempt, again.handle) == (2, None)
    await deployments.launched(building.id, 2, "process:3:4")
    assert await to_stop(deployments) == [(1, "process:1:2")]
    await stop_all(deployments)
    assert await to_stop(deployments) == []
    assert (await deployments.get(OWNER, building.id)).handle == "process:3:4"


async def test_a_lost_attempt_keeps_its_steps_and_its_reason(deployments, building):
    await deployments.start_step(building.id, 1, "clone", 1_000)
    await deployments.lost(building.id, 1, "It gave no sign of life.", 3)
    await deployments.claim("other", 60)
    await deployments.start_step(building.id, 2, "clone", 9_000)
    first, second = await deployments.attempts(OWNER, building.id)
    assert (first.number, first.launcher, first.reason) == (1, "process", "It gave no sign of life.")
    assert [(step.name, step.started_at) for step in first.steps] == [("clone", 1_000)]
    assert first.steps[0].seconds > 0
    assert (second.number, second.launcher, second.reason) == (2, "other", None)
    assert (await deployments.get(OWNER, building.id)).steps == second.steps


async def test_a_refused_launch_is_no_attempt(deployments, building):
    await deployments.refused(building.id, 1, "No room.")
    assert await deployments.attempts(OWNER, building.id) == []


async def test_a_refused_number_is_used_again_by_the_launcher_that_refused_it(deployments, database, building):
    await deployments.refused(building.id, 1, "No room.")
    await database.pool.execute("UPDATE deployments SET launch_after = now()")
    (again,) = await deployments.claim("process", 60)
    assert again.attempt == 1


async def test_another_launcher_gets_another_number_and_that_costs_no_attempt(deployments, database, building):
    """A launch that was refused to one gateway may still succeed for another: two builders would be one attempt."""
    await deployments.refused(building.id, 1, "No room.")
    await database.pool.execute("UPDATE deployments SET launch_after = now()")
    (again,) = await deployments.claim("other", 60)
    assert again.attempt == 2
    with pytest.raises(Conflict):
        await deployments.launched(building.id, 1, "process:1:2")
    assert await to_stop(deployments) == [(1, "process:1:2")]
    assert await deployments.lost(building.id, 2, "It vanished.", 2) is Status.QUEUE
    await deployments.claim("other", 60)
    assert await deployments.lost(building.id, 3, "It vanished.", 2) is Status.FAILED


async def test_a_builder_that_starts_after_the_refusal_is_to_be_stopped_and_its_number_is_used(
    deployments, database, building
):
    await deployments.refused(building.id, 1, "No room.")
    with pytest.raises(Conflict):
        await deployments.launched(building.id, 1, "process:1:2")
    await database.pool.execute("UPDATE deployments SET launch_after = now()")
    (again,) = await deployments.claim("process", 60)
    assert again.attempt == 2
    assert await to_stop(deployments) == [(1, "process:1:2")]


async def test_a_refusal_that_waits_for_a_launch_to_be_recorded_finds_the_builder(deployments, database, building):
    async def is_waiting():
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return await database.pool.fetchval(waiting)

    async with database.transaction() as connection:
        await connection.execute("SELECT 1 FROM deployments WHERE id = $1 FOR NO KEY UPDATE", building.id)
        await connection.execute("UPDATE attempts SET handle = 'process:1:2' WHERE deployment_id = $1", building.id)
        refusing = asyncio.create_task(deployments.refused(building.id, 1, "No room."))
        await eventually(is_waiting, "the refusal waits for the row")
    with pytest.raises(Conflict):
        await refusing
    assert (await deployments.get(OWNER, building.id)).status is Status.BUILDING


async def test_a_cancel_and_a_heartbeat_at_once_leave_no_lease(deployments, projects):
    for _ in range(20):
        waiting = await new_project(projects, "P")
        await deployments.claim("process", 60)
        await asyncio.gather(
            *(deployments.heartbeat(waiting.id, 1, 60) for _ in range(3)),
            deployments.cancel(OWNER, waiting.id),
            return_exceptions=True,
        )
        assert (await deployments.get(OWNER, waiting.id)).lease_until is None


async def test_steps_and_heartbeats_at_once_lose_nothing(deployments, building):
    await asyncio.gather(
        *(deployments.heartbeat(building.id, 1, 60) for _ in range(10)),
        *(deployments.start_step(building.id, 1, step, 1_000) for step in ("clone", "install", "build")),
        deployments.set_manifest(building.id, 1, b"{}"),
    )
    assert {step.name for step in (await deployments.get(OWNER, building.id)).steps} == {
        "clone",
        "install",
        "build",
    }
    assert await deployments.get_manifest(building.id, 1) == b"{}"


async def test_what_runs_can_not_be_refused(deployments, building):
    await deployments.launched(building.id, 1, "ecs:1")
    with pytest.raises(Conflict):
        await deployments.refused(building.id, 1, "No capacity.")
    assert (await deployments.get(OWNER, building.id)).status is Status.BUILDING


async def test_what_has_given_a_sign_of_life_can_not_be_refused(deployments, building):
    await deployments.start_step(building.id, 1, "prepare", 1_000)
    with pytest.raises(Conflict):
        await deployments.refused(building.id, 1, "No capacity.", final=True)


async def test_a_final_refusal_fails_at_once_with_the_launchers_words(deployments, building):
    assert await deployments.refused(building.id, 1, "Still no room.", final=True) is Status.FAILED
    found = await deployments.get(OWNER, building.id)
    assert (found.reason, found.queue_reason, found.completed_at is None) == ("Still no room.", None, False)


async def test_a_lost_attempt_is_followed_by_another(deployments, building):
    await deployments.start_step(building.id, 1, "clone", 1_000)
    assert await deployments.lost(building.id, 1, "It vanished.", 3) is Status.QUEUE
    (again,) = await deployments.claim("process", 60)
    assert (again.id, again.attempt, again.steps) == (building.id, 2, ())


async def test_the_last_attempt_that_is_lost_fails(deployments, building):
    assert await deployments.lost(building.id, 1, "It vanished.", 1) is Status.FAILED
    found = await deployments.get(OWNER, building.id)
    assert (found.attempt, found.reason) == (1, "It vanished.")


async def test_a_lease_ends_by_the_clock_of_the_database(deployments, queued):
    await deployments.claim("process", -1)
    assert [found.id for found in await deployments.expired()] == [queued.id]
    await deployments.heartbeat(queued.id, 1, 60)
    assert await deployments.expired() == []


async def test_an_attempt_is_overdue_by_the_clock_of_the_database(deployments, queued):
    assert await deployments.overdue(-1) == []
    await deployments.claim("process", 60)
    assert [found.id for found in await deployments.overdue(-1)] == [queued.id]
    assert await deployments.overdue(60) == []


async def test_the_time_is_that_of_the_database(deployments, database):
    before, now, after = [
        await database.pool.fetchval("SELECT now()"),
        await deployments.now(),
        await database.pool.fetchval("SELECT now()"),
    ]
    assert before <= now <= after


async def test_a_step_ends_the_one_before_it(deployments, building):
    await deployments.start_step(building.id, 1, "clone", 1_000)
    await deployments.start_step(building.id, 1, "install", 3_500)
    steps = (await deployments.get(OWNER, building.id)).steps
    assert [(step.name, step.started_at, step.seconds) for step in steps] == [
        ("clone", 1_000, 2.5),
        ("install", 3_500, None),
    ]


async def test_a_step_that_began_is_not_begun_again(deployments, building):
    await deployments.start_step(building.id, 1, "clone", 1_000)
    await deployments.start_step(building.id, 1, "install", 2_000)
    before = await deployments.get(OWNER, building.id)
    await deployments.start_step(building.id, 1, "clone", 9_000)
    await deployments.start_step(building.id, 1, "install", 9_000)
    assert await deployments.get(OWNER, building.id) == before


async def test_a_clock_that_goes_back_makes_no_negative_duration(deployments, building):
    await deployments.start_step(building.id, 1, "clone", 9_000)
    await deployments.start_step(building.id, 1, "install", 1_000)
    assert (await deployments.get(OWNER, building.id)).steps[0].seconds == 0


async def test_the_end_of_a_deployment_ends_its_last_step(deployments, building):
    await deployments.start_step(building.id, 1, "build", 1_000)
    await deployments.fail(building.id, 1, "The command failed.", "build", 1, 40)
    found = await deployments.get(OWNER, building.id)
    assert (found.status, found.reason) == (Status.FAILED, "The command failed.")
    assert (found.exit_code, found.last_seq) == (1, 40)
    assert found.steps[-1].seconds > 0


async def test_why_a_command_failed_is_kept_with_its_attempt(deployments, building):
    failure = Failure("npm-peer-conflict", Step.INSTALL, "npm error ERESOLVE", 12, "Do this.")
    await deployments.fail(building.id, 1, "npm ended with 1.", "install", 1, 40, failure)
    (attempt,) = await deployments.attempts(OWNER, building.id)
    assert attempt.failure == failure


async def test_a_project_takes_the_url_of_a_repository_that_has_moved(deployments, projects, building):
    await deployments.add_facts(building.id, 1, Facts(commit_sha="abc", git_url="https://git.example/moved"))
    assert (await projects.get(OWNER, building.project_slug)).git_url == "https://git.example/moved"
    await deployments.add_facts(building.id, 1, Facts(git_url="https://git.example/late"))
    assert (await projects.get(OWNER, building.project_slug)).git_url == "https://git.example/moved"


async def test_facts_add_up(deployments, building):
    await deployments.add_facts(building.id, 1, Facts(commit_sha="abc", commit_message="Fix\0it\ud800"))
    await deployments.add_facts(building.id, 1, Facts(framework="vite", node_version="24", isolation="strong"))
    found = await deployments.get(OWNER, building.id)
    assert (found.source.commit, found.commit_message) == ("abc", "Fix\ufffdit?")
    assert (found.framework, found.node_version, found.isolation) == ("vite", "24", "strong")


async def test_the_settings_that_a_build_used_are_kept(deployments, building):
    used = (UsedSetting("build_command", "make", "netlify.toml"),)
    await deployments.add_facts(building.id, 1, Facts(settings=used))
    await deployments.add_facts(building.id, 1, Facts(framework="vite"))
    assert (await deployments.get(OWNER, building.id)).used_settings == used


async def test_a_value_out_of_range_is_invalid(deployments, building):
    with pytest.raises(Invalid):
        await deployments.fail(building.id, 1, "reason", "build", 2**80, 1)
    assert (await deployments.get(OWNER, building.id)).status is Status.BUILDING


async def test_a_manifest_is_kept_until_the_end(deployments, building):
    with pytest.raises(NotFound):
        await deployments.get_manifest(building.id, 1)
    await deployments.set_manifest(building.id, 1, b"{}")
    assert await deployments.get_manifest(building.id, 1) == b"{}"
    assert await deployments.pending_manifests(building.project_id) == [b"{}"]
    await deployments.publish(building.id, 1, 1, 1, 1)
    with pytest.raises(Conflict):
        await deployments.get_manifest(building.id, 1)
    assert await deployments.pending_manifests(building.project_id) == []


async def test_what_waits_can_be_canceled(deployments, queued):
    canceled = await deployments.cancel(OWNER, queued.id)
    assert (canceled.status, canceled.completed_at is None) == (Status.CANCELED, False)
    assert await deployments.claim("process", 60) == []


async def test_what_builds_can_be_canceled_and_its_builder_is_to_be_stopped(deployments, building):
    await deployments.launched(building.id, 1, "process:1:2")
    assert (await deployments.cancel(OWNER, building.id)).status is Status.CANCELED
    (builder,) = await deployments.builders_to_stop("process")
    assert (builder.handle, builder.reason, builder.is_canceled) == ("process:1:2", "It was canceled.", True)
    with pytest.raises(Conflict):
        await deployments.heartbeat(building.id, 1, 60)
    await deployments.builder_gone(builder)
    assert await to_stop(deployments) == []


async def test_a_builder_whose_log_lacks_lines_may_bring_them(deployments, building):
    await deployments.launched(building.id, 1, "process:1:2")
    await deployments.fail(building.id, 1, "npm ended with 1.", "build", 1, 40)
    (builder,) = await deployments.builders_to_stop("process")
    assert (builder.may_bring_lines, builder.is_canceled) == (True, False)
    await deployments.set_log_end(building.id, 1, True)
    (builder,) = await deployments.builders_to_stop("process")
    assert builder.may_bring_lines is False


async def test_a_builder_launched_into_a_canceled_deployment_is_to_be_stopped(deployments, building):
    await deployments.cancel(OWNER, building.id)
    with pytest.raises(Conflict):
        await deployments.launched(building.id, 1, "process:1:2")
    assert await to_stop(deployments) == [(1, "process:1:2")]


async def test_stopping_an_old_builder_does_not_forget_a_new_one(deployments, building):
    await deployments.launched(building.id, 1, "old")
    await deployments.cancel(OWNER, building.id)
    (old,) = await deployments.builders_to_stop("process")
    with pytest.raises(Conflict):
        await deployments.launched(building.id, 1, "new")
    await deployments.builder_gone(old)
    assert await to_stop(deployments) == [(1, "new")]


async def test_whether_the_log_is_whole_is_kept(deployments, building):
    assert await deployments.undecided_logs(uuid.UUID(int=0), 10) == []
    await deployments.fail(building.id, 1, "reason", "build", 1, 40)
    assert [found.id for found in await deployments.undecided_logs(uuid.UUID(int=0), 10)] == [building.id]
    await deployments.set_log_end(building.id, 1, False, [(3, 5)])
    found = await deployments.get(OWNER, building.id)
    assert (found.log_complete, found.log_missing) == (False, ((3, 5),))
    assert await deployments.undecided_logs(uuid.UUID(int=0), 10) == []
    await deployments.set_log_end(building.id, 1, True, [])
    await deployments.set_log_end(building.id, 1, False, [(1, 1)])
    found = await deployments.get(OWNER, building.id)
    assert (found.log_complete, found.log_missing) == (True, ())
