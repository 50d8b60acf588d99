"""The values that the templates show: frozen, made of models, with all texts chosen."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from builder.protocol.settings import BY_NAME, SETTINGS, Settings
from gateway.models.addresses import Addresses
from gateway.models.attempt import Attempt, StepTiming
from gateway.models.cause import CauseKind
from gateway.models.deployment import Deployment, Status
from gateway.models.project import Project
from gateway.models.variable import StoredVariable

MINUTE, HOUR, DAY = 60, 3600, 86400
FIRST_COMMIT_DIGITS = 7


@dataclasses.dataclass(frozen=True, slots=True)
class StatusView:
    """`kind` is the colour; `word` says the same in text."""

    word: str
    kind: str


STATUS = {
    Status.QUEUE: StatusView("Queued", "wait"),
    Status.BUILDING: StatusView("Building", "run"),
    Status.READY: StatusView("Ready", "ok"),
    Status.FAILED: StatusView("Failed", "bad"),
    Status.CANCELED: StatusView("Canceled", "off"),
}
NOT_DEPLOYED = StatusView("Not deployed", "off")
TRIGGERS = {CauseKind.API: "API", CauseKind.FORM: "form"}
STAGES = (
    ("clone", "Clone", ("prepare", "clone")),
    ("install", "Install", ("detect", "install")),
    ("build", "Build", ("build",)),
    ("publish", "Publish", ("collect", "upload")),
)
"""The steps of a build under the names that the pages show."""


@dataclasses.dataclass(frozen=True, slots=True)
class MomentView:
    """A time as ISO 8601, and as an age such as "3 min ago"."""

    iso: str
    text: str
    short: str


@dataclasses.dataclass(frozen=True, slots=True)
class StageView:
    """`x` and `width` are its place in a bar of 100 units. `since`: milliseconds since 1970, while it runs."""

    name: str
    label: str
    seconds: str
    x: float
    width: float
    since: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentView:
    id: str
    number: int
    project_name: str
    project_slug: str
    status: StatusView
    reason: str
    queue_reason: str
    commit: str
    commit_sha: str
    message: str
    branch: str
    trigger: str
    framework: str
    node_version: str
    isolation: str
    stages: tuple[StageView, ...]
    timings: str
    duration: str
    running_since: int | None
    created: MomentView
    attempt: int
    is_live: bool
    is_final: bool
    can_promote: bool
    site_url: str
    own_url: str
    size: str


@dataclasses.dataclass(frozen=True, slots=True)
class FailureView:
    """Why a command failed. `place`: the part behind the # in the link to its first error; `more`: further lines."""

    sentence: str
    kind: str
    step: str
    line: str
    place: str
    advice: str
    more: str


@dataclasses.dataclass(frozen=True, slots=True)
class AttemptView:
    number: int
    timings: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectView:
    name: str
    slug: str
    git_url: str
    repository: str
    site_url: str
    site_host: str
    branch: str
    status: StatusView
    created: MomentView
    newest: DeploymentView | None
    is_published: bool
    settings: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class FieldView:
    """A form field: the input is kept, and its error is shown next to it."""

    name: str
    label: str
    hint: str
    placeholder: str
    value: str
    error: str
    is_required: bool


@dataclasses.dataclass(frozen=True, slots=True)
class FormView:
    main: tuple[FieldView, ...]
    more: tuple[FieldView, ...]
    error: str
    key: str

    @property
    def is_more_open(self) -> bool:
        return any(field.value or field.error for field in self.more)


@dataclasses.dataclass(frozen=True, slots=True)
class FrameView:
    """The frame of every page. `projects`: the list beside it, if any. `refresh_ms`: time until it reloads."""

    projects: tuple[ProjectView, ...] | None
    current: str
    can_log_out: bool
    refresh_ms: int | None
    has_find: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectsPage:
    frame: FrameView
    form: FormView
    projects: tuple[ProjectView, ...]
    following: str | None
    is_first: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectPage:
    frame: FrameView
    project: ProjectView
    live: DeploymentView | None
    deployments: tuple[DeploymentView, ...]
    following: str | None
    is_first: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentPage:
    frame: FrameView
    project: ProjectView
    deployment: DeploymentView
    attempts: tuple[AttemptView, ...]
    failure: FailureView | None


