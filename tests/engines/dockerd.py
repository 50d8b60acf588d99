"""A real Docker engine for tests: Debian's dockerd as a child, with the base image of our Dockerfiles in it.

    with running_dockerd(KEPT) as engine:
        image = engine.builder_image()
        ... engine.host ...

TEST_DOCKER_HOST names a running engine to use instead, one that has debian:bookworm-slim or can pull it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engines.child import Child
from tests.engines.programs import PROGRAMS, fail_without

KEPT = PROGRAMS / "dockerd-images"
"""A folder for `running_dockerd` in which another run finds the layers of the images."""

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "/usr/bin/docker"
"""Debian's own, with BuildKit in it: another one on PATH may lack a part."""
BASE = "debian:bookworm-slim"
BUILDER_IMAGE = "buildspace-builder:test"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
OWN_CHAINS = ("DOCKER", "BUILDSPACE")
OWN_RULES = (*OWN_CHAINS, "docker0", "172.17.0.0/16", " br-", " bs-")
"""Words of the rules that an engine or the gateway makes."""


class DockerEngine(Child):
    """Speaks to an engine by Docker's client. One of ours can be taken away and given back."""

    def __init__(self, host: str, folder: Path | None = None) -> None:
        super().__init__("dockerd", (folder or Path()) / "dockerd.log")
        self.host = host
        self._folder = folder

    @property
    def is_ours(self) -> bool:
        """Whether it may be stopped."""
        return self._folder is not None

    def docker(self, *arguments: str, check: bool = True) -> str:
        """What `docker ...` prints; its errors are in the failure. Long ones are fine: a build has ten minutes."""
        done = subprocess.run(
            [CLIENT, "--host", self.host, *arguments],
            cwd=ROOT,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout.strip()

    def builder_image(self) -> str:
        """The builder's image as it is now, made as docs say."""
        self.docker("build", "--tag", BUILDER_IMAGE, "--file", "builder/Dockerfile", ".")
        self.docker("image", "prune", "--force")
        return BUILDER_IMAGE

    def start(self) -> None:
        assert self._folder is not None, "The engine of TEST_DOCKER_HOST is not ours to start."
        (self._folder / "pid").unlink(missing_ok=True)
        super().start()

    def command(self) -> list[str]:
        return [
            *("/usr/sbin/dockerd", "--host", self.host, "--data-root", f"{self._folder}/data"),
            *("--exec-root", f"{self._folder}/exec", "--pidfile", f"{self._folder}/pid"),
        ]

    def options(self) -> dict[str, Any]:
        return {"start_new_session": True}

    def answers(self) -> bool:
        return subprocess.run([CLIENT, "--host", self.host, "info"], capture_output=True).returncode == 0

    def kill(self) -> None:
        """kill -9 of the engine and of the containerd that it started."""
        super().kill()
        if self._folder is not None:
            _end_containerd(self._folder)

    def import_base(self) -> None:
        if BASE in self.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines():
            return
        variables = " ".join(f"{name}={AUTHORITIES}" for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT"))
        self.docker("import", "--change", f"ENV {variables}", "--change", 'CMD ["bash"]', str(base_archive()), BASE)


def base_archive() -> Path:
    """Made by scripts/engines/docker.sh, which is quick when it is there already."""
    done = subprocess.run(["sh", "scripts/engines/docker.sh"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        fail_without(f"There is no Docker for the tests. {done.stdout}{done.stderr}")
    return Path(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def running_dockerd(folder: Path | None = None) -> Iterator[DockerEngine]:
    """An engine until the block is left; nothing of it stays. Fails, or skips with ALLOW_MISSING_ENGINES=1, where there
    is no Docker. `folder` (short: a socket is in it) outlives it, and
    with it the images, for the next one.
    """
    if os.environ.get("TEST_DOCKER_HOST"):
        yield DockerEngine(os.environ["TEST_DOCKER_HOST"])
        return
    base_archive()
    own = folder or Path(tempfile.mkdtemp(prefix="buildspace-dockerd-", dir="/var/tmp"))
    own.mkdir(parents=True, exist_ok=True)
    engine = DockerEngine(f"unix://{own}/docker.sock", own)
    with _alone(), _network_as_before():
        try:
            engine.start()
            engine.import_base()
            yield engine
        finally:
            _clean_up(engine, own, keep=folder is not None)


def _clean_up(engine: DockerEngine, folder: Path, *, keep: bool) -> None:
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        containers = engine.docker("ps", "--all", "--quiet").split()
        if containers:
            engine.docker("rm", "--force", "--volumes", *containers)
        engine.docker("network", "prune", "--force")
        engine.docker("volume", "prune", "--force")
    engine.stop()
    _unmount_below(folder)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _unmount_below(folder: Path) -> None:
    """Innermost first: what a killed engine left mounted holds its folder."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True)


def _end_containerd(folder: Path) -> None:
    """A killed dockerd leaves the containerd that it started; the next one starts it anew."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes().split(b"\0")
            if command[0].endswith(b"containerd") and any(str(folder).encode() in each for each in command):
                os.kill(int(entry.name), signal.SIGKILL)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Engines of one machine share its firewall: one of ours at a time."""
    with open("/var/tmp/buildspace-dockerd.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _network_as_before() -> Iterator[None]:
    """An engine leaves its bridges and its firewall rules. They go, unless another engine was here before."""
    is_shared = _is_running("dockerd")
    try:
        yield
    finally:
        _remove_traces(is_shared=is_shared)


def _is_running(name: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if entry.read_text().strip() == name:
                return True
    return False


def _remove_traces(*, is_shared: bool) -> None:
    for table in _tables():
        subprocess.run(["nft", "delete", "table", "inet", table], capture_output=True)
    if is_shared:
        return
    for name in _bridges():
        subprocess.run(["ip", "link", "delete", name], capture_output=True)
    for program, table in itertools.product(("iptables", "ip6tables"), ("filter", "nat", "raw")):
        _remove_chains(program, table)


def _bridges() -> set[str]:
    return {name for name in os.listdir("/sys/class/net") if name.startswith(("docker0", "br-", "bs-"))}


def _tables() -> list[str]:
    """Those of the gateway's walls."""
    if shutil.which("nft") is None:
        return []
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    return [line.split()[2] for line in listed.splitlines() if line.startswith("table inet buildspace-bs-")]


def _remove_chains(program: str, table: str) -> None:
    def run(*arguments: str) -> list[str]:
        done = subprocess.run([program, "--wait", "--table", table, *arguments], capture_output=True, text=True)
        return done.stdout.splitlines()

    for rule in run("--list-rules"):
        if rule.startswith("-A") and any(word in rule for word in OWN_RULES):
            run("--delete", *shlex.split(rule)[1:])
    chains = [rule.split()[1] for rule in run("--list-rules") if rule.startswith(tuple(f"-N {w}" for w in OWN_CHAINS))]
    for action, chain in itertools.product(("--flush", "--delete-chain"), chains):
        run(action, chain)
