"""A repository on this machine that is filled from a remote one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.errors import BuildFailed
from builder.logs import LineSender
from builder.protocol.git_version import refuse_old_git
from builder.protocol.giturls import GitUrl
from builder.sandbox import Limits
from builder.sources.logins import Logins
from builder.sources.program import GIT_SECONDS, READ_BYTES, Done, Git, GitFailed
from builder.sources.refs import MAX_REFS_BYTES, Refs, Wanted
from builder.sources.remote import Remote, find_remote
from builder.sources.sentences import explain

MAX_TREE_BYTES = 64 * 2**20
_ENTRY = re.compile(r"([0-7]{6}) [a-z]+ ([0-9a-f]+)\t([^\0]+)\0")
CONFIGURATION = """\
[remote "origin"]
\turl = "{url}"
\tfetch = +refs/heads/*:refs/remotes/origin/*
[http]
\tlowSpeedLimit = 512
\tlowSpeedTime = 15
"""
"""Git in the build may fetch old file contents from there, without any login: a server that stalls ends it soon."""


@dataclasses.dataclass(frozen=True, slots=True)
class Opener:
    """Opens the repository of a project and those of its submodules by the same rules. `root` holds all of them."""

    root: Path
    private: Path
    log: LineSender
    limits: Limits
    allow_private_hosts: Sequence[str]
    environ: Mapping[str, str]
    logins: Logins

    async def open(self, url: GitUrl, folder: Path) -> Repository:
        """An empty folder with a remote that answers. Raises BuildFailed."""
        remote = await find_remote(url, self.allow_private_hosts, self.environ, self.logins.headers_for)
        if remote.url != url:
            note = "The repository has moved for good" if remote.has_moved else "The server redirects"
            await self.log.say(f"{note} to {remote.url}")
        login = self.logins.environment_for(remote)
        git = Git(self.private, remote.url.scheme, self.environ, login, self.limits)
        if refusal := refuse_old_git(await git.read(["--version"])):
            raise BuildFailed(refusal)
        return Repository(git, remote, folder, self.root, self.log)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A path of a commit. `mode` as git writes it: 160000 is a submodule, whose commit is `sha`."""

    mode: str
    sha: str
    path: str


@dataclasses.dataclass(frozen=True, slots=True)
class Repository:
    """`root`: the folder whose size is limited."""

    git: Git
    remote: Remote
    folder: Path
    root: Path
    log: LineSender

    async def read_refs(self) -> Refs:
        """What the remote one offers. Raises BuildFailed with a sentence."""
        ask = [*self.remote.settings, "ls-remote", "--symref", "--", str(self.remote.url)]
        try:
            return Refs.from_text(await self.git.ask(ask, MAX_REFS_BYTES))
        except GitFailed as error:
            raise self.failed(error.done) from error

    async def create(self, sha: str) -> None:
        """An empty one for commits with ids like this. The folder may exist if it is empty."""
        kind = ["--object-format=sha256"] if len(sha) == 64 else []
        await self._read(["init", "--quiet", "--template=", "--initial-branch=main", *kind, "--", str(self.folder)])
        # An accepted URL holds neither quotes nor backslashes.
        with (self.folder / ".git" / "config").open("a") as file:
            file.write(CONFIGURATION.format(url=self.remote.url))

    @property
    def is_shallow(self) -> bool:
        return (self.folder / ".git" / "shallow").exists()

    async def fetch(
        self,
        refspecs: Sequence[str],
        options: Sequence[str],
        *,
        seconds: float = GIT_SECONDS,
        disk_bytes: int | None = None,
    ) -> Done:
        """Raises BuildFailed if a limit is reached."""
        fetch = ["fetch", "--progress", "--no-recurse-submodules", *options, "origin", *refspecs]
        return await self._run(fetch, seconds, disk_bytes)

    async def check_out(self, wanted: Wanted) -> None:
        """Fetches file contents that were left out so far. Raises BuildFailed."""
        there = ["-B", wanted.branch, wanted.target] if wanted.branch else ["--detach", f"{wanted.target}^{{commit}}"]
        done = await self._run(["checkout", "--quiet", "--force", *there, "--"], GIT_SECONDS, None)
        if done.code != 0:
            raise self.failed(done)

    async def entries(self) -> list[Entry]:
        """What the checked out commit holds. Raises BuildFailed."""
        text = await self.read("ls-tree", "-r", "-z", "HEAD", most_bytes=MAX_TREE_BYTES)
        return [Entry(found[1], found[2], found[3]) for found in _ENTRY.finditer(text)]

    async def read(self, *arguments: str, most_bytes: int = READ_BYTES) -> str:
        """What git prints in this repository. Raises BuildFailed."""
        return await self._read(["-C", str(self.folder), *arguments], most_bytes)

    def failed(self, done: Done) -> BuildFailed:
        return BuildFailed(explain(self.remote.url, done, self.git.limits), exit_code=done.code)

    async def _run(self, arguments: Sequence[str], seconds: float, disk_bytes: int | None) -> Done:
        command = [*self.remote.settings, "-C", str(self.folder), *arguments]
        return await self.git.run(command, self.log, self.root, seconds=seconds, disk_bytes=disk_bytes)

    async def _read(self, arguments: Sequence[str], most_bytes: int = READ_BYTES) -> str:
        try:
            return await self.git.read(arguments, most_bytes)
        except GitFailed as error:
            raise self.failed(error.done) from error
