"""basic: Landlock and seccomp. Needs only the kernel and libseccomp; works inside containers.

Protects the platform's environment, memory, processes, files, loopback TCP, and Unix sockets. A broker
(inside/broker.py) gives a build ports and Unix sockets of its own; where the kernel has no user notification, these are
closed. gaps.py lists what the grade does not hold, which is more if platform and build share an account.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable
from pathlib import Path, PurePath

from builder.sandbox import Limits
from builder.sandbox.addresses import own_addresses, port_of
from builder.sandbox.inside.notifications import are_available as is_brokered
from builder.sandbox.inside.plan import Broker, Landlock, Plan
from builder.sandbox.ownership import account_files, hides_processes
from builder.sandbox.seccomp import Openings, compile_broker_filter, compile_filter
from builder.sandbox.supervised import SupervisedSandbox

READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/passwd", "/etc/group", "/etc/services", "/etc/protocols", "/etc/mime.types", "/etc/shells"),
    *("/etc/profile", "/etc/profile.d", "/etc/bash.bashrc", "/etc/bash_completion.d", "/etc/inputrc", "/etc/terminfo"),
    *("/etc/ssh/ssh_config", "/etc/ssh/ssh_config.d", "/etc/crypto-policies", "/etc/fonts", "/etc/magic"),
    *("/etc/debian_version", "/etc/lsb-release", "/etc/redhat-release", "/etc/timezone", "/etc/hostname"),
    *("/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
)
"""Landlock hides the environment and memory of outside processes in /proc, but not their command lines."""
WRITABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""Not /dev/shm, where the platform's own database has shared memory."""
NAME_SERVER_PORT = 53
PORTS = (443, NAME_SERVER_PORT)
SHELL_COMMAND = "SHELL_COMMAND"
RUN_SHELL_COMMAND = f'eval "unset {SHELL_COMMAND}; ${SHELL_COMMAND}"'


class BasicSandbox(SupervisedSandbox):
    name = "basic"

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        environment.setdefault("TMPDIR", str(self._temporary_folder))
        if argv[:2] in (["sh", "-c"], ["bash", "-c"]) and not hides_processes():
            # Others can read this process's arguments, and cannot read its environment.
            environment[SHELL_COMMAND] = argv[2]
            argv = [*argv[:2], RUN_SHELL_COMMAND]
        plan = super()._plan(argv, environment, directory, limits, read_only)
        landlock = Landlock(
            read=[*READABLE, *map(str, read_only)],
            write=[str(self.work), *WRITABLE_DEVICES],
            ports=sorted({*PORTS, *ports_of(self.allow_private_hosts)}),
        )
        return dataclasses.replace(
            plan,
            broker=self._broker(landlock.ports) if is_brokered() else None,
            hides_processes=hides_processes(),
            shown_files=account_files(self.account, str(self.work)) if self.account and hides_processes() else {},
            landlock=landlock,
            seccomp=base64.b64encode(compile_filter(self._openings())).decode(),
        )

    def _openings(self) -> Openings:
        """If the build has an account of its own, modes keep it from watching the folders of others."""
        return Openings(watches=self.account is not None, is_brokered=is_brokered())

    def _broker(self, ports: list[int]) -> Broker:
        filter_, calls = compile_broker_filter()
        return Broker(
            filter=base64.b64encode(filter_).decode(),
            calls=calls,
            work=str(self.work),
            ports=ports,
            ports_here=[NAME_SERVER_PORT, *ports_of(self.allow_private_hosts)],
            own_addresses=[*own_addresses()],
            above=str(self._above),
        )

    def _make_folders(self) -> None:
        self._temporary_folder.mkdir(exist_ok=True)
        self._above.mkdir(exist_ok=True)

    @property
    def _above(self) -> Path:
        """What the build sees when it lists a folder above its own, whose other content is not for it."""
        return self.work / "above"

    @property
    def _temporary_folder(self) -> Path:
        return self.work / "tmp"


def ports_of(hosts: Iterable[str]) -> Iterable[int]:
    return (port for port in map(port_of, hosts) if port is not None)
