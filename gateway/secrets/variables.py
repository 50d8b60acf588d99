"""The variables of a project: sealed before they are stored, opened for the page, the API and the builder."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from gateway.errors import Invalid
from gateway.models.actor import OWNER, Actor
from gateway.models.deployment import Deployment
from gateway.models.variable import StoredVariable, Variable, context_of, contexts_of
from gateway.secrets.vault import Vault
from gateway.stores.projects import ProjectStore
from gateway.stores.variables import FirstVariables, SealedVariable, VariableStore

OVERRIDE = "override"
"""Stands in the place of the context in the name under which a deployment's own variable is sealed."""


class Variables:
    """Every call may raise Unavailable, as the vault does, and NotFound for a project that the actor does not reach."""

    def __init__(self, projects: ProjectStore, store: VariableStore, vault: Vault) -> None:
        self._projects = projects
        self._store = store
        self._vault = vault

    async def show(self, actor: Actor, slug: str) -> list[StoredVariable]:
        """By name and context; the values of secrets are not opened."""
        project = await self._projects.get(actor, slug)
        return [await self._shown(project.id, each) for each in await self._store.of_project(project.id)]

    async def put(self, actor: Actor, slug: str, variables: Sequence[Variable]) -> None:
        """Adds or replaces these, all or none. Raises Invalid above a limit, and for a secret that would be plain."""
        project = await self._projects.get(actor, slug)
        known = {(each.name, each.context) for each in await self._store.of_project(project.id) if each.is_secret}
        for variable in variables:
            if not variable.is_secret and (variable.name, variable.context) in known:
                raise Invalid(
                    f"{variable.name} is a secret: send `secret: true` with its new value, or delete it first."
                )
        await self._store.put(actor, project.id, await self._sealed(project.id, variables))

    async def copy(self, actor: Actor, slug: str, from_slug: str) -> list[Variable]:
        """Adds or replaces all variables of another project, secret ones too. Returns them."""
        source = await self._projects.get(actor, from_slug)
        copied = [await self._opened(source.id, each) for each in await self._store.of_project(source.id)]
        await self.put(actor, slug, copied)
        return copied

    async def delete(self, actor: Actor, slug: str, name: str, context: str | None = None) -> None:
        """In this context, or in every one. Raises NotFound if there is none."""
        project = await self._projects.get(actor, slug)
        await self._store.delete(project.id, name, context)

    async def seal_overrides(self, project_id: uuid.UUID, variables: Sequence[Variable]) -> Sequence[SealedVariable]:
        """Variables for one deployment of the project, ready to be stored with it."""
        return await self._sealed(project_id, variables, OVERRIDE)

    async def seal_first(self, variables: Sequence[Variable]) -> FirstVariables | None:
        """Variables of a project that is about to be created, ready to be stored with it. None: there are none."""
        if not variables:
            return None
        key, seal = await self._vault.new_project()
        sealed = [
            SealedVariable(v.name, v.context, seal(_name(v.context, v.name), v.value), v.is_secret, v.is_public)
            for v in variables
        ]
        return FirstVariables(key, sealed)

    async def of_build(self, deployment: Deployment) -> tuple[str, list[Variable]]:
        """The deployment's context and what its builder gets: one of each name, its own before the project's."""
        project_id, chosen = deployment.project_id, {}
        context = context_of(deployment, await self._projects.get(OWNER, deployment.project_slug))
        order = contexts_of(context, deployment.source.ref)
        stored = [each for each in await self._store.of_project(project_id) if each.context in order]
        for each in sorted(stored, key=lambda variable: order.index(variable.context)):
            chosen[each.name] = each, each.context
        for each in await self._store.of_deployment(deployment.id):
            chosen[each.name] = each, OVERRIDE
        return context, [await self._opened(project_id, each, place) for each, place in chosen.values()]

    async def _sealed(
        self, project_id: uuid.UUID, variables: Iterable[Variable], place: str | None = None
    ) -> list[SealedVariable]:
        return [
            SealedVariable(
                variable.name,
                variable.context,
                await self._vault.seal(project_id, _name(place or variable.context, variable.name), variable.value),
                variable.is_secret,
                variable.is_public,
            )
            for variable in variables
        ]

    async def _opened(self, project_id: uuid.UUID, sealed: SealedVariable, place: str | None = None) -> Variable:
        place = place or sealed.context
        value = await self._vault.open(project_id, _name(place, sealed.name), sealed.sealed)
        return Variable(sealed.name, value, sealed.context, sealed.is_secret, sealed.is_public)

    async def _shown(self, project_id: uuid.UUID, sealed: SealedVariable) -> StoredVariable:
        value = None if sealed.is_secret else (await self._opened(project_id, sealed)).value
        assert sealed.updated_at is not None  # noqa: S101 - it is stored
        return StoredVariable(
            sealed.name,
            sealed.context,
            value,
            sealed.is_secret,
            sealed.is_public,
            sealed.updated_at,
            sealed.updated_by,
        )


def _name(place: str, name: str) -> str:
    return f"variable {place} {name}"