@dataclasses.dataclass(frozen=True, slots=True)
class SettingsPage:
    """`used`: the label, value and origin of each setting that the newest build used."""

    frame: FrameView
    project: ProjectView
    fields: tuple[FieldView, ...]
    used: tuple[tuple[str, str, str], ...]
    error: str
    delete_error: str


@dataclasses.dataclass(frozen=True, slots=True)
class VariableView:
    """`value` is None for a secret."""

    name: str
    context: str
    value: str | None = dataclasses.field(repr=False)
    is_public: bool
    updated: MomentView


@dataclasses.dataclass(frozen=True, slots=True)
class VariablesPage:
    """`typed`: what a refused form shows again."""

    frame: FrameView
    project: ProjectView
    variables: tuple[VariableView, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    typed: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class LoginPage:
    frame: FrameView
    following: str
    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorPage:
    frame: FrameView
    status: int
    heading: str
    sentence: str


Page = ProjectsPage | ProjectPage | SettingsPage | VariablesPage | DeploymentPage | LoginPage | ErrorPage

MAIN_FIELDS = (
    ("name", "Name", "", "my-site"),
    ("gitUrl", "Git URL", "", "https://github.com/owner/repository"),
)
SLUG_FIELD = ("slug", "Slug", "The project's name in its address; the old address leads here for 30 days", "my-site")
MORE_FIELDS = (
    ("branch", "Branch", "Empty: the repository's default branch", "main"),
    ("rootDirectory", "Root directory", "The project's folder in the repository", "apps/site"),
    ("installCommand", "Install command", "Empty: chosen by the lockfile", "npm ci"),
    ("buildCommand", "Build command", "Empty: the script named build", "npm run build"),
    ("outputDirectory", "Output directory", "Empty: chosen by the framework", "dist"),
    ("nodeVersion", "Node version", "Empty: the version that the project asks for", "24"),
)


def view_form(typed: Mapping[str, str], errors: Mapping[str, str], sentence: str, key: str) -> FormView:
    """The form as it was typed. `errors` by field name; `sentence` is shown if no field has an error."""

    main, more = _view_fields(MAIN_FIELDS, typed, errors, True), _view_fields(MORE_FIELDS, typed, errors, False)
    is_said = any(field.error for field in main + more)
    return FormView(main, more, "" if is_said else sentence, key)


def typed_settings(project: Project) -> dict[str, str]:
    """The form of a project's settings, as it is before a person types."""
    typed = {"name": project.name, "gitUrl": project.git_url, "slug": project.slug, "branch": project.branch or ""}
    return typed | {setting.json_name: setting_text(getattr(project.settings, setting.name)) for setting in SETTINGS}


def view_settings(typed: Mapping[str, str], errors: Mapping[str, str]) -> tuple[FieldView, ...]:
    """The fields of the form with which a project is changed."""
    rows = [(each.json_name, each.label, each.about, each.example or "true or false") for each in SETTINGS]
    own = (*MAIN_FIELDS, SLUG_FIELD)
    return (
        *_view_fields(own, typed, errors, True),
        *_view_fields((MORE_FIELDS[0], *rows), typed, errors, False),
    )


def _view_fields(
    rows: Iterable[tuple[str, str, str, str]], typed: Mapping[str, str], errors: Mapping[str, str], is_required: bool
) -> tuple[FieldView, ...]:
    fields = []
    for name, label, hint, placeholder in rows:
        # The sentences begin with the field's name in the API.
        error = errors.get(name, "")
        error = label + error.removeprefix(name) if error.startswith(name) else error
        fields.append(FieldView(name, label, hint, placeholder, typed.get(name, ""), error, is_required))
    return tuple(fields)


def view_used(deployment: Deployment | None) -> tuple[tuple[str, str, str], ...]:
    """Label, value and origin of each setting that the build used."""
    used = deployment.used_settings if deployment else ()
    return tuple((BY_NAME[each.name].label, each.value, each.origin) for each in used if each.name in BY_NAME)


def setting_text(value: str | bool | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value).lower()


def view_project(
    project: Project, newest: Deployment | None, addresses: Addresses, now: datetime.datetime
) -> ProjectView:
    site_url = addresses.site(project.slug)
    return ProjectView(
        name=project.name,
        slug=project.slug,
        git_url=project.git_url,
        repository=_repository(project.git_url),
        site_url=site_url,
        site_host=urlsplit(site_url).netloc,
        branch=project.branch or "default branch",
        status=STATUS[newest.status] if newest else NOT_DEPLOYED,
        created=view_moment(newest.created_at if newest else project.created_at, now),
        newest=view_deployment(newest, addresses, now) if newest else None,
        is_published=project.live_deployment_id is not None,
        settings=tuple(_chosen(project.settings)),
    )


def view_deployment(
    deployment: Deployment, addresses: Addresses, now: datetime.datetime, usual_seconds: float = 0.0
) -> DeploymentView:
    """`usual_seconds`: how long such a build takes, so that the bar of an unfinished one shows its progress."""
    is_ready = deployment.status is Status.READY
    stages = tuple(_stages(deployment, now, 0.0 if is_ready else usual_seconds))
    own_url = addresses.deployment(deployment.project_slug, deployment.id)
    return DeploymentView(
        id=str(deployment.id),
        number=deployment.number,
        project_name=deployment.project_name,
        project_slug=deployment.project_slug,
        status=STATUS[deployment.status],
        reason=(deployment.reason or "").strip(),
        queue_reason=(deployment.queue_reason or "") if deployment.status is Status.QUEUE else "",
        commit=(deployment.source.commit or "")[:FIRST_COMMIT_DIGITS],
        commit_sha=deployment.source.commit or "",
        message=next(iter((deployment.commit_message or "").strip().splitlines()), ""),
        branch=deployment.source.ref or "default branch",
        trigger=TRIGGERS[deployment.cause.kind],
        framework=deployment.framework or "",
        node_version=(deployment.node_version or "").removeprefix("v"),
        isolation=deployment.isolation or "",
        stages=stages,
        timings=", ".join(f"{stage.label.lower()} {stage.seconds}" for stage in stages if stage.seconds) or "not begun",
        duration=_duration(deployment, now),
        running_since=_running_since(deployment),
        created=view_moment(deployment.created_at, now),
        attempt=deployment.attempt,
        is_live=deployment.is_live,
        is_final=deployment.status.is_final,
        can_promote=is_ready and not deployment.is_live,
        site_url=addresses.site(deployment.project_slug) if deployment.is_live else "",
        own_url=own_url if is_ready else "",
        size=_size(deployment),
    )


def view_attempts(attempts: Sequence[Attempt]) -> tuple[AttemptView, ...]:
    """Nothing for a single attempt: the deployment shows all about it."""
    if len(attempts) < 2:
        return ()
    return tuple(
        AttemptView(
            attempt.number,
            ", ".join(f"{step.name} {lasting(step.seconds)}" for step in attempt.steps if step.seconds is not None),
            (attempt.reason or "").strip(),
        )
        for attempt in attempts
    )


def view_failure(attempts: Sequence[Attempt]) -> FailureView | None:
    """That of the last attempt."""
    last = attempts[-1] if attempts else None
    if last is None or last.failure is None:
        return None
    found = last.failure
    sentence, *rest = (last.reason or "").split("\n")
    said = 2 if found.advice else 1  # the lines of the reason that name the error and the advice (builder/failures.py)
    return FailureView(
        sentence=sentence,
        kind="" if found.kind == "unknown" else found.kind,
        step=found.step,
        line=found.line or "",
        place=("L" if last.number == 1 else f"L{last.number}.") + str(found.seq) if found.seq else "",
        advice=found.advice or "",
        more="\n".join(rest[said:]),
    )


def usual_seconds(deployments: Sequence[Deployment]) -> float:
    """How long the newest successful one took; 0 if none succeeded."""
    for deployment in deployments:
        if deployment.status is Status.READY:
            return sum(step.seconds or 0.0 for step in deployment.steps)
    return 0.0


def view_variable(variable: StoredVariable, now: datetime.datetime) -> VariableView:
    return VariableView(
        variable.name, variable.context, variable.value, variable.is_public, view_moment(variable.updated_at, now)
    )


def view_moment(at: datetime.datetime, now: datetime.datetime) -> MomentView:
    iso = at.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = _age((now - at).total_seconds())
    if text is None:
        return MomentView(iso, at.date().isoformat(), at.date().isoformat())
    return MomentView(iso, text if text == "now" else f"{text} ago", text)


def _age(seconds: float) -> str | None:
    """None if it is so long ago that the date says more. static/app.js chooses the same words as time passes."""
    if seconds < 10:
        return "now"
    for limit, unit, word in ((MINUTE, 1, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h"), (30 * DAY, DAY, "d")):
        if seconds < limit:
            return f"{int(seconds // unit)} {word}"
    return None


def lasting(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def _stages(deployment: Deployment, now: datetime.datetime, usual: float) -> Iterator[StageView]:
    lengths: dict[str, float] = {}
    for step in deployment.steps:
        lengths[step.name] = lengths.get(step.name, 0.0) + _seconds(step, deployment.completed_at or now)
    whole = max(sum(lengths.values()), usual) or 1.0
    x = 0.0
    for name, label, steps in STAGES:
        seconds = sum(lengths.get(step, 0.0) for step in steps)
        text = lasting(seconds) if any(step in lengths for step in steps) else ""
        width = 100 * seconds / whole
        yield StageView(name, label, text, round(x, 2), round(width, 2), _stage_since(deployment, steps))
        x += width


def _seconds(step: StepTiming, end: datetime.datetime) -> float:
    return max(0.0, end.timestamp() - step.started_at / 1000) if step.seconds is None else step.seconds


def _stage_since(deployment: Deployment, steps: Sequence[str]) -> int | None:
    """When a running stage would have begun if its steps had run without pauses."""
    if deployment.status is not Status.BUILDING:
        return None
    ours = [step for step in deployment.steps if step.name in steps]
    if not ours or ours[-1] is not deployment.steps[-1] or ours[-1].seconds is not None:
        return None
    return ours[-1].started_at - round(1000 * sum(step.seconds or 0.0 for step in ours[:-1]))


def _running_since(deployment: Deployment) -> int | None:
    if deployment.status is not Status.BUILDING or deployment.started_at is None:
        return None
    return int(deployment.started_at.timestamp() * 1000)


def _duration(deployment: Deployment, now: datetime.datetime) -> str:
    if deployment.started_at is None:
        return ""
    end = deployment.completed_at or now
    return lasting(max(0.0, (end - deployment.started_at).total_seconds()))


def _size(deployment: Deployment) -> str:
    if deployment.files is None or deployment.bytes is None:
        return ""
    files = f"{deployment.files:,} {'file' if deployment.files == 1 else 'files'}"
    return f"{files}, {_bytes(deployment.bytes)}"


def _bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _repository(git_url: str) -> str:
    parts = urlsplit(git_url)
    return f"{parts.netloc}{parts.path}".removesuffix(".git").removeprefix("www.")


def _chosen(settings: Settings) -> Iterator[tuple[str, str]]:
    """The settings that were chosen, by their labels."""
    for setting in SETTINGS:
        value = getattr(settings, setting.name)
        if value is not None:
            yield setting.label, setting_text(value)
