"""What docs/settings.md says of settings."""

import re
from pathlib import Path

import pytest

from builder.detect import make_plan
from builder.environment import FIXED, describe_deployment
from builder.protocol.settings import SETTINGS
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "settings.md").read_text()
EXAMPLES = re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_is_that_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(setting.json_name, setting.name, setting.about) for setting in SETTINGS]


@pytest.mark.parametrize(("name", "text"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_understood_without_a_word_against_it(tmp_path, name, text):
    plan = make_plan(make_job("https://example.org/a"), write_project(tmp_path, {name: text, "site/x": ""}))
    assert plan.build_shown == "npm run build"
    assert [line for line in plan.settings.lines() if f"from {name}: " not in line] == []


def test_every_variable_of_a_deployment_is_in_the_table():
    rows = "".join(re.findall(r"^\| (`[A-Z].*?) \|", PAGE, re.MULTILINE))
    described = describe_deployment(make_job("https://example.org/a"), "main", "abc")
    assert {*described, "CI", "BUILDSPACE", "FORCE_COLOR", "TZ", "PULL_REQUEST"} == set(re.findall(r"`(\w+)`", rows))
    assert {"CI", "BUILDSPACE", "FORCE_COLOR", "TZ", "PULL_REQUEST"} <= FIXED.keys()
