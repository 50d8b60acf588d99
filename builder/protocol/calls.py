"""The calls of the builders' API: paths, bodies, answers.

All under `/builds/{deployment}/{attempt}/`. The first on each connection is `GET proof/{nonce}` with 64 hex digits, and
without a token; the others follow, with `Authorization: Bearer <build token>`, once its answer is right:

| call | body | answer |
|---|---|---|
| `GET proof/{nonce}` | | 200 and `tokens.make_proof` |
| `GET job` | | 200 Job |
| `POST heartbeat` | | 204 |
| `POST step` | Step name, milliseconds | 204 |
| `POST facts` | Facts | 204 |
| `POST lines` | a line batch | 204 once it is stored |
| `POST manifest` | Manifest | 200 `{"missing": [sha256, ...]}` |
| `PUT blobs/{sha256}` | the bytes, with Content-Length | 204 |
| `POST finish` | Finish | 204 once it is decided |
| `GET cache/{key}` | | 200 the saved installation, `Content-SHA256` its digest; 404: there is none |
| `PUT cache/{key}/{sha256}` | the bytes, after a `finish` that made the deployment READY | 204 |

401: the token is wrong. 409: this attempt has ended (canceled, replaced, past its bound): the builder stops.
5xx and a refused connection: try again. Other 4xx: the sentence in `details` is the reason of failure.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Callable
from typing import Any, Self

from builder.protocol.names import camel_case
from builder.protocol.settings import Settings, UsedSetting
from builder.protocol.steps import Step

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""A builder without an answered heartbeat for this long ends itself; until then the gateway regards it as alive."""
LATE_LINES_SECONDS = 900.0
"""How long a builder may still send log lines to Kafka after its attempt has ended, if Kafka was away."""


DIGEST_HEADER = "Content-SHA256"
SAVE_SECONDS = 120.0
"""How long a builder whose deployment is READY may take to save its installation."""


class Exit(enum.StrEnum):
    """How a build ended. LOST: the machine, not the project, is at fault, so the gateway may start another attempt."""

    OK = "ok"
    FAILED = "failed"
    LOST = "lost"


class Isolation(enum.StrEnum):
    """The grade of a build's isolation. CONTAINER: that of a container whose kernel does not support BASIC inside."""

    STRONG = "strong"
    BASIC = "basic"
    ACCOUNT = "account"
    CONTAINER = "container"
    NONE = "none"


class Message:
    """JSON with camelCase names, to and from the dataclasses below. `from_json` checks the type of every field."""

    def to_json(self) -> bytes:
        return json.dumps(_camel(dataclasses.asdict(self)), separators=(",", ":")).encode()  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Raises ValueError for anything but exactly this message. Unknown names are refused."""
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is not a {cls.__name__}: {error}") from error
        return typing.cast("Self", _reader(typing.cast("Any", cls))(found, ""))


@dataclasses.dataclass(frozen=True, slots=True)
class KafkaTarget:
    """Where log lines are sent. `ca` is the text of a PEM file. Empty: the authorities that the builder trusts."""

    brokers: tuple[str, ...]
    topic: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    ca: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GitToken:
    """A login to the git server of the project, over https."""

    username: str
    token: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class DeployKey:
    """A login over ssh. `private_key` is in OpenSSH's format; `known_hosts` are lines of a file of that name."""

    private_key: str = dataclasses.field(repr=False)
    known_hosts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """For the environment of a build's commands. `is_public`: the value of a secret may stand in what is published."""

    name: str
    value: str = dataclasses.field(repr=False)
    is_secret: bool
    is_public: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Job(Message):
    """What to build, and its limits. Sizes in bytes, times in seconds.

    `call` are the settings of the request for this deployment, `project` those that a person set for the project.
    `cache_bytes`: the largest installation that may be saved. 0: there is no install cache.
    """

    project_slug: str
    git_url: str
    branch: str | None
    call: Settings
    project: Settings
    site_url: str
    deployment_url: str
    context: str
    time_limit_seconds: int
    memory_bytes: int
    processes: int
    disk_bytes: int
    log_bytes: int
    output_files: int
    output_bytes: int
    file_bytes: int
    allow_private_hosts: list[str]
    kafka: KafkaTarget | None = None
    git_token: GitToken | None = None
    deploy_key: DeployKey | None = None
    variables: tuple[Variable, ...] = ()
    cache_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class StepStarted(Message):
    step: Step
    at: int


