"""What a sandbox tells its supervisor, as JSON over stdin, so that no argument list shows the environment."""

from __future__ import annotations

import dataclasses
import json
from typing import Self

LOG = "log"
"""The file in the folder for messages while the confinement is set up."""
OUT_OF_MEMORY = "sandbox: the build reached its limit of memory"


@dataclasses.dataclass(frozen=True, slots=True)
class Landlock:
    read: list[str]
    write: list[str]
    ports: list[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A cgroup below `base`, for this command and all that it starts."""

    base: str
    memory_bytes: int
    processes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """`filter` stops the calls that the broker answers, whose numbers are `calls`.

    TCP is open to `ports` of other machines, and to `ports_here` of this one, whose addresses besides loopback are
    `own_addresses`. `above` is an empty folder.
    """

    filter: str
    calls: dict[str, int]
    work: str
    ports: list[int]
    ports_here: list[int]
    own_addresses: list[str]
    above: str


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One command. `limits` are those of setrlimit by number; `processes` are on top of those that the account runs.

    `hides_processes`: /proc shows only the build's processes; only root can mount it like this.
    `covered`: folders of which the build sees only what is `needed`.
    `shown_files` (path to content) are what the build sees in place of the machine's; only root can mount them.
    `keeps_capabilities`: for a program of the platform, never for a build's.
    `files` (name to base64) are written to a new `folder`. Then stderr is a log in it, and the real stderr waits as
    stdin, until the command has set up everything and removes the folder.
    """

    builder_pid: int
    argv: list[str]
    environment: dict[str, str] = dataclasses.field(repr=False)
    directory: str
    time_limit_seconds: float
    limits: dict[int, int]
    processes: int | None = None
    keeps_capabilities: bool = False
    user: int | None = None
    needed: list[str] = dataclasses.field(default_factory=list)
    covered: list[str] = dataclasses.field(default_factory=list)
    hides_processes: bool = False
    shown_files: dict[str, str] = dataclasses.field(default_factory=dict)
    folder: str | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    group: Group | None = None
    landlock: Landlock | None = None
    seccomp: str | None = None
    broker: Broker | None = None

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        found = json.loads(text)
        found["limits"] = {int(number): value for number, value in found["limits"].items()}
        found["landlock"] = Landlock(**found["landlock"]) if found["landlock"] else None
        found["broker"] = Broker(**found["broker"]) if found["broker"] else None
        found["group"] = Group(**found["group"]) if found["group"] else None
        return cls(**found)
