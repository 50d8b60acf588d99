"""How builds log in to the git server of a project."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from builder.protocol.giturls import EVERY_HOST, parse_git_url


class LoginKind(enum.StrEnum):
    TOKEN = "token"  # noqa: S105 - a kind, no token
    DEPLOY_KEY = "deploy-key"


@dataclasses.dataclass(frozen=True, slots=True)
class GitLogin:
    """`name`: the user of a token, or the public half of a key. `git_url`: the project's when it was set.

    `ssh_url` and `host_key` (a line of a known_hosts file, None for a well-known server) belong to a key.
    """

    kind: LoginKind
    name: str
    git_url: str
    sealed: bytes = dataclasses.field(repr=False)
    ssh_url: str | None = None
    host_key: str | None = None
    updated_at: datetime.datetime | None = None

    @property
    def username(self) -> str | None:
        return self.name if self.kind is LoginKind.TOKEN else None

    @property
    def public_key(self) -> str | None:
        return self.name if self.kind is LoginKind.DEPLOY_KEY else None

    def opens(self, git_url: str) -> bool:
        """A token all of its server, a key its repository. A project's URL may have changed since it was set."""
        if self.kind is LoginKind.DEPLOY_KEY:
            return git_url == self.git_url
        asked, own = (parse_git_url(url, EVERY_HOST) for url in (git_url, self.git_url))
        return (asked.scheme, asked.host, asked.port) == (own.scheme, own.host, own.port)
