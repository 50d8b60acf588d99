"""The git logins of projects: sealed before they are stored, opened for the builder, never shown again."""

from __future__ import annotations

import asyncio

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from builder.protocol.calls import DeployKey, GitToken
from builder.protocol.giturls import GitUrl
from builder.protocol.known_hosts import KNOWN_HOSTS, host_name
from gateway.errors import Conflict
from gateway.models.actor import Actor
from gateway.models.deployment import Deployment
from gateway.models.git_login import GitLogin, LoginKind
from gateway.secrets.vault import Vault
from gateway.stores.git_logins import GitLoginStore
from gateway.stores.projects import ProjectStore

SEALED_AS = "git login"


class GitLogins:
    """Every call may raise Unavailable, as the vault does, and NotFound for a project that the actor does not reach."""

    def __init__(self, projects: ProjectStore, store: GitLoginStore, vault: Vault) -> None:
        self._projects = projects
        self._store = store
        self._vault = vault

    async def find(self, actor: Actor, slug: str) -> GitLogin | None:
        return await self._store.find((await self._projects.get(actor, slug)).id)

    async def set_token(self, actor: Actor, slug: str, username: str, token: str) -> None:
        project = await self._projects.get(actor, slug)
        sealed = await self._vault.seal(project.id, SEALED_AS, token)
        await self._store.put(actor, project.id, GitLogin(LoginKind.TOKEN, username, project.git_url, sealed))

    async def make_key(self, actor: Actor, slug: str, ssh_url: GitUrl, host_key: str | None) -> None:
        """A new key pair; the private half never leaves the gateway but in a build's job. Raises Conflict."""
        project = await self._projects.get(actor, slug)
        name = host_name(ssh_url)
        if host_key is None and not any(line.startswith(f"{name} ") for line in KNOWN_HOSTS):
            raise Conflict(
                f"{ssh_url.host} is not a server whose host key is built in, so hostKey is required."
                f" `ssh-keyscan -t ed25519 -p {ssh_url.port} {ssh_url.host}` prints it; compare its fingerprint with"
                " the one that the operator of the server names, then send it like ssh-ed25519 AAAA..."
            )
        private, public = await asyncio.to_thread(_make_pair, slug)
        sealed = await self._vault.seal(project.id, SEALED_AS, private)
        known = f"{name} {host_key}" if host_key is not None else None
        login = GitLogin(LoginKind.DEPLOY_KEY, public, project.git_url, sealed, str(ssh_url), known)
        await self._store.put(actor, project.id, login)

    async def delete(self, actor: Actor, slug: str) -> None:
        await self._store.delete((await self._projects.get(actor, slug)).id)

    async def of_build(self, deployment: Deployment) -> tuple[str, GitToken | None, DeployKey | None]:
        """The URL to clone, and the login for it. Neither token nor key for a URL to which it does not belong."""
        url = deployment.source.url
        login = await self._store.find(deployment.project_id)
        if login is None or not login.opens(url):
            return url, None, None
        secret = await self._vault.open(deployment.project_id, SEALED_AS, login.sealed)
        if login.kind is LoginKind.TOKEN:
            return url, GitToken(login.name, secret), None
        known = (login.host_key,) if login.host_key is not None else ()
        return login.ssh_url or url, None, DeployKey(secret, known)


def _make_pair(slug: str) -> tuple[str, str]:
    """The private and the public half, as OpenSSH writes them."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} buildspace-{slug}"
