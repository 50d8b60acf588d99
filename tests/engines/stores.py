"""The three stores of a deployment's life as one, for tests that tell a whole life."""

from __future__ import annotations

from gateway.stores.attempts import AttemptStore
from gateway.stores.deployments import DeploymentStore
from gateway.stores.releases import ReleaseStore


class LifeStore(DeploymentStore, AttemptStore, ReleaseStore):
    """Nothing but what its parts do."""
