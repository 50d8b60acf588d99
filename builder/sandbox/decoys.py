"""The targets of the attacks: temporary listeners, a secret, a sleeping process. Reports which ones were reached."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # noqa: S108 - what every account may write to


@dataclasses.dataclass
class Decoys:
    """`targets` is the argument of the attacks."""

    targets: dict[str, Any]
    listeners: dict[str, socket.socket]
    sleeper: subprocess.Popen[bytes]

    def reached(self) -> list[str]:
        """The names of the targets that noticed an attack."""
        heard = [name for name, listener in self.listeners.items() if _heard(listener)]
        left = [path for folder in SHARED_FOLDERS if (path := Path(folder, self.targets["marker"])).exists()]
        for path in left:
            path.unlink()
        return [*heard, *(["left_file"] if left else []), *(["signals"] if self.sleeper.poll() is not None else [])]


@contextlib.contextmanager
def set_up_decoys(folder: Path) -> Iterator[Decoys]:
    """In `folder`, which is not the work folder."""
    name = str(secrets.randbelow(10**15))
    secret = folder / "secret"
    secret.write_text(name)
    secret.chmod(0o600)
    with contextlib.ExitStack() as stack:
        listeners = {
            "loopback": stack.enter_context(_listener(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))),
            "udp": stack.enter_context(_listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))),
            "unix_socket": stack.enter_context(_listener(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket"))),
            "abstract_socket": stack.enter_context(_listener(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{name}")),
            "datagram_by_socket_pair": stack.enter_context(
                _listener(socket.AF_UNIX, socket.SOCK_DGRAM, f"\0{name}-datagram")
            ),
        }
        sleeper = stack.enter_context(_sleeper(name))
        targets = {
            "tcp": listeners["loopback"].getsockname()[1],
            "udp": listeners["udp"].getsockname()[1],
            "free": _free_port(),
            "unix": str(folder / "socket"),
            "abstract": name,
            "datagram": f"{name}-datagram",
            "secret": str(secret),
            "shared": SHARED_FOLDERS,
            "marker": name,
            "pid": sleeper.pid,
            "network": os.stat("/proc/self/ns/net").st_ino,
        }
        yield Decoys(targets, listeners, sleeper)


@contextlib.contextmanager
def _sleeper(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the platform's account, whose arguments and environment contain the name."""
    process = subprocess.Popen(["sleep", f"60.{name}"], env={"BUILDSPACE_DECOY": name})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _listener(family: int, kind: int, address: Any) -> socket.socket:
    opened = socket.socket(family, kind)
    opened.setblocking(False)
    opened.bind(address)
    if kind == socket.SOCK_STREAM:
        opened.listen()
    if isinstance(address, str) and not address.startswith("\0"):
        os.chmod(address, 0o777)  # noqa: S103 - the sandbox must hold, not the mode
    return opened


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _heard(listener: socket.socket) -> bool:
    try:
        if listener.type == socket.SOCK_STREAM:
            listener.accept()[0].close()
        else:
            listener.recv(16)
    except BlockingIOError:
        return False
    return True
