"""compose.yaml, held against the Compose specification, the settings of the gateway, and what the docs say of it."""

from __future__ import annotations

import copy
import importlib.resources
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from gateway.config import ENVIRONMENT_NAMES, Config, load_config

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ENGINES = sorted(set(SERVICES) - {"gateway"})
REQUIRED = re.compile(r"\$\{([A-Z0-9_]+):\?([^}]+)\}")
SECRET_NAMES = ("PASSWORD", "SECRET", "DATABASE_URL")


def validate(compose: dict[str, Any]) -> None:
    """Raise ValidationError for what the specification does not know."""
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(compose)


def environment(service: str) -> dict[str, str]:
    """As the container gets it, with a secret of each name."""
    return {
        name: REQUIRED.sub(lambda found: f"{found[1].lower()}-of-the-test", str(value))
        for name, value in SERVICES[service]["environment"].items()
    }


@pytest.fixture
def config() -> Config:
    """What the gateway makes of its environment there."""
    return load_config(ROOT / "config.toml", environment("gateway"))


def test_compose_follows_the_specification() -> None:
    validate(COMPOSE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["gateway"].update(enviroment={}),
        lambda services: services["gateway"].update(ports=8000),
        lambda services: services["postgres"]["healthcheck"].update(test=5),
        lambda services: services["gateway"]["depends_on"].update(kafka={"condition": "healthy", "x": 1}),
    ],
    ids=["unknown key", "ports", "health check", "depends_on"],
)
def test_what_the_specification_does_not_know_is_refused(spoil: Callable[[Any], None]) -> None:
    compose = copy.deepcopy(COMPOSE)
    spoil(compose["services"])
    with pytest.raises(jsonschema.ValidationError):
        validate(compose)


@pytest.mark.parametrize("name", SERVICES["gateway"]["environment"])
def test_the_gateway_knows_each_variable(name: str, config: Config) -> None:
    """An unknown BUILDSPACE_ name ends in ConfigError; any other is one of the names that work as they are."""
    assert name.startswith("BUILDSPACE_") or name in ENVIRONMENT_NAMES


def test_the_gateway_uses_every_engine(config: Config) -> None:
    postgres = urlsplit(config.postgres.url.reveal())
    store = urlsplit(config.s3.endpoint)
    hosts = {postgres.hostname, config.kafka.brokers[0].partition(":")[0], config.clickhouse.host, store.hostname}
    assert hosts == set(ENGINES)


def test_the_gateway_says_what_postgresql_was_told(config: Config) -> None:
    told = environment("postgres")
    url = urlsplit(config.postgres.url.reveal())
    assert (url.username, url.password, url.path, url.port) == (
        told["POSTGRES_USER"],
        told["POSTGRES_PASSWORD"],
        f"/{told['POSTGRES_DB']}",
        5432,
    )


def test_the_gateway_says_what_clickhouse_was_told(config: Config) -> None:
    told = environment("clickhouse")
    settings = config.clickhouse
    assert (settings.user, settings.password.reveal(), settings.database) == (
        told["CLICKHOUSE_USER"],
        told["CLICKHOUSE_PASSWORD"],
        told["CLICKHOUSE_DB"],
    )
    assert settings.native_port == 9000, "The image listens there for the native protocol."


def test_the_gateway_says_what_the_store_was_told(config: Config) -> None:
    told = environment("s3")
    settings = config.s3
    assert (settings.access_key_id, settings.secret_access_key.reveal(), settings.region) == (
        told["ROOT_ACCESS_KEY"],
        told["ROOT_SECRET_KEY"],
        told["VGW_REGION"],
    )
    assert f":{urlsplit(settings.endpoint).port}" == told["VGW_PORT"]


def test_the_bucket_is_a_folder_that_the_store_has_from_the_first_start(config: Config) -> None:
    (mount,) = SERVICES["s3"]["volumes"]
    assert mount.partition(":")[2] == f"{environment('s3')['VGW_BACKEND_ARGS']}/{config.s3.bucket}"


def test_brokers_announce_the_address_that_the_gateway_calls(config: Config) -> None:
    told = environment("kafka")
    (broker,) = config.kafka.brokers
    assert told["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{broker}"
    assert f"PLAINTEXT://:{broker.partition(':')[2]}" in told["KAFKA_LISTENERS"].split(",")
    assert config.kafka.security_protocol == "PLAINTEXT"


def test_kafka_runs_without_anything_beside_it() -> None:
    told = environment("kafka")
    assert set(told["KAFKA_PROCESS_ROLES"].split(",")) == {"broker", "controller"}
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{21}", told["CLUSTER_ID"])


def test_topics_are_those_of_the_configuration_and_made_by_the_gateway(config: Config) -> None:
    shipped = load_config(ROOT / "config.toml", {})
    kafka = config.kafka
    assert (kafka.topic, kafka.group) == (shipped.kafka.topic, shipped.kafka.group)
    assert kafka.replication_factor <= 1, "There is one broker."
    assert environment("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert f"`{kafka.topic}`" in (ROOT / "docs" / "docker.md").read_text()


def test_ports_are_those_of_the_configuration_and_published_on_this_machine_only(config: Config) -> None:
    assert SERVICES["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in (config.sites.port, config.api.port)]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_reached_by_the_gateway_alone(engine: str) -> None:
    assert "ports" not in SERVICES[engine]
    assert SERVICES[engine]["networks"] == ["engines"]
    assert COMPOSE["networks"]["engines"]["internal"] is True


@pytest.mark.parametrize("engine", ENGINES)
def test_the_gateway_starts_after_an_engine_that_is_checked(engine: str) -> None:
    assert SERVICES[engine]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES["gateway"]["depends_on"][engine] == {"condition": "service_healthy"}


def test_the_gateways_image_checks_itself() -> None:
    assert "\nHEALTHCHECK " in (ROOT / "Dockerfile").read_text()


def test_the_gateway_is_held() -> None:
    gateway = SERVICES["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in gateway


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_an_image_is_pinned_and_is_the_one_that_the_docs_name(service: str) -> None:
    image = SERVICES[service]["image"]
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image
    assert f"| `{service}` | `{image}` |" in (ROOT / "docs" / "docker.md").read_text()


def test_the_gateways_image_has_the_version_of_the_code() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert SERVICES["gateway"]["image"] == f"buildspace:{version}"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_comes_back_and_keeps_what_it_has(service: str) -> None:
    assert SERVICES[service]["restart"] == "unless-stopped"
    names = {mount.partition(":")[0] for mount in SERVICES[service]["volumes"]}
    assert names == {service}
    assert service in COMPOSE["volumes"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_secret_stands_in_the_file(service: str) -> None:
    values = {
        name: value
        for name, value in SERVICES[service]["environment"].items()
        if any(word in name for word in SECRET_NAMES)
    }
    assert [name for name, value in values.items() if not REQUIRED.search(str(value))] == []


def test_a_missing_secret_is_asked_for_in_a_sentence_and_the_docs_make_each() -> None:
    asked = REQUIRED.findall((ROOT / "compose.yaml").read_text())
    assert {sentence for _, sentence in asked} == {"docs/docker.md says how to make the file .env"}
    (made,) = re.findall(r"for name in ([A-Z0-9_ ]+);", (ROOT / "docs" / "docker.md").read_text())
    assert set(made.split()) == {name for name, _ in asked}


@pytest.mark.parametrize("page", ["README.md", "docs/docker.md"])
def test_the_command_that_is_shown_is_the_one_of_the_image(page: str) -> None:
    (said,) = re.findall(r"^#   (docker run .*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert f"\n{said}\n" in (ROOT / page).read_text()
