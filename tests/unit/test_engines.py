"""An engine is used once its address is set, and what contradicts itself is refused with a sentence."""

import inspect

import pytest

from gateway import duties
from gateway.background import kept_running
from gateway.config import load_config
from gateway.control import dispatcher, leases, log_ends
from gateway.engines.opening import in_use, place_of_objects
from gateway.errors import ConfigError

ECS = {
    "CLUSTER_ARN": "builds",
    "TASK_ARN": "builder:3",
    "BUILDSPACE_ECS_SUBNETS": "subnet-1",
    "BUILDSPACE_ECS_SECURITY_GROUPS": "sg-1",
}
AT_WORK = {
    "DATABASE_URL": "postgresql://blog:pg-secret@db.example.com/buildspace",
    "KAFKA_BROKERS": "one.example.com:9092,two.example.com:9092",
    "BUILDSPACE_KAFKA_PASSWORD": "kafka-secret",
    "CLICKHOUSE_HOST": "logs.example.com",
    "CLICKHOUSE_PASSWORD": "clickhouse-secret",
    "S3_BUCKET": "sites",
    "ACCESS_KEY_ID": "key",
    "SECRET_ACCESS_KEY_ID": "s3-secret",
    "BUILDSPACE_BUILDERS_URL": "http://10.0.0.5:9001",
    **ECS,
}


def test_without_an_address_every_engine_is_embedded():
    assert in_use(load_config(None, {})) == []


def test_the_names_that_people_know_switch_the_engines_on():
    assert in_use(load_config(None, AT_WORK)) == [
        "PostgreSQL at db.example.com",
        "Kafka at one.example.com:9092, two.example.com:9092",
        "ClickHouse at logs.example.com",
        "S3 bucket sites",
        "ECS cluster builds",
    ]


def test_a_database_behind_a_socket_is_named_by_its_folder():
    url = "postgresql://blog:pg-secret@/buildspace?host=/run/postgresql"
    assert in_use(load_config(None, {"DATABASE_URL": url})) == ["PostgreSQL at /run/postgresql"]


def test_no_secret_of_an_engine_shows_in_words_or_in_the_configuration():
    config = load_config(None, AT_WORK)
    assert "-secret" not in repr(config) + repr(in_use(config))


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CLUSTER_ARN": "builds"}, "TASK_ARN"),
        ({**ECS, "BUILDSPACE_ECS_SUBNETS": ""}, "ecs.subnets"),
        ({**ECS, "BUILDSPACE_ECS_SECURITY_GROUPS": ""}, "ecs.security_groups"),
        (ECS, "builders.url"),
        ({"BUILDSPACE_DOCKER_IMAGE": "builder"}, "builders.url"),
        ({**ECS, "BUILDSPACE_DOCKER_IMAGE": "builder"}, "docker.image"),
        ({"ACCESS_KEY_ID": "key"}, "s3.secret_access_key"),
        ({"BUILDSPACE_ECS_SECRET_ACCESS_KEY": "secret"}, "ecs.access_key_id"),
        ({"BUILDSPACE_S3_ADDRESSING": "dns"}, "s3.addressing"),
        ({"KAFKA_BROKERS": "kafka:9092,http://kafka:9092"}, "kafka.example.com:9092, not 'http://"),
        ({"BUILDSPACE_KAFKA_SECURITY_PROTOCOL": "TLS"}, "kafka.security_protocol"),
        ({"BUILDSPACE_KAFKA_SASL_MECHANISM": "OAUTH"}, "kafka.sasl_mechanism"),
        ({"BUILDSPACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "kafka.username"),
        ({"BUILDSPACE_KAFKA_ACCEPT_UNSIGNED": "yes"}, "true or false"),
        ({"BUILDSPACE_KAFKA_PARTITIONS": "0"}, "kafka.partitions"),
        ({"BUILDSPACE_DOCKER_CPUS": "0"}, "docker.cpus"),
        ({"BUILDSPACE_POSTGRES_POOL_SIZE": "3"}, "postgres.pool_size: at least 4"),
        ({"BUILDSPACE_DOCKER_HOST": "tcp://user:word@10.0.0.5:2376"}, "docker.host"),
        ({"KAFKA_TOPIC": "bad topic"}, "kafka.topic (KAFKA_TOPIC)"),
        (
            {"BUILDSPACE_BUILDERS_URL": "10.0.0.5:9001"},
            "builders.url: expected an address such as http://10.0.0.5:9001",
        ),
        ({"BUILDSPACE_ECS_ENDPOINT": "localhost:4566"}, "ecs.endpoint"),
        ({"BUILDSPACE_KAFKA_BUILDER_USERNAME": "builders"}, "kafka.builder_password"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_with_the_name_to_mend(environment, words):
    with pytest.raises(ConfigError) as refused:
        load_config(None, environment)
    assert words in refused.value.sentence
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(
    "endpoint", ["https://minio.example.com", "https://MinIO.example.com:443/", "HTTPS://minio.example.com:443"]
)
def test_one_object_store_has_one_name_however_it_is_written(endpoint):
    config = load_config(None, {"S3_BUCKET": "sites", "BUILDSPACE_S3_ENDPOINT": endpoint})
    assert place_of_objects(config) == "bucket sites at https://minio.example.com"


def test_another_port_is_another_object_store():
    config = load_config(None, {"S3_BUCKET": "sites", "BUILDSPACE_S3_ENDPOINT": "http://minio:9000/s3/"})
    assert place_of_objects(config) == "bucket sites at http://minio:9000/s3"


def test_an_engine_that_is_back_is_tried_within_five_seconds():
    """However long it was away. How soon it is used again is measured by bench.recovery."""
    after_a_failure = inspect.signature(kept_running).parameters["last_delay_seconds"].default
    looks = dispatcher.POLL_SECONDS, leases.LOOK_SECONDS, log_ends.LOOK_SECONDS
    assert max(after_a_failure, duties.WATCH_SECONDS, *looks) <= 5


@pytest.mark.parametrize(
    "name",
    ["KAFKA_BROKERS", "BUILDSPACE_SITES_URL", "BUILDSPACE_DOCKER_HOST", "BUILDSPACE_BUILDER_ALLOW_PRIVATE_HOSTS"],
)
def test_a_password_where_none_belongs_is_not_shown(name):
    with pytest.raises(ConfigError) as refused:
        load_config(None, {name: "http://user:pass-word@{slug}.example.com"})
    assert "pass-word" not in refused.value.sentence
