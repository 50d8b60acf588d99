"""Why git failed, as a sentence that says what to do."""

from __future__ import annotations

from builder.failures import find_lack
from builder.protocol.giturls import GitUrl
from builder.sandbox import Limits
from builder.sources.program import Done

PRIVATE = "If it is private, give the project a git token or a deploy key."
LOGIN = ("Authentication failed", "could not read Username", "could not read Password")


def explain(url: GitUrl, done: Done, limits: Limits) -> str:
    """A sentence if the last lines are known, otherwise those lines."""
    tail = done.tail
    if any(words in tail for words in LOGIN):
        return f"{url} is private or does not exist: the server asks for a login. {PRIVATE}"
    if "Permission denied (publickey" in tail:
        return f"The server of {url} does not accept the deploy key. Add its public half to the repository."
    if "Host key verification failed" in tail or "No ED25519 host key is known" in tail:
        return f"The host key of {url.host} is not the one that was confirmed, or none was. Compare its fingerprint."
    if "not found" in tail and "repository" in tail:
        return f"There is no git repository at {url}."
    if "No space left on device" in tail or "Out of diskspace" in tail:
        return "The builder's disk is full."
    if "invalid index-pack output" in tail:
        # Its own part was ended by a limit, and git does not say by which.
        disk, memory = limits.disk_bytes // 2**20, limits.memory_bytes // 2**20
        return (
            f"The repository is too large: a build has at most {disk} MiB of disk and {memory} MiB of memory.\n{tail}"
        )
    if lack := find_lack(done.code, tail, limits):
        return f"git clone {lack}\n{tail}"
    return f"git clone failed with exit code {done.code}.\n{tail}"
