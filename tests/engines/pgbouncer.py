"""A real pgbouncer before a test's PostgreSQL: transaction mode, a password, TLS where a test wants it.

The program comes from scripts/engines/pgbouncer.sh. TEST_PGBOUNCER_URL names a database behind a running one, which the
tests may empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from tests.engines.certificates import Certificates
from tests.engines.ports import free_ports
from tests.engines.programs import PROGRAMS, fail_without

PACKAGES = PROGRAMS / "pgbouncer"
PASSWORD = "keep-me-out-of-logs"
START_SECONDS = 15.0
CONFIGURATION = """\
[databases]
* = host=/proc/self/fd/{socket} port=5432 user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {home}/users
logfile = {home}/log
pool_mode = {mode}
default_pool_size = 20
ignore_startup_parameters =
{tls}
"""
TLS = """\
client_tls_sslmode = require
client_tls_cert_file = {home}/server.crt
client_tls_key_file = {home}/server.key
"""


class PgBouncer:
    """Stands before the server whose socket is in `socket_folder`. May be killed and started again."""

    def __init__(self, home: Path, socket_folder: Path, mode: str, certificates: Certificates | None) -> None:
        self._home = home
        self._socket_folder = socket_folder
        self._user = "buildspace"
        self._mode = mode
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        (self.port,) = free_ports(1)

    def url_of(self, database: str, host: str = "127.0.0.1", **parameters: str) -> str:
        """`parameters` such as sslmode."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return f"postgresql://{self._user}:{PASSWORD}@{host}:{self.port}/{database}{query}"

    def start(self) -> None:
        """Returns once it answers."""
        owner = self._socket_folder.stat()
        folder = os.open(self._socket_folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._write_files(folder, owner.st_uid)
            self._process = subprocess.Popen(
                [self._home / "pgbouncer", "--quiet", self._home / "pgbouncer.ini"],
                env={"LD_LIBRARY_PATH": str(self._home), "PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[folder],
                **({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}),
            )
        finally:
            os.close(folder)
        self._wait_until_it_listens()

    def stop(self) -> None:
        self._end("terminate")

    def kill(self) -> None:
        self._end("kill")

    def log(self) -> str:
        return (self._home / "log").read_text(errors="replace")

    def _end(self, how: str) -> None:
        if self._process is not None and self._process.poll() is None:
            getattr(self._process, how)()
            self._process.wait(START_SECONDS)

    def _write_files(self, socket_folder: int, uid: int) -> None:
        """Everything in one folder that the server's own user can reach: pgbouncer does not run as root."""
        shutil.copy(PACKAGES / "usr/sbin/pgbouncer", self._home)
        for library in PACKAGES.glob("usr/lib/*/lib*.so*"):
            shutil.copy(library, self._home)
        tls = ""
        if self._certificates is not None:
            shutil.copy(self._certificates.certificate, self._home / "server.crt")
            shutil.copy(self._certificates.key, self._home / "server.key")
            tls = TLS.format(home=self._home)
        (self._home / "users").write_text(f'"{self._user}" "{PASSWORD}"\n')
        (self._home / "pgbouncer.ini").write_text(
            CONFIGURATION.format(
                socket=socket_folder, user=self._user, port=self.port, home=self._home, mode=self._mode, tls=tls
            )
        )
        for path in (self._home, *self._home.iterdir()):
            os.chown(path, uid, -1)

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.port):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"pgbouncer does not start:\n{self.log()[-2000:]}")
            time.sleep(0.02)


@contextlib.contextmanager
def running_pgbouncer(
    url: str, *, mode: str = "transaction", certificates: Certificates | None = None
) -> Iterator[PgBouncer]:
    """A pooler before the server of this URL. Fails, or skips with ALLOW_MISSING_ENGINES=1, where there is none."""
    if not (PACKAGES / "usr/sbin/pgbouncer").is_file():
        fail_without("There is no pgbouncer here. `sh scripts/engines/pgbouncer.sh` fetches it.")
    socket_folder = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["host"]
    # Not below the tests' own folder: that belongs to root, and lets nobody else through.
    with tempfile.TemporaryDirectory(prefix="pgbouncer") as home:
        pooler = PgBouncer(Path(home), Path(socket_folder), mode, certificates)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
