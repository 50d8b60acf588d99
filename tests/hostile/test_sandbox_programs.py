"""What ordinary programs do in a build works in the sandbox as it does by hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builder.environment import make_environment
from tests.hostile.confined import a_sandbox, run, run_python

ALL = pytest.mark.parametrize("grade", ["strong", "basic", "none"])
BOTH = pytest.mark.parametrize("grade", ["strong", "basic"])
SPEAK = """
set -e
echo to stderr > /dev/stderr
echo to both | tee /dev/stderr
echo to a number > /dev/fd/1
echo to a process > /proc/self/fd/1
"""


@ALL
async def test_a_script_may_open_its_own_output_by_name(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "bash", "-c", SPEAK)
    assert (outcome.code, outcome.output.split("\n")) == (0, ["to both", "to a number", "to a process", ""])
    assert outcome.errors == "to stderr\nto both\n"


@BOTH
async def test_git_works_whatever_the_machines_configuration_is(tmp_path: Path, grade: str) -> None:
    """/etc/gitconfig is written by `git lfs install --system`, among others."""
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(["git", "init", "--quiet", work], check=True)
    author = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", work, *author, "commit", "--quiet", "--allow-empty", "-m", "First"], check=True)
    sandbox = a_sandbox(grade, tmp_path)
    environment = make_environment(sandbox.path(work), environ={})
    outcome = await run(sandbox, "git", "log", "--format=%s", **environment)
    assert (outcome.output, outcome.errors) == ("First\n", "")


@BOTH
async def test_the_builds_account_has_a_name(tmp_path: Path, grade: str) -> None:
    outcome = await run(a_sandbox(grade, tmp_path), "sh", "-c", "whoami; ssh -V")
    assert outcome.output.strip() != ""
    assert outcome.errors.startswith("OpenSSH")


@BOTH
async def test_a_login_shell_reads_the_machines_profile(tmp_path: Path, grade: str) -> None:
    assert "Permission denied" not in (await run(a_sandbox(grade, tmp_path), "bash", "-lic", "true")).errors


@BOTH
async def test_a_folder_can_be_moved_into_another_one(tmp_path: Path, grade: str) -> None:
    program = "import os; os.makedirs('a/x'); os.mkdir('b'); os.rename('a/x', 'b/x')"
    assert (await run_python(a_sandbox(grade, tmp_path), program)).errors == ""
