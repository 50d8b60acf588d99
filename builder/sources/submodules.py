"""Fetches submodules: their URLs under the rules of the project's own, the commits that are recorded, nothing run."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from builder.checkout import opened_folder
from builder.errors import BuildFailed
from builder.protocol.giturls import GitUrl, parse_git_url
from builder.sources.history import fetch_commit
from builder.sources.lfs import LargeFiles
from builder.sources.refs import Wanted
from builder.sources.repository import Entry, Opener, Repository

MAX_SUBMODULES = 50
MAX_DEPTH = 5
LINK = "160000"
MAX_MODULES_BYTES = 2**20
WELL_KNOWN = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com", "git.sr.ht")
"""Hosts on which a repository has the same path over https as over ssh and git."""
_OTHER_SCHEME = re.compile(
    r"(?:(?:ssh|git|git\+ssh|http)://(?:[^/@\s]+@)?([^/@:\s]+)(?::\d+)?/|(?:[^-/@:\s][^/@:\s]*@)([^/@:\s]+):)([^\s]+)\Z"
)
_PARENTS = re.compile(r"(?:\.{1,2}/)+")


@dataclasses.dataclass(frozen=True, slots=True)
class Submodule:
    path: str
    sha: str
    url: str
    update: str


class Submodules:
    """Those of one clone, and the large files in them."""

    def __init__(self, opener: Opener, large_files: LargeFiles) -> None:
        self._opener = opener
        self._large_files = large_files
        self._number = 0

    async def complete(self, parent: Repository, depth: int = 1) -> None:
        """Bring what belongs to a checkout besides its files. Raises BuildFailed, with the submodule's name in it."""
        entries = await parent.entries()
        await self._large_files.bring(parent, entries)
        for submodule in await _find(parent, entries):
            if not submodule.url:
                await parent.log.say(
                    f"Warning: {submodule.path} is a submodule without a URL in .gitmodules, so its folder stays empty."
                    " Add it with `git submodule add`, or commit its files."
                )
            elif submodule.update == "none":
                await parent.log.say(f"The submodule {submodule.path} stays empty: .gitmodules says `update = none`.")
            else:
                await self._check_bounds(submodule, depth)
                await self.complete(await self._fetch(parent, submodule), depth + 1)

    async def _check_bounds(self, submodule: Submodule, depth: int) -> None:
        self._number += 1
        if self._number > MAX_SUBMODULES:
            raise BuildFailed(f"There are more than {MAX_SUBMODULES} submodules; the next one is {submodule.path}.")
        if depth > MAX_DEPTH:
            raise BuildFailed(f"Submodules are nested more than {MAX_DEPTH} deep; the next one is {submodule.path}.")

    async def _fetch(self, parent: Repository, submodule: Submodule) -> Repository:
        try:
            url = resolve_url(parent.remote.url, submodule.url, self._opener.allow_private_hosts)
            check_folder(parent.folder, submodule.path)
            await parent.log.say(f"Fetching the submodule {submodule.path} from {url}")
            repository = await self._opener.open(url, parent.folder / submodule.path)
            wanted = Wanted(submodule.sha, "refs/remotes/origin/commit", submodule.sha)
            await fetch_commit(repository, wanted)
            await repository.check_out(wanted)
        except (BuildFailed, ValueError) as error:
            raise BuildFailed(
                f"The submodule {submodule.path} ({submodule.url}) can't be fetched: {error}\nMake it public or correct"
                " its URL in .gitmodules. If the build does not need it, set `update = none` for it there."
            ) from error
        return repository


async def _find(repository: Repository, entries: Sequence[Entry]) -> list[Submodule]:
    links = [entry for entry in entries if entry.mode == LINK]
    if not links:
        return []
    has_modules = any(entry.path == ".gitmodules" for entry in entries)
    settings = await _read_modules(repository) if has_modules else {}
    return [
        Submodule(link.path, link.sha, found.get("url", ""), found.get("update", ""))
        for link in links
        for found in [settings.get(link.path, {})]
    ]


async def _read_modules(repository: Repository) -> dict[str, dict[str, str]]:
    """The settings of each path. From the commit, because the file in the checkout may be a link."""
    read = ("config", "--no-includes", "--blob", "HEAD:.gitmodules", "-z", "--list")
    by_name: dict[str, dict[str, str]] = {}
    for entry in (await repository.read(*read, most_bytes=MAX_MODULES_BYTES)).split("\0"):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        name, _, setting = rest.rpartition(".")
        if section == "submodule":
            by_name.setdefault(name, {})[setting] = value
    return {settings["path"]: settings for settings in by_name.values() if "path" in settings}


def resolve_url(base: GitUrl, text: str, allow_private_hosts: Sequence[str] = ()) -> GitUrl:
    """Raises ValueError with a sentence."""
    base = base.without_ssh()
    if text.startswith(("./", "../")):
        return parse_git_url(_join(base, text), allow_private_hosts)
    other = _OTHER_SCHEME.match(text)
    host = (other[1] or other[2]).lower() if other else ""
    if other and host in WELL_KNOWN:
        return parse_git_url(f"https://{host}/{other[3].lstrip('/')}", allow_private_hosts)
    if other and host == base.host:
        return parse_git_url(_join(base, "/" + other[3].lstrip("/")), allow_private_hosts)
    return parse_git_url(text, allow_private_hosts)


def _join(base: GitUrl, relative: str) -> str:
    """As git does: each ../ takes a segment from the end of the path."""
    origin = str(base).removesuffix(base.path)
    if relative.startswith("/"):
        return origin + relative
    segments = base.path.strip("/").split("/")
    start = _PARENTS.match(relative)
    parents = start[0].count("../") if start else 0
    if parents > len(segments):
        raise ValueError(f"{relative} leads above {origin}.")
    rest = relative[start.end() :] if start else relative
    return "/".join([origin, *segments[: len(segments) - parents], rest])


def check_folder(root: Path, path: str) -> None:
    """Git makes an empty folder for a submodule. A link on the way would lead the checkout elsewhere."""
    try:
        with opened_folder(root, PurePosixPath(path)) as folder:
            is_empty = not os.listdir(folder)
    except OSError:
        is_empty = False
    if not is_empty or ".." in PurePosixPath(path).parts:
        raise BuildFailed("Its path is not an empty folder in the repository.")
