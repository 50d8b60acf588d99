"""`make test` brings the engines of the tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def bring_engines(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/test_tools.sh where each engine's script has this body."""
    (folder / "scripts" / "engines").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "test_tools.sh", folder / "scripts")
    for script in (ROOT / "scripts" / "engines").glob("*.sh"):
        (folder / "scripts" / "engines" / script.name).write_text(body)
    return subprocess.run(["sh", "scripts/test_tools.sh"], cwd=folder, capture_output=True, text=True, timeout=60)


def test_every_engine_is_brought(tmp_path: Path) -> None:
    done = bring_engines(tmp_path, 'echo "$0" >> asked')
    asked = {Path(line).name for line in (tmp_path / "asked").read_text().splitlines()}
    assert (done.returncode, asked) == (0, {path.name for path in (ROOT / "scripts" / "engines").iterdir()})


def test_one_that_cannot_be_had_keeps_nobody_from_testing_the_rest(tmp_path: Path) -> None:
    done = bring_engines(tmp_path, 'echo "Run: sudo apt-get install it" >&2; exit 1')
    assert done.returncode == 0
    assert done.stderr.count("Run: sudo apt-get install it") == 5
    assert "The tests that need kafka will fail." in done.stderr
