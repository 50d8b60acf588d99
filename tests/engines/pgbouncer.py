"""A real pgbouncer before a test's PostgreSQL: transaction mode, a password, TLS where a test wants it.

The program comes from scripts/engines/pgbouncer.sh. TEST_PGBOUNCER_URL names a database behind a running one, which the
tests may empty.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engines.certificates import Certificates
from tests.engines.child import Child, listens
from tests.engines.ports import free_ports
from tests.engines.programs import PROGRAMS, fail_without

PACKAGES = PROGRAMS / "pgbouncer"
PASSWORD = "keep-me-out-of-logs"
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


class PgBouncer(Child):
    """Stands before the server whose socket is in `socket_folder`. May be killed and started again."""

    def __init__(self, home: Path, socket_folder: Path, mode: str, certificates: Certificates | None) -> None:
        super().__init__("pgbouncer", home / "output", home / "log")
        self._home = home
        self._socket_folder = socket_folder
        self._user = "buildspace"
        self._mode = mode
        self._certificates = certificates
        (self.port,) = free_ports(1)

    def url_of(self, database: str, host: str = "127.0.0.1", **parameters: str) -> str:
        """`parameters` such as sslmode."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return f"postgresql://{self._user}:{PASSWORD}@{host}:{self.port}/{database}{query}"

    def start(self) -> None:
        with self._opened_socket_folder():
            self._write_files()
            super().start()

    def command(self) -> list[str | Path]:
        return [self._home / "pgbouncer", "--quiet", self._home / "pgbouncer.ini"]

    def options(self) -> dict[str, Any]:
        return {
            "env": {"LD_LIBRARY_PATH": str(self._home), "PATH": "/usr/bin:/bin"},
            "pass_fds": [self._socket_descriptor],
            **(
                {"user": self._owner.st_uid, "group": self._owner.st_gid, "extra_groups": []}
                if os.getuid() == 0
                else {}
            ),
        }

    def answers(self) -> bool:
        return listens(self.port)

    @contextlib.contextmanager
    def _opened_socket_folder(self) -> Iterator[None]:
        """pgbouncer reaches it by the descriptor that it inherits: the folder itself is closed to its user."""
        self._owner = self._socket_folder.stat()
        self._socket_descriptor = os.open(self._socket_folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield
        finally:
            os.close(self._socket_descriptor)

    def _write_files(self) -> None:
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
                socket=self._socket_descriptor,
                user=self._user,
                port=self.port,
                home=self._home,
                mode=self._mode,
                tls=tls,
            )
        )
        for path in (self._home, *self._home.iterdir()):
            os.chown(path, self._owner.st_uid, -1)


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
