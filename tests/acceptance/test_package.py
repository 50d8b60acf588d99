"""The wheel alone, as an ordinary user gets it: everything is in it, and it starts in an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Repositories
from tests.engines.gateway import ROOT, running_gateway

NOBODY = 65534
AS_ORDINARY_USER = (
    ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--")
    if os.geteuid() == 0
    else ()
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that an ordinary user owns and reaches."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        home = Path(made)
        home.chmod(0o755)
        yield home


def install_wheel(folder: Path) -> Path:
    """Build the wheel, install it into a virtual environment of its own; the `buildspace` command."""
    environment = folder / "venv"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv is not None, "uv is missing; `make test` installs it."
    run(uv, "build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT))
    run(uv, "venv", "--quiet", "--python", "/usr/bin/python3", str(environment))
    (wheel,) = (folder / "dist").glob("*.whl")
    run(uv, "pip", "install", "--quiet", "--link-mode=copy", "--python", str(environment / "bin/python"), str(wheel))
    return environment / "bin" / "buildspace"


def run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_installed_wheel_deploys_a_site_for_an_ordinary_user_in_an_empty_folder(
    folder: Path, repositories: Repositories
) -> None:
    command = install_wheel(folder)
    home = folder / "home"
    home.mkdir()
    if AS_ORDINARY_USER:
        os.chown(home, NOBODY, NOBODY)
    async with running_gateway(home, start=False, HOME=str(home), PYTHONPATH="", LC_ALL="C.UTF-8") as gateway:
        gateway.command = (*AS_ORDINARY_USER, str(command), "serve")
        await gateway.start()
        answer = await gateway.deploy(repositories.from_fixture("plain-html"))
        deployment = await gateway.ended(answer["deploymentId"])
        assert (deployment["status"], deployment["reason"]) == ("READY", None)
        status, _ = await gateway.fetch(answer["url"])
        assert status == 200
        async with gateway.session.get(f"{gateway.api}/") as page:
            assert (page.status, page.content_type) == (200, "text/html")
