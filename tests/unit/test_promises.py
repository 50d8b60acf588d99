"""What README and docs say, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.models.deployment import Status
from scripts.reference import API_PAGE, api_page
from tests.engines.programs import fail_without

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_api_reference_is_what_the_code_says() -> None:
    assert API_PAGE.read_text() == api_page(), "Run: python -m scripts.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_or_a_named_file_in_the_docs_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:gateway|builder|sql|docs|tests|scripts|examples)/[\w./]+)`", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def holds_files(path: Path) -> bool:
    return path.is_dir() and any(each.is_file() for each in path.iterdir())


def test_the_layout_names_every_part_of_the_gateway() -> None:
    (layout,) = re.findall(r"^gateway/\n(.*?)^builder/", (ROOT / "docs/architecture.md").read_text(), re.M | re.S)
    # A folder without a file is what git leaves of one that was moved.
    parts = {path.stem for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or holds_files(path)}
    missing = parts - set(re.findall(r"\w+", layout)) - {"__init__", "__pycache__"}
    assert missing == set()


@pytest.mark.parametrize("target", ["demo", "run", "test", "soak", "check", "help", "conformance", "test-image"])
def test_make_has_the_targets_that_are_named(target: str) -> None:
    assert re.search(rf"^{target}:.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_variable_that_names_an_engine_for_the_tests_is_explained() -> None:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.sh")]
    asked = {name for path in sources for name in re.findall(r"""["{](TEST_[A-Z0-9_]+)[":]""", path.read_text())}
    explained = set(re.findall(r"`(TEST_[A-Z0-9_]+)`", (ROOT / "CONTRIBUTING.md").read_text()))
    assert asked == explained


def test_a_missing_engine_fails_its_test_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOW_MISSING_ENGINES", raising=False)
    with pytest.raises(pytest.fail.Exception, match=r"There is no Kafka here\."):
        fail_without("There is no Kafka here.")


def test_a_missing_engine_skips_its_test_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOW_MISSING_ENGINES", "1")
    with pytest.raises(pytest.skip.Exception, match=r"There is no Kafka here\."):
        fail_without("There is no Kafka here.")


def test_the_states_of_the_readme_are_the_states_of_the_code() -> None:
    (line,) = re.findall(r"`(QUEUE -> .*?)`", (ROOT / "README.md").read_text())
    assert set(re.findall(r"[A-Z]+", line)) == set(Status)


def test_the_columns_that_other_tools_read_are_there() -> None:
    sql = "\n".join(path.read_text() for path in sorted((ROOT / "sql" / "postgres").iterdir()))
    users = re.search(r"CREATE TABLE users \((.*?)\);", sql, re.DOTALL)
    projects = re.search(r"CREATE TABLE projects \((.*?)\);", sql, re.DOTALL)
    deployments = re.search(r"CREATE TABLE deployments \((.*?)\);", sql, re.DOTALL)
    assert users
    assert projects
    assert deployments
    assert names(users[1]) >= {"id", "first_name", "last_name", "email", "password", "created_at"}
    assert names(projects[1]) >= {"id", "name", "git_url", "subdomain", "custom_domain", "created_by", "created_at"}
    assert names(deployments[1]) >= {"id", "project_id", "status", "created_at", "completed_at"}


def names(columns: str) -> set[str]:
    return set(re.findall(r"^\s+([a-z_]+) ", columns, re.MULTILINE))
