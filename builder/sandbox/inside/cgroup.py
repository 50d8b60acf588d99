"""A cgroup (version 2) for each command: one limit of memory and of processes for everything that it starts.

    base/             has the controllers for the cgroups below it
      build-<pid>/    one command, named by its supervisor, which removes it

The base is the cgroup that was delegated to the gateway (by systemd's Delegate=, or in a container), after `make_room`
has moved the gateway into a leaf of it. For root it can also be `buildspace` at the top of the machine's tree.
"""

from __future__ import annotations

import contextlib
import os
import re
import time

from builder.sandbox.inside import processes
from builder.sandbox.inside.plan import Group

LEAF = "gateway"
TOP = "buildspace"
CONTROLLERS = "+memory +pids"
SPARE_PROCESSES = 16
"""For the processes that the sandbox itself starts around the command."""
PATIENCE_SECONDS = 5.0


def find_base() -> str | None:
    """The folder in which this process may create cgroups with a memory limit. None if there is none."""
    mount, own = _mount(), _own_path()
    if mount is None or own is None:
        return None
    folder = os.path.dirname(mount + own)
    if os.path.basename(own) == LEAF and _is_usable(folder):
        return folder
    if os.geteuid() == 0 and _is_top(mount):
        with contextlib.suppress(OSError):
            _control(mount)
            os.makedirs(f"{mount}/{TOP}", exist_ok=True)
            _control(f"{mount}/{TOP}")
            return f"{mount}/{TOP}"
    return None


def make_room(process: int) -> None:
    """Move all processes of the cgroup of `process` into a leaf, so that it can contain builds beside them.

    Does nothing if the cgroup has other processes than this one and its descendants, unless it is a whole container.
    """
    mount, own = _mount(), _own_path(process)
    if mount is None or own is None or _is_top(mount + own) or os.path.basename(own) == LEAF:
        return
    folder = (mount + own).rstrip("/")
    with contextlib.suppress(OSError):
        is_ours = _is_delegated(folder) and _processes(folder) <= {process, *processes.descendants(process)}
        if not (is_ours or own == "/") or "memory" not in _read(f"{folder}/cgroup.controllers").split():
            return
        os.makedirs(f"{folder}/{LEAF}", exist_ok=True)
        # Processes that start meanwhile are still born in the old cgroup.
        for _ in range(10):
            for pid in _processes(folder):
                with contextlib.suppress(ProcessLookupError):
                    _write(f"{folder}/{LEAF}/cgroup.procs", str(pid))
        _control(folder)


def describe() -> str:
    """How memory is limited, for the operator."""
    base = find_base()
    if base is not None:
        return f"Each build has a cgroup in {base} that limits its memory and processes."
    return (
        "The memory of a build is counted several times a second, because there is no usable cgroup v2 with the"
        " memory controller: start the gateway as root on cgroup v2, or with Delegate=memory pids in its systemd unit."
    )


def make(group: Group) -> str:
    """Create a cgroup named by this process, and remove those of supervisors that were killed. Raises OSError."""
    for name in os.listdir(group.base):
        found = re.fullmatch(r"build-([0-9]+)", name)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            _remove(f"{group.base}/{name}")
    folder = f"{group.base}/build-{os.getpid()}"
    os.mkdir(folder)
    _write(f"{folder}/memory.max", str(group.memory_bytes))
    # A build that lost one process would continue, or wait for it.
    _write(f"{folder}/memory.oom.group", "1")
    _write(f"{folder}/pids.max", str(group.processes + SPARE_PROCESSES))
    with contextlib.suppress(FileNotFoundError):  # a kernel without swap
        _write(f"{folder}/memory.swap.max", "0")
    return folder


def join(folder: str) -> None:
    """Move this process into the cgroup; the processes that it starts are born there."""
    _write(f"{folder}/cgroup.procs", "0")


def close(folder: str) -> bool:
    """Remove it. True if it ran out of memory."""
    events = _read(f"{folder}/memory.events")
    _remove(folder)
    return re.search(r"^oom_kill [1-9]", events, re.MULTILINE) is not None


def _remove(folder: str) -> None:
    """Kill the remaining processes. If the folder stays, the next command tries again."""
    with contextlib.suppress(OSError):
        _write(f"{folder}/cgroup.kill", "1")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


def _mount() -> str | None:
    """Where the tree of version 2 is mounted, from its top as this process sees it."""
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        if after.startswith("cgroup2 ") and root == "/":
            return place
    return None


def _own_path(process: int | str = "self") -> str | None:
    """`/` is the top, or a container's top. None: the process is not in the visible tree."""
    for line in _read(f"/proc/{process}/cgroup").splitlines():
        if line.startswith("0::/") and "/.." not in line:
            return line[3:]
    return None


def _is_top(folder: str) -> bool:
    """Only the machine's own top has no cgroup.type; a container's top has one."""
    return not os.path.exists(f"{folder}/cgroup.type")


def _is_delegated(folder: str) -> bool:
    """For an account other than root, write access proves delegation; for root, systemd's mark does."""
    if os.geteuid() != 0:
        return os.access(folder, os.W_OK)
    with contextlib.suppress(OSError):
        return os.getxattr(folder, "trusted.delegate") == b"1"
    return False


def _is_usable(folder: str) -> bool:
    with contextlib.suppress(OSError):
        return os.access(folder, os.W_OK) and "memory" in _read(f"{folder}/cgroup.subtree_control").split()
    return False


def _control(folder: str) -> None:
    """Raises OSError if the kernel, or a cgroup above, does not offer the controllers."""
    _write(f"{folder}/cgroup.subtree_control", CONTROLLERS)


def _processes(folder: str) -> set[int]:
    return {int(line) for line in _read(f"{folder}/cgroup.procs").split()}


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
