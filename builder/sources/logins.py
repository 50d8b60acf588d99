"""How git logs in to the server of a project: a token over https, or a deploy key over ssh.

Both stand in files that only this account can read, as long as the clone takes: no argument, URL or environment has
them.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from builder.protocol.calls import DeployKey, GitToken
from builder.protocol.giturls import GitUrl
from builder.protocol.known_hosts import KNOWN_HOSTS, host_name
from builder.sources.remote import Remote

CONNECT_SECONDS = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Logins:
    """For the server of `url` and no other. `folder` is for the files."""

    url: GitUrl
    folder: Path
    token: GitToken | None = None
    key: DeployKey | None = None

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """The files exist in this block."""
        files = self._files()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for path, text in files.items():
                with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                    file.write(text)
            yield
        finally:
            for path in files:
                path.unlink(missing_ok=True)

    def headers_for(self, url: GitUrl) -> Mapping[str, str]:
        return {"Authorization": self._header()} if self.token is not None and self._is_ours(url) else {}

    def environment_for(self, remote: Remote) -> dict[str, str]:
        """Names the files. Git uses the token's header for its server alone."""
        environment = {"GIT_CONFIG_GLOBAL": str(self._configuration) if self.token is not None else os.devnull}
        if self.key is not None and remote.url.scheme == "ssh" and self._is_ours(remote.url):
            environment |= {"GIT_SSH_COMMAND": self._ssh(remote), "GIT_SSH_VARIANT": "ssh"}
        return environment

    def _is_ours(self, url: GitUrl) -> bool:
        return (url.scheme, url.host, url.port) == (self.url.scheme, self.url.host, self.url.port)

    def _header(self) -> str:
        assert self.token is not None  # noqa: S101 - the caller has looked
        pair = f"{self.token.username}:{self.token.token}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    @property
    def _configuration(self) -> Path:
        return self.folder / "git-login"

    @property
    def _key_file(self) -> Path:
        return self.folder / "deploy-key"

    @property
    def _known_hosts(self) -> Path:
        return self.folder / "known-hosts"

    def _files(self) -> dict[Path, str]:
        files = {}
        if self.token is not None:
            origin = str(self.url).removesuffix(self.url.path)
            files[self._configuration] = f'[http "{origin}/"]\n\textraHeader = "Authorization: {self._header()}"\n'
        if self.key is not None:
            hosts = [*self.key.known_hosts, *KNOWN_HOSTS]
            files |= {self._key_file: self.key.private_key, self._known_hosts: "\n".join(hosts) + "\n"}
        return files

    def _ssh(self, remote: Remote) -> str:
        # Connects to a checked address, and looks the host key up under the name.
        options = {
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "PreferredAuthentications": "publickey",
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self._known_hosts),
            "GlobalKnownHostsFile": os.devnull,
            "UpdateHostKeys": "no",
            "HostName": str(remote.addresses[0]),
            "HostKeyAlias": host_name(remote.url),
            "CanonicalizeHostname": "no",
            "ConnectTimeout": str(CONNECT_SECONDS),
            "ServerAliveInterval": "15",
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",
        }
        chosen = [part for option, value in options.items() for part in ("-o", f"{option}={value}")]
        return shlex.join(["ssh", "-F", os.devnull, "-i", str(self._key_file), *chosen])
