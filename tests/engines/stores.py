"""The three stores of a deployment's life as one, for tests that tell a whole life; and requests with usual values."""

from __future__ import annotations

from builder.protocol.settings import Settings
from gateway.models.actor import OWNER, Actor
from gateway.models.cause import Cause, CauseKind
from gateway.models.deployment import Deployment
from gateway.models.source import GitRef, Source
from gateway.stores.attempts import AttemptStore
from gateway.stores.deployments import DeploymentStore
from gateway.stores.projects import ProjectStore
from gateway.stores.releases import ReleaseStore

SOURCE = GitRef("https://example.com/blog.git", None)
CAUSE = Cause(CauseKind.API, OWNER.kind)
SETTINGS = Settings()


class LifeStore(DeploymentStore, AttemptStore, ReleaseStore):
    """Nothing but what its parts do."""


async def new_project(
    projects: ProjectStore,
    name: str = "Blog",
    *,
    actor: Actor = OWNER,
    source: Source = SOURCE,
    settings: Settings = SETTINGS,
    cause: Cause = CAUSE,
    idempotency: tuple[str, bytes] | None = None,
) -> Deployment:
    """Its first deployment."""
    return await projects.create(actor, name, source, settings, cause, idempotency=idempotency)


async def deploy_again(
    deployments: DeploymentStore,
    slug: str,
    *,
    actor: Actor = OWNER,
    source: Source = SOURCE,
    cause: Cause = CAUSE,
    overrides: Settings = SETTINGS,
) -> Deployment:
    return await deployments.request(actor, slug, source, cause, overrides)
