"""The Docker launcher against a real engine, with small programs in the builder's place."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import uuid
from collections.abc import Callable

import pytest

from gateway import config
from gateway.engines.docker import docker_launcher as docker
from gateway.engines.docker import docker_network
from gateway.engines.docker.docker_api import DockerApi
from gateway.engines.docker.docker_launcher import DockerLauncher
from gateway.engines.docker.docker_network import bridge_name
from gateway.errors import LaunchRefused, Unanswered, Unavailable
from gateway.roles import BuilderState, LaunchOrder
from tests.docker.conftest import LAUNCHER_NETWORK, OpenLauncher
from tests.engines.builder_state import state_of
from tests.engines.dockerd import DockerEngine
from tests.engines.gateway import eventually


def order(attempt: int = 1) -> LaunchOrder:
    return LaunchOrder(uuid.uuid4(), attempt, "blue-whale", "https://example.com/a.git", "token", "http://192.0.2.1:1")


async def gone(launcher: DockerLauncher, handle: str) -> None:
    async def look() -> bool:
        return await state_of(launcher, handle) is BuilderState.GONE

    await eventually(look, "the builder is gone", 30)


async def test_a_container_that_was_made_and_not_started_is_started(on: OpenLauncher, engine: DockerEngine) -> None:
    """Its gateway was killed between the two."""
    same = order()
    async with on("sleeps") as launcher:
        name = f"buildspace-{same.deployment_id}-1"
        container = engine.docker("create", "--name", name, "buildspace-sleeps:test")
        assert await launcher.launch(same) == f"docker:{container}"
        assert engine.docker("inspect", "--format", "{{.State.Status}}", container) == "running"
        await launcher.stop(f"docker:{container}", "The test is over.")


async def test_a_start_without_an_answer_may_have_started_the_builder(
    on: OpenLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on("sleeps") as launcher:
        # The first launch proves the network, with containers of its own.
        await launcher.stop(await launcher.launch(order()), "The network is proven.")
        same, start = order(), DockerApi.start

        async def start_unheard(api: DockerApi, container: str) -> None:
            await start(api, container)
            raise Unavailable("Docker's answer did not come.")

        monkeypatch.setattr(DockerApi, "start", start_unheard)
        with pytest.raises(Unanswered):
            await launcher.launch(same)
        handle = await launcher.launch(same)
        assert await state_of(launcher, handle) is BuilderState.RUNNING
        await launcher.stop(handle, "The test is over.")


async def test_a_stopped_builder_is_gone_with_its_volume_and_may_be_stopped_again(
    on: OpenLauncher, engine: DockerEngine
) -> None:
    async with on("stubborn") as launcher:
        handle = await launcher.launch(order())
        names = engine.docker("inspect", "--format", "{{range .Mounts}}{{.Name}} {{end}}", handle.partition(":")[2])
        (volume,) = names.split()
        assert volume in engine.docker("volume", "ls", "--quiet").split()
        await launcher.stop(handle, "The user canceled it.")
        assert await state_of(launcher, handle) is BuilderState.GONE
        assert volume not in engine.docker("volume", "ls", "--quiet").split()
        await launcher.stop(handle, "Once more.")
        assert await launcher.last_words(handle) == ""


async def test_a_builder_that_ended_tells_its_last_words(on: OpenLauncher) -> None:
    async with on("leaves") as launcher:
        handle = await launcher.launch(order())
        await gone(launcher, handle)
        assert await launcher.last_words(handle) == "The builder ended with exit code 3. The disk is on fire."
        await launcher.stop(handle, "The test is over.")


async def test_last_words_are_short_however_much_was_said(on: OpenLauncher) -> None:
    async with on("talks") as launcher:
        handle = await launcher.launch(order())
        await gone(launcher, handle)
        words = await launcher.last_words(handle)
        assert (len(words) < 1000, words.endswith("The end.")) == (True, True)
        await launcher.stop(handle, "The test is over.")


async def test_a_container_that_ran_out_of_memory_says_so(on: OpenLauncher) -> None:
    async with on("eats") as launcher:
        handle = await launcher.launch(order())
        await gone(launcher, handle)
        assert "ran out of its memory, 256 MiB (builder.memory_bytes)" in await launcher.last_words(handle)
        await launcher.stop(handle, "The test is over.")


async def test_a_missing_image_is_refused_with_the_command_that_makes_it(on: OpenLauncher) -> None:
    async with on("nobody-has:this") as launcher:
        with pytest.raises(LaunchRefused, match=r"docker build -t nobody-has:this -f builder/Dockerfile .") as refusal:
            await launcher.launch(order())
        with pytest.raises(Unavailable, match="docker pull nobody-has:this"):
            await launcher.check()
    assert not refusal.value.final


async def test_an_engine_that_is_not_there_is_unavailable_and_named(on: OpenLauncher) -> None:
    async with on("sleeps", host="unix:///nowhere/docker.sock") as launcher:
        for call in (
            launcher.check(),
            launcher.launch(order()),
            launcher.find([f"docker:{'a' * 64}"]),
            launcher.stop("docker:abc", ""),
        ):
            with pytest.raises(Unavailable, match=r"unix:///nowhere/docker.sock cannot be reached.*docker.host"):
                await call


async def test_the_network_is_made_with_containers_apart(on: OpenLauncher, engine: DockerEngine) -> None:
    engine.docker("network", "rm", LAUNCHER_NETWORK, check=False)
    async with on("sleeps") as launcher:
        handle = await launcher.launch(order())
        await launcher.stop(handle, "The test is over.")
    found = json.loads(engine.docker("network", "inspect", LAUNCHER_NETWORK))[0]
    assert found["Options"] == {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.name": bridge_name(LAUNCHER_NETWORK),
    }


async def test_a_network_in_which_builders_meet_is_refused(on: OpenLauncher, engine: DockerEngine) -> None:
    engine.docker("network", "create", "buildspace-open")
    async with on("sleeps", network="buildspace-open") as launcher:
        with pytest.raises(LaunchRefused, match="docker network rm buildspace-open"):
            await launcher.launch(order())
    engine.docker("network", "rm", "buildspace-open")


async def test_a_wall_that_was_torn_down_is_made_anew(on: OpenLauncher, engine: DockerEngine) -> None:
    table = ("nft", "list", "table", "inet", f"buildspace-{bridge_name(LAUNCHER_NETWORK)}")
    async with on("sleeps") as launcher:
        await launcher.stop(await launcher.launch(order()), "The test is over.")
        subprocess.run([*table[:1], "delete", *table[2:]], check=True)
        launcher._network.forget_proof()  # as after five minutes, or when the engine was away
        await launcher.stop(await launcher.launch(order()), "The test is over.")
    assert "admin-prohibited" in subprocess.run(table, check=True, capture_output=True, text=True).stdout


async def examined(settings: config.Config) -> str:
    async with docker.open_docker(settings) as launcher:
        return await launcher.examine()


async def test_the_doctor_tells_version_image_and_wall(
    on: OpenLauncher, engine: DockerEngine, images: Callable[[str], str], builders_url: str
) -> None:
    async with on("sleeps") as launcher:
        await launcher.stop(await launcher.launch(order()), "The test is over.")
    settings = config.Docker(image=images("sleeps"), host=engine.host, network=LAUNCHER_NETWORK)
    well = config.Config(docker=settings, builders=config.Builders(url=builders_url))
    words = await examined(well)
    assert "containers of buildspace-sleeps:test on Docker " in words
    assert words.endswith("is closed, and the builders' API is reached from it.")
    fresh = dataclasses.replace(well, docker=dataclasses.replace(settings, network="nobody-has-it"))
    assert "the network nobody-has-it is created and closed before the first build" in await examined(fresh)
    assert "nobody-has-it" not in engine.docker("network", "ls")
    alone = dataclasses.replace(well, builders=config.Builders(url=builders_url.rpartition(":")[0] + ":1"))
    assert "this is expected while no gateway runs" in await examined(alone)
    without = dataclasses.replace(well, docker=dataclasses.replace(settings, image="nobody-has:this"))
    with pytest.raises(Unavailable, match=r"docker build -t nobody-has:this"):
        await examined(without)


async def test_what_a_killed_gateway_has_left_of_its_look_at_the_wall_goes(
    on: OpenLauncher, engine: DockerEngine, images: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    label = f"{docker_network.LABEL}={LAUNCHER_NETWORK}"
    left = engine.docker("create", "--label", label, images("sleeps"))
    monkeypatch.setattr(docker_network, "LEFT_SECONDS", -1)
    async with on("sleeps") as launcher:
        await launcher.stop(await launcher.launch(order()), "The test is over.")
    assert left not in engine.docker("ps", "--all", "--quiet", "--no-trunc").split()


async def test_a_builders_api_that_is_out_of_reach_is_told(
    on: OpenLauncher, engine: DockerEngine, address: str
) -> None:
    before = networkers(engine)
    async with on("sleeps", url=f"http://{address}:1") as launcher:
        with pytest.raises(LaunchRefused, match=r"do not reach the builders' API .* builders.host") as refusal:
            await launcher.launch(order())
    assert not refusal.value.final
    assert networkers(engine) <= before


def networkers(engine: DockerEngine) -> set[str]:
    """The containers that make and try the wall."""
    return set(engine.docker("ps", "--all", "--quiet", "--filter", "label=buildspace.network").split())


async def test_without_isolation_a_build_starts_behind_a_wall_that_does_not_hold(
    on: OpenLauncher, address: str
) -> None:
    async with on("sleeps", url=f"http://{address}:1", isolation="none") as launcher:
        handle = await launcher.launch(order())
        assert await state_of(launcher, handle) is BuilderState.RUNNING
        await launcher.stop(handle, "The test is over.")


async def test_a_container_that_no_gateway_stopped_is_removed(
    on: OpenLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on("leaves") as launcher:
        ended = await launcher.launch(order())
        await gone(launcher, ended)
        monkeypatch.setattr(docker, "LEFT_SECONDS", -float("inf"))
        async with on("sleeps") as same_engine:
            running = await same_engine.launch(order())
            await same_engine.tidy()
            assert await launcher.last_words(ended) == ""
            assert await state_of(launcher, running) is BuilderState.RUNNING
            await same_engine.stop(running, "The test is over.")


async def test_the_work_of_a_container_that_another_program_removed_is_removed_too(
    on: OpenLauncher, engine: DockerEngine
) -> None:
    async with on("sleeps") as launcher:
        removed = await launcher.launch(order())
        work = work_of(engine, removed)
        engine.docker("rm", "--force", removed.removeprefix("docker:"))
        later = await launcher.launch(order())
        await launcher.tidy()
        volumes = engine.docker("volume", "ls", "--quiet").split()
        assert (work in volumes, work_of(engine, later) in volumes) == (False, True)
        await launcher.stop(later, "The test is over.")


def work_of(engine: DockerEngine, handle: str) -> str:
    """The name of its volume."""
    return engine.docker("inspect", "--format", "{{(index .Mounts 0).Name}}", handle.removeprefix("docker:")).strip()
