"""Keys of the kernel: what stands in the builder's session, or what a build left, no build finds."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pyseccomp
import pytest

from builder.sandbox.inside import kernel
from tests.hostile.confined import a_sandbox, run, run_python

ADD_KEY, KEYCTL = (pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in ("add_key", "keyctl"))
SESSION = -3
ADD = f"""
import ctypes
print(ctypes.CDLL(None).syscall({ADD_KEY}, b"user", b"left", b"secret", ctypes.c_size_t(6), {SESSION}) > 0)
"""
SEARCH = f"""
import ctypes
print(ctypes.CDLL(None).syscall({KEYCTL}, 10, {SESSION}, b"user", b"left", 0) > 0)
"""


@pytest.mark.parametrize("grade", ["strong", "basic", "none"])
async def test_keys_of_the_builders_session_are_not_found(tmp_path: Path, grade: str) -> None:
    kernel.leave_session_keyring()
    key = ctypes.CDLL(None).syscall(ADD_KEY, b"user", b"left", b"secret", ctypes.c_size_t(6), SESSION)
    outcome = await run_python(a_sandbox(grade, tmp_path), SEARCH)
    assert (key > 0, outcome.output) == (True, "False\n")


async def test_a_key_that_a_build_left_is_not_found_by_the_next(tmp_path: Path) -> None:
    """Under `none`, which alone lets builds ask for keys."""
    sandbox = a_sandbox("none", tmp_path)
    outcomes = [await run_python(sandbox, program) for program in (ADD, SEARCH)]
    assert [outcome.output for outcome in outcomes] == ["True\n", "False\n"]


async def test_the_list_of_keys_is_empty_in_strong(tmp_path: Path) -> None:
    assert (await run(a_sandbox("strong", tmp_path), "cat", "/proc/keys", "/proc/key-users")).output == ""
