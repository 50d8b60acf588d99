"""strong: namespaces by bubblewrap, and a network by pasta that reaches the public network but not this machine."""

from __future__ import annotations

import base64
import dataclasses
import os
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from builder.sandbox import Limits
from builder.sandbox.addresses import Reach, find_reach
from builder.sandbox.inside.plan import Plan
from builder.sandbox.ownership import account_files
from builder.sandbox.seccomp import Openings, compile_filter
from builder.sandbox.supervised import SYSTEM_PATH, SupervisedSandbox

HOME = "/home/build"
"""The path of the work folder inside. It is always the same, so that output does not depend on the real path."""
TMP_BYTES = 256 * 1024**2
SHARED_MEMORY_BYTES = 64 * 1024**2
USER = 1000
HIDDEN = ("/proc/keys", "/proc/key-users")
"""They list the keys of the account, in every namespace."""

OPENINGS = Openings(unix_sockets=True, ports=True, watches=True)
NETWORK_SCRIPT = Path(__file__).with_name("network.sh")
SETTINGS = (
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime"),
    *("/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/mime.types", "/nix/store"),
)
SYSTEM_FOLDERS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
ACCOUNT_FILES = account_files(USER, HOME)


class StrongSandbox(SupervisedSandbox):
    name = "strong"

    def path(self, host_path: Path) -> str:
        return str(PurePath(HOME) / host_path.absolute().relative_to(self.work))

    def _plan(
        self, argv: list[str], environment: dict[str, str], directory: PurePath, limits: Limits, read_only: list[Path]
    ) -> Plan:
        reach = find_reach(self.allow_private_hosts)
        plan = super()._plan(argv, environment, directory, limits, read_only)
        folder = os.path.join(tempfile.gettempdir(), f"buildspace-{secrets.token_hex(8)}")
        options = [*self._view(read_only), *_environment(environment), "--chdir", str(PurePath(HOME) / directory)]
        files = {
            "arguments": os.fsencode("\0".join(options) + "\0"),
            "passwd": ACCOUNT_FILES["/etc/passwd"].encode(),
            "group": ACCOUNT_FILES["/etc/group"].encode(),
            "resolv.conf": reach.resolv_conf.encode(),
            "seccomp": compile_filter(OPENINGS),
        }
        return dataclasses.replace(
            plan,
            # The kernel counts by account and namespace: set inside, the account's other processes do not count.
            argv=[*network(reach, folder), "prlimit", f"--nproc={limits.processes}:{limits.processes}", "--", *argv],
            environment={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
            directory="/",
            processes=None,
            folder=folder,
            files={name: base64.b64encode(content).decode() for name, content in files.items()},
        )

    def _view(self, read_only: Iterable[Path]) -> list[str]:
        """bwrap's options for namespaces and files. Later mounts cover earlier ones."""
        return [
            *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *("--disable-userns", "--cap-drop", "ALL", "--die-with-parent", "--new-session"),
            # bwrap loads it as its last step, because the filter forbids the steps before.
            *("--seccomp", "5"),
            *("--uid", str(USER), "--gid", str(USER), "--hostname", "build"),
            *("--ro-bind", "/usr", "/usr"),
            *(option for folder in SYSTEM_FOLDERS for option in _system_folder(folder)),
            *(option for path in SETTINGS for option in ("--ro-bind-try", path, path)),
            *("--ro-bind-data", "6", "/etc/resolv.conf", "--ro-bind-data", "7", "/etc/passwd"),
            *("--ro-bind-data", "8", "/etc/group"),
            *("--proc", "/proc", "--dev", "/dev"),
            *(option for path in HIDDEN if os.path.exists(path) for option in ("--ro-bind", "/dev/null", path)),
            # Process 1 is bwrap itself: a build with the same account could write to its memory through /proc.
            *("--tmpfs", "/proc/1", "--remount-ro", "/proc/1", "--remount-ro", "/proc"),
            *("--size", str(TMP_BYTES), "--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108 - the build's own
            *("--size", str(SHARED_MEMORY_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"),  # noqa: S108
            *(option for path in read_only for option in ("--ro-bind", str(path), str(path))),
            *("--bind", str(self.work), HOME, "--remount-ro", "/", "--remount-ro", "/dev"),
        ]


def network(reach: Reach, folder: str) -> list[str]:
    """The command that precedes bwrap's last arguments."""
    return [
        *("pasta", "--quiet", "--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"),
        *("--dns-forward", reach.name_server, "--", "unshare", "--mount", "--mount-proc"),
        *("sh", "-c", NETWORK_SCRIPT.read_text(), "network"),
        *(" ".join(reach.allowed), " ".join(reach.denied), " ".join(reach.unreachable), reach.name_server, folder),
    ]


def _system_folder(folder: str) -> list[str]:
    if os.path.islink(folder):
        return ["--symlink", os.readlink(folder), folder]
    return ["--ro-bind-try", folder, folder]


def _environment(environment: Mapping[str, str]) -> list[str]:
    """`--clearenv` keeps only PWD. Values are passed in a file, not in an argument list."""
    return ["--clearenv", *(option for name, value in environment.items() for option in ("--setenv", name, value))]