@dataclasses.dataclass(frozen=True, slots=True)
class Facts(Message):
    """What the builder has found out so far. None leaves a value unchanged.

    `git_url`: where the repository has moved to for good; the project's URL becomes this.
    """

    commit_sha: str | None = None
    commit_message: str | None = None
    framework: str | None = None
    node_version: str | None = None
    isolation: Isolation | None = None
    settings: tuple[UsedSetting, ...] | None = None
    git_url: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestFile:
    """`path` is relative, `/`-separated, UTF-8, without empty, `.` or `..` segments."""

    path: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest(Message):
    """The whole output of a build."""

    files: tuple[ManifestFile, ...]
    framework: str | None = None
    is_single_page: bool = False
    hashed_folders: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """Why a command failed. `kind`: a name of builder/known_failures.py, or "unknown".

    `line`: the first line that names the error. `seq`: its number in the log. `advice`: what to do about it.
    """

    kind: str
    step: Step
    line: str | None = None
    seq: int | None = None
    advice: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Finish(Message):
    """How the build ended. `last_seq`: how many log lines this attempt sent in all."""

    exit: Exit
    last_seq: int
    reason: str | None = None
    step: Step | None = None
    exit_code: int | None = None
    failure: Failure | None = None


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {camel_case(name): _camel(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(item) for item in value]
    return value


_WORDS = {str: "text", int: "a whole number", bool: "true or false"}


@functools.cache
def _reader(kind: Any) -> Callable[[Any, str], Any]:
    """Converts a JSON value to a field of this type. Raises ValueError with the field's JSON name.

    Made once for each type, because a manifest has up to 50,000 files.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(typing.cast("type", kind))
    inner = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        read = _reader(inner[0])
        return lambda value, name: None if value is None else read(value, name)
    if inner:
        return _list_reader(typing.get_origin(kind), _reader(inner[0]))
    return _enum_reader(kind) if issubclass(kind, enum.StrEnum) else _plain_reader(kind)


def _dataclass_reader(kind: type) -> Callable[[Any, str], Any]:
    hints = typing.get_type_hints(kind)
    fields = {camel_case(field.name): field for field in dataclasses.fields(kind)}
    readers = {name: (field.name, _reader(hints[field.name])) for name, field in fields.items()}
    needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}

    def read(found: Any, name: str) -> Any:
        if type(found) is not dict:
            raise ValueError(f"A {kind.__name__} must be an object.")
        if unknown := found.keys() - readers.keys():
            raise ValueError(f"A {kind.__name__} has no {min(unknown)[:40]!r}; it may have {', '.join(readers)}.")
        if missing := needed - found.keys():
            raise ValueError(f"A {kind.__name__} needs {', '.join(sorted(missing))}.")
        return kind(**{readers[name][0]: readers[name][1](value, name) for name, value in found.items()})

    return read


def _list_reader(make: Any, read_item: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    def read(value: Any, name: str) -> Any:
        if type(value) is not list:
            raise ValueError(f"{name} must be a list.")
        return make([read_item(item, name) for item in value])

    return read


def _enum_reader(kind: type[enum.StrEnum]) -> Callable[[Any, str], Any]:
    def read(value: Any, name: str) -> Any:
        if value not in list(kind):
            raise ValueError(f"{name} must be one of {', '.join(kind)}.")
        return kind(value)

    return read


def _plain_reader(kind: type) -> Callable[[Any, str], Any]:
    def read(value: Any, name: str) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{name} must be {_WORDS[kind]}.")
        return value

    return read
