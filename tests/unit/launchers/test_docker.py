"""What the Docker launcher decides without an engine: names, words, isolation, and what a wall that leaks means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway import config
from gateway.engines.docker import docker_launcher as docker
from gateway.engines.docker.docker_launcher import choose_isolation, engine_name, last_words, open_docker
from gateway.engines.docker.docker_network import BETWEEN_CONTAINERS, BuilderNetwork, api_place, bridge_name
from gateway.errors import ConfigError, LaunchRefused

API = "http://192.0.2.7:9001"
GATE = "192.0.2.7:9001"


class FakeApi:
    """An engine whose wall says `listening`, and whose builders say `reached`."""

    def __init__(self, listening: str, reached: str) -> None:
        self._answers = {"close": listening, "reach": reached}
        self._kinds: dict[str, str] = {}
        self.asked: list[Sequence[str]] = []

    async def network(self, name: str) -> dict[str, Any]:
        return {"Id": "0123456789abcdef", "Driver": "bridge", "Options": {BETWEEN_CONTAINERS: "false"}}

    async def labeled(self, label: str, statuses: Sequence[str]) -> list[dict[str, Any]]:
        return []

    async def create(self, name: str, settings: dict[str, Any]) -> str:
        command = settings["Cmd"][4:]
        self.asked.append(command)
        self._kinds[name] = command[0]
        return name

    async def start(self, container: str) -> None:
        pass

    async def first_line(self, container: str) -> str:
        return self._answers[self._kinds[container]]

    async def remove(self, container: str) -> None:
        del self._kinds[container]

    @property
    def containers(self) -> list[str]:
        return list(self._kinds)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def network(api: FakeApi, clock: Clock | None = None) -> BuilderNetwork:
    return BuilderNetwork(api, "builders", "image", API, ["10.1.2.3:443"], clock=clock or Clock())  # type: ignore[arg-type]


LISTENING = '{"listening": ["172.18.0.1:4000", "192.0.2.7:4000"]}'


async def test_a_wall_that_holds_lets_builders_start_and_is_tried_again_later() -> None:
    api, clock = FakeApi(LISTENING, f'{{"reached": ["{GATE}"]}}'), Clock()
    wall = network(api, clock)
    await wall.wall_off()
    clock.seconds = 299.0
    await wall.wall_off()
    first = list(api.asked)
    clock.seconds = 301.0
    await wall.wall_off()
    assert first == [
        ["close", "br-0123456789ab", API, "10.1.2.3:443"],
        ["reach", GATE, "172.18.0.1:4000", "192.0.2.7:4000"],
    ]
    assert (len(api.asked), api.containers) == (4, [])


async def test_a_wall_is_tried_again_when_the_engine_was_away() -> None:
    api = FakeApi(LISTENING, f'{{"reached": ["{GATE}"]}}')
    wall = network(api)
    await wall.wall_off()
    wall.forget_proof()
    await wall.wall_off()
    assert len(api.asked) == 4


@pytest.mark.parametrize(
    ("listening", "reached", "sentence"),
    [
        (LISTENING, f'{{"reached": ["{GATE}", "172.18.0.1:4000"]}}', r"reaches the services .* \(172.18.0.1:4000\)"),
        (LISTENING, '{"reached": []}', r"do not reach the builders' API at http://192.0.2.7:9001"),
        (LISTENING, "Traceback", r"could not be tried \(Traceback\)"),
        ("nft refuses the rules: Operation not permitted", "", r"could not be closed \(nft refuses"),
        ('{"listening": []}', "", "could not be closed"),
    ],
)
async def test_a_wall_that_does_not_hold_refuses_builds_for_now(listening: str, reached: str, sentence: str) -> None:
    api = FakeApi(listening, reached)
    with pytest.raises(LaunchRefused, match=sentence) as refusal:
        await network(api).wall_off()
    assert (refusal.value.final, api.containers) == (False, [])


@pytest.mark.parametrize(
    ("wanted", "told"), [("auto", "container"), ("basic", "basic"), ("none", "none")], ids=["auto", "basic", "none"]
)
def test_the_builder_is_told_its_isolation(wanted: str, told: str) -> None:
    assert choose_isolation(config.Config(builder=config.Builder(isolation=wanted))) == told


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        (config.Config(builder=config.Builder(isolation="strong")), "set builder.isolation to auto, basic or none"),
        (
            config.Config(builder=config.Builder(isolation="none"), api=config.Api(host=["0.0.0.0"])),
            "listens beyond this machine",
        ),
        (config.Config(docker=config.Docker(host="/var/run/docker.sock")), "docker.host: expected an address such as"),
    ],
    ids=["strong", "none beyond loopback", "address"],
)
async def test_what_cannot_be_ends_the_start(configuration: config.Config, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        await _open(configuration)


async def _open(configuration: config.Config) -> None:
    async with open_docker(configuration):
        pass


def test_an_engine_on_the_network_has_one_name_for_all_and_a_socket_one_a_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket, remote = "unix:///var/run/docker.sock", "tcp://10.0.0.5:2376"
    here = [engine_name(socket), engine_name(remote)]
    monkeypatch.setattr(docker, "machine_id", lambda: "another machine")
    assert engine_name(remote) == here[1]
    assert engine_name(socket) != here[0]
    assert here[0].startswith("docker:")


@pytest.mark.parametrize(
    ("state", "said", "words"),
    [
        (
            {"OOMKilled": True, "ExitCode": 137},
            "",
            "The container ran out of its memory, 512 MiB (builder.memory_bytes).",
        ),
        ({"ExitCode": 137}, "\n", "The container was killed."),
        ({"ExitCode": 4}, "No answer.\n", "The builder ended with exit code 4. No answer."),
        (
            {"ExitCode": 127, "Error": "no such file"},
            "",
            "The builder ended with exit code 127. Docker says: no such file.",
        ),
        ({"ExitCode": 0}, "", ""),
    ],
    ids=["memory", "killed", "exit code", "not started", "well"],
)
def test_last_words_say_why(state: dict[str, object], said: str, words: str) -> None:
    assert last_words(state, said, 512 * 1024**2) == words


def test_a_bridge_has_a_name_that_an_interface_can_have() -> None:
    assert len(bridge_name("a-network-with-a-very-long-name")) <= 15
    assert bridge_name("one") != bridge_name("two")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://192.0.2.7:9001", "192.0.2.7:9001"),
        ("https://builders.example.com", "builders.example.com:443"),
        ("http://[2001:db8::1]:9001", "[2001:db8::1]:9001"),
    ],
)
def test_the_place_of_the_api_has_a_port(url: str, place: str) -> None:
    assert api_place(url) == place
