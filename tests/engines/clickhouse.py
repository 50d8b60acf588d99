"""A real ClickHouse for tests: Debian's server as a child, with a plain and a TLS port. It may be killed and started
again.

The programs come from scripts/engines/clickhouse.sh. TEST_CLICKHOUSE_HOST names a running server (its user `default`,
without a password, on port 9000) for the tests that neither log in nor take the server away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.config import Clickhouse, Secret
from tests.engines.certificates import make_certificates
from tests.engines.child import Child, listens
from tests.engines.ports import free_ports
from tests.engines.programs import PROGRAMS, fail_without

FOLDER = PROGRAMS / "clickhouse"
SERVER = FOLDER / "usr" / "sbin" / "clickhouse-server"
LIBRARIES = ":".join(str(FOLDER / place / "x86_64-linux-gnu") for place in ("usr/lib", "lib"))
USER, PASSWORD = "buildspace", "pass'word\\"
READER = "reader"
"""Without a password; may read and nothing else."""

CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http}</http_port>
  <tcp_port>{tcp}</tcp_port>
  <tcp_port_secure>{tls}</tcp_port_secure>
  <openSSL><server>
    <certificateFile>{folder}/tls/server.crt</certificateFile>
    <privateKeyFile>{folder}/tls/server.key</privateKeyFile>
    <caConfig>{folder}/tls/ca.crt</caConfig>
    <verificationMode>none</verificationMode><loadDefaultCAFile>false</loadDefaultCAFile>
    <disableProtocols>sslv2,sslv3,tlsv1,tlsv1_1</disableProtocols>
  </server></openSSL>
  <max_connections>64</max_connections>
  <max_concurrent_queries>32</max_concurrent_queries>
  <uncompressed_cache_size>8388608</uncompressed_cache_size>
  <mark_cache_size>16777216</mark_cache_size>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/tmp/</tmp_path>
  <users_config>{folder}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <timezone>America/New_York</timezone>
</yandex>
"""
"""The time zone is not ours on purpose: months are those of UTC all the same."""

USERS = """<?xml version="1.0"?>
<yandex>
  <profiles>
    <default><max_memory_usage>1000000000</max_memory_usage><max_threads>2</max_threads></default>
    <reader><readonly>2</readonly></reader>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default><password></password><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></default>
    <{user}><password_sha256_hex>{sha256}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota></{user}>
    <{reader}><password></password><networks><ip>127.0.0.1</ip></networks>
      <profile>reader</profile><quota>default</quota></{reader}>
  </users>
</yandex>
"""


class ClickhouseServer(Child):
    """What it has acknowledged survives `kill`. `settings` reach it by user `default`, `by_tls` by USER."""

    def __init__(self, folder: Path) -> None:
        super().__init__("ClickHouse", folder / "output.log", folder / "error.log")
        self._folder = folder
        self.http_port, self.port, self.tls_port = free_ports(3)
        self.settings = Clickhouse(host="127.0.0.1", port=self.port)
        certificates = make_certificates(folder / "tls")
        self.by_tls = Clickhouse(
            host="localhost",
            port=self.tls_port,
            user=USER,
            password=Secret(PASSWORD),
            is_tls=True,
            ca_file=str(certificates.ca_file),
        )
        (folder / "config.xml").write_text(
            CONFIG.format(folder=folder, http=self.http_port, tcp=self.port, tls=self.tls_port)
        )
        sha256 = hashlib.sha256(PASSWORD.encode()).hexdigest()
        (folder / "users.xml").write_text(USERS.format(user=USER, sha256=sha256, reader=READER))

    def command(self) -> list[str | Path]:
        return [SERVER, f"--config-file={self._folder / 'config.xml'}"]

    def options(self) -> dict[str, Any]:
        return {"cwd": self._folder, "env": {"LD_LIBRARY_PATH": LIBRARIES, "PATH": "/usr/bin:/bin"}}

    def answers(self) -> bool:
        return listens(self.port) and listens(self.tls_port)

    def freeze(self) -> None:
        """It keeps its connections and says nothing, as behind a network that swallows everything."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


@contextlib.contextmanager
def running_clickhouse(folder: Path) -> Iterator[ClickhouseServer]:
    """A server below this folder. Fails, or skips with ALLOW_MISSING_ENGINES=1, where there is no ClickHouse."""
    if not SERVER.exists():
        fail_without("There is no ClickHouse here. `sh scripts/engines/clickhouse.sh` fetches it.")
    folder.mkdir(parents=True, exist_ok=True)
    server = ClickhouseServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def reachable_clickhouse(folder: Path) -> Iterator[Clickhouse]:
    """The settings that reach TEST_CLICKHOUSE_HOST, else a server of our own."""
    if named := os.environ.get("TEST_CLICKHOUSE_HOST"):
        yield Clickhouse(host=named)
        return
    with running_clickhouse(folder) as server:
        yield server.settings


def in_database(settings: Clickhouse, name: str) -> Clickhouse:
    return dataclasses.replace(settings, database=name)
