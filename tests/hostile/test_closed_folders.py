"""A build of the gateway's own account changes modes: no Landlock forbids that. The object store works all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.confined import run_as_ordinary

PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
from tests.hostile import closed_folders

logging.basicConfig(level=logging.WARNING)
asyncio.run(getattr(closed_folders, sys.argv[1])(Path(sys.argv[2]), *sys.argv[3:]))
"""


def play(scene: str, folder: Path, *arguments: str) -> str:
    """What was logged. A scene holds its own assertions."""
    played = run_as_ordinary(PROGRAM, scene, str(folder), *arguments, folder=folder)
    assert played.returncode == 0, played.stderr
    return played.stderr


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(".", id="above the data directory"),
        "data",
        "data/objects",
        "data/objects/__blobs",
        "data/objects/__blobs/project",
        "data/objects/__blobs/project/sha256",
    ],
)
def test_what_a_build_closes_is_opened_again_and_the_log_names_it(tmp_path: Path, path: str) -> None:
    said = play("closed", tmp_path, path)
    assert f"mode set back {tmp_path / path}: it was 0000" in said


def test_an_object_is_stored_though_its_folders_are_closed_while_it_comes(tmp_path: Path) -> None:
    assert f"mode set back {tmp_path / 'objects'}: it was 0000, it is 0700" in play(
        "closed_while_an_object_comes", tmp_path
    )


def test_what_was_closed_while_no_gateway_ran_is_opened_at_the_start(tmp_path: Path) -> None:
    play("closed_before_the_start", tmp_path)


def test_a_list_of_rights_that_closes_all_that_is_made_is_removed(tmp_path: Path) -> None:
    play("closed_to_all_that_is_made", tmp_path)


def test_a_folder_that_cannot_be_used_is_named_until_it_can(tmp_path: Path) -> None:
    play("in_the_way", tmp_path)
