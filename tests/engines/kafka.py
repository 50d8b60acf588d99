"""A real Apache Kafka for tests: one broker with plain, SASL and TLS listeners. It may be killed and started again.

The jars come from scripts/engines/kafka.sh. TEST_KAFKA_BROKERS names a running cluster for the tests that neither log
in nor take the broker away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest

from tests.engines.certificates import make_certificates
from tests.engines.child import Child, listens
from tests.engines.ports import free_ports
from tests.engines.programs import PROGRAMS, fail_without

VERSION = "4.4.0"
LIBS = PROGRAMS / f"kafka-{VERSION}" / "libs"
CLASSES = PROGRAMS / f"kafka-{VERSION}" / "classes.jsa"
"""The broker's classes as the JVM maps them, left by the first broker of this machine: a start then costs 3 s of CPU in
place of 6. A JVM that cannot use the file ignores it.
"""
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
FORMAT_SECONDS = 60.0
USER, PASSWORD = "alice", "alice-pw"
LIMITED_USER, LIMITED_PASSWORD = "limited", "limited-pw"
"""Known to all mechanisms. The first may do anything, the second nothing that a test does not permit."""

KINDS = {"topic": 2, "group": 3}
OPERATIONS = {"read": 3, "write": 4, "describe": 8}
LITERAL, ALLOW = 3, 3

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASLP://127.0.0.1:{sasl},SASLS://127.0.0.1:{sasl_tls},\
TLS://127.0.0.1:{tls},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASLP://127.0.0.1:{sasl},SASLS://localhost:{sasl_tls},\
TLS://localhost:{tls}
listener.security.protocol.map=\
CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASLP:SASL_PLAINTEXT,SASLS:SASL_SSL,TLS:SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.saslp.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.sasls.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.saslp.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasls.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.saslp.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/tls/ca.crt
ssl.client.auth=none
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{super_user}
log.dirs={folder}/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
"""


class KafkaBroker(Child):
    """One broker that is its own controller. What it has acknowledged survives `kill`.

    Who does not log in may do anything, as USER.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("Kafka", folder / "kafka.log")
        self._folder = folder
        self._classes = CLASSES.with_suffix(f".{os.getpid()}")
        plain, sasl, sasl_tls, tls, controller = free_ports(5)
        self._port = plain
        self.brokers = f"127.0.0.1:{plain}"
        self.sasl = f"127.0.0.1:{sasl}"
        self.sasl_tls = f"localhost:{sasl_tls}"
        self.tls = f"localhost:{tls}"
        made = make_certificates(folder / "tls", "DNS:localhost,IP:127.0.0.1")
        self.ca_file = made.ca_file
        (folder / "server.pem").write_text(made.key.read_text() + made.certificate.read_text())
        (folder / "kafka.properties").write_text(
            PROPERTIES.format(
                plain=plain,
                sasl=sasl,
                sasl_tls=sasl_tls,
                tls=tls,
                controller=controller,
                folder=folder,
                users=f'user_{USER}="{PASSWORD}" user_{LIMITED_USER}="{LIMITED_PASSWORD}"',
                super_user=USER,
            )
        )
        accounts = ((USER, PASSWORD), (LIMITED_USER, LIMITED_PASSWORD))
        scram = [f"SCRAM-SHA-{bits}=[name={name},password={word}]" for name, word in accounts for bits in (256, 512)]
        users = [word for each in scram for word in ("--add-scram", each)]
        _run([*_java(), "kafka.tools.StorageTool", "format", "--standalone", "-t", "BuildspaceTestCluster1", *users,
              "-c", str(folder / "kafka.properties")])  # fmt: skip

    def command(self) -> list[str]:
        archive = () if CLASSES.exists() else (f"-XX:ArchiveClassesAtExit={self._classes}",)
        return [*_java("-Xmx256m", *archive), "kafka.Kafka", str(self._folder / "kafka.properties")]

    def options(self) -> dict[str, Any]:
        return {"cwd": self._folder}

    def answers(self) -> bool:
        return listens(self._port) and asyncio.run(_answers(self.brokers))

    def leave_classes(self) -> None:
        """For the brokers of later runs. Ends this one: the JVM writes the file when it exits."""
        self.stop()
        if self.exit_code != -signal.SIGKILL and self._classes.exists():
            self._classes.replace(CLASSES)  # at once: another JVM may use the file that was there

    async def permit(self, kind: str, name: str, *operations: str) -> None:
        """Let LIMITED_USER do this with a topic or a group, from now on."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            for operation in operations:
                rule = (KINDS[kind], name, LITERAL, f"User:{LIMITED_USER}", "*", OPERATIONS[operation], ALLOW)
                await admin._send_to_controller(CreateAclsRequest(*rule))
        finally:
            await admin.close()


@contextlib.contextmanager
def running_kafka(folder: Path) -> Iterator[KafkaBroker]:
    """A broker below this folder. Fails, or skips with ALLOW_MISSING_ENGINES=1, where there is no Kafka."""
    if not LIBS.is_dir() or shutil.which("java") is None:
        fail_without("There is no Apache Kafka here. `sh scripts/engines/kafka.sh` installs it.")
    broker = KafkaBroker(folder)
    try:
        broker.start()
        yield broker
        if not CLASSES.exists():
            broker.leave_classes()
    finally:
        broker.kill()


def named_brokers() -> str:
    """The running cluster that the environment names, or nothing."""
    return os.environ.get("TEST_KAFKA_BROKERS", "")


def _java(*more: str) -> list[str]:
    shared = (f"-XX:SharedArchiveFile={CLASSES}",) if CLASSES.exists() else ()
    return ["java", *QUICK, *shared, *more, "-cp", f"{LIBS}/*"]


async def _answers(brokers: str) -> bool:
    client = AIOKafkaAdminClient(bootstrap_servers=brokers, request_timeout_ms=2000)
    try:
        async with asyncio.timeout(5):
            await client.start()
            return bool((await client.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await client.close()


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=FORMAT_SECONDS, check=False)
    assert done.returncode == 0, f"{argv[0]} failed: {done.stdout[-1500:]} {done.stderr[-1500:]}"
