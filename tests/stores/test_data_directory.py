"""The data directory is its account's alone, and stays so whatever a build of that account does."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from gateway.engines.data_directory import keep_usable, lock_data_directory
from gateway.errors import ConfigError

ANOTHER = 64776


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755, 0o1777])
def test_a_directory_that_is_open_to_others_is_closed_and_the_log_says_so(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gateway.engines.directory.modes")
    tmp_path.chmod(mode)
    with lock_data_directory(tmp_path):
        assert mode_of(tmp_path) & 0o777 == 0o700
    assert f"mode set back {tmp_path}: it was {mode:04o}" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_directory_of_another_account_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    os.chown(tmp_path, ANOTHER, ANOTHER)
    with (
        pytest.raises(ConfigError, match=f"belongs to user {ANOTHER}, and this is user 0: start"),
        lock_data_directory(tmp_path),
    ):
        pass
    assert (mode_of(tmp_path), list(tmp_path.iterdir())) == (0o755, [])


def test_all_that_is_ours_is_set_back_but_what_builds_make_in_their_own_folders(tmp_path: Path) -> None:
    with lock_data_directory(tmp_path):
        folders = [tmp_path / name for name in ("postgres/data/base/5", "postgres/socket", "objects", "work/one/work")]
        for folder in folders:
            folder.mkdir(parents=True)
        closed = [*folders[:3], tmp_path / "work" / "one", tmp_path / "postgres" / "data"]
        files = [tmp_path / "gateway.lock", tmp_path / "instance", folders[0] / "1259"]
        for file in files:
            file.touch()
        own = folders[3] / "script"
        own.touch(mode=0o755)
        own.chmod(0o755)
        for path in (*closed, *files):
            path.chmod(0)
        keep_usable(tmp_path)
        assert [mode_of(path) for path in closed] == [0o700] * 5
        assert [mode_of(path) for path in files] == [0o600] * 3
        assert mode_of(own) == 0o755


def test_a_link_in_the_directory_changes_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    outside.chmod(0o755)
    with lock_data_directory(tmp_path / "data"):
        (tmp_path / "data" / "objects").symlink_to(outside)
        keep_usable(tmp_path / "data")
    assert mode_of(outside) == 0o755
