"""OpenSSH's server as a child, which serves the git repositories of one folder to one key."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.engines.child import Child, listens
from tests.engines.ports import free_ports
from tests.engines.programs import fail_without

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AcceptEnv GIT_PROTOCOL
"""


PLACES = "/usr/sbin:/sbin:/usr/bin"


class Sshd(Child):
    """`host_key` and `key` are public; `private_key` belongs to `key`."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sshd", folder / "output")
        folder.mkdir(mode=0o700)
        (self.port,) = free_ports(1)
        self._folder = folder
        self.host_key = make_key(folder / "host")
        make_key(folder / "user")
        self.private_key = (folder / "user").read_text()
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        (folder / "config").write_text(CONFIGURATION.format(port=self.port, folder=folder))

    def url(self, repository: Path) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository}"

    def command(self) -> Sequence[str | Path]:
        # It starts itself again for each connection, and wants a whole path.
        return [shutil.which("sshd", path=PLACES) or "sshd", "-D", "-e", "-f", self._folder / "config"]

    def answers(self) -> bool:
        return listens(self.port)


def make_key(path: Path) -> str:
    """Returns the type and the key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


@contextlib.contextmanager
def sshd(folder: Path) -> Iterator[Sshd]:
    if shutil.which("sshd", path=PLACES) is None:
        fail_without("These tests need sshd: apt-get install openssh-server.")
    Path("/run/sshd").mkdir(exist_ok=True)
    server = Sshd(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
