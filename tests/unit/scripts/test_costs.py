"""The page on going to production: its costs are computed, its settings and commands exist."""

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from gateway.commands import cli
from gateway.config import ENVIRONMENT_NAMES, Config, load_config
from scripts import costs

PAGE = Path(__file__).resolve().parents[3] / "docs" / "going-to-production.md"
TEXT = PAGE.read_text()
SETTINGS = {
    f"{section.name}.{key}"
    for section in dataclasses.fields(Config)
    for key in section.default_factory.__dataclass_fields__
}


def between(name):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", TEXT, re.DOTALL)[1]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_table_is_what_the_model_says():
    assert between("costs") == costs.table(), "Run: python -m scripts.costs"


def test_every_number_of_the_model_is_told():
    assert between("assumptions") == costs.assumptions(), "Run: python -m scripts.costs"


def test_costs_grow_with_what_is_used_and_with_its_price():
    small, large = costs.monthly(costs.SETUPS[0]), costs.monthly(costs.SETUPS[2])
    assert all(large[item] >= small[item] for item in small)
    twice = costs.monthly(costs.SETUPS[1], costs.Site(builds=20))
    assert twice["builds"] == pytest.approx(2 * costs.monthly(costs.SETUPS[1])["builds"])
    free = dataclasses.replace(costs.Prices(), transfer_gb=0.0)
    assert costs.monthly(costs.SETUPS[1], prices=free)["traffic to visitors"] == 0


def test_a_site_with_ten_builds_of_two_minutes_costs_what_a_calculator_says():
    # 1,000 sites: 10,000 builds of 2 minutes are 333.3 hours of 2 vCPU and 4 GB.
    expected = 10_000 * 2 / 60 * (2 * 0.04048 + 4 * 0.004445)
    assert costs.monthly(costs.SETUPS[1])["builds"] == pytest.approx(expected)


@pytest.mark.parametrize("block", blocks("toml"))
def test_the_settings_that_are_shown_are_settings(block, tmp_path, monkeypatch):
    written = {f"{section}.{key}" for section, keys in tomllib.loads(block).items() for key in keys}
    assert written <= SETTINGS
    (tmp_path / "config.toml").write_text(block)
    load_config(tmp_path / "config.toml", {})


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_0-9]+\.[a-z_]+)`", TEXT)) - {"config.toml"}))
def test_a_setting_that_is_named_exists(name):
    assert name in SETTINGS


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([A-Z][A-Z_0-9]+)`", TEXT))))
def test_a_variable_that_is_named_exists(name):
    section = {f"BUILDSPACE_{setting.replace('.', '_').upper()}" for setting in SETTINGS}
    assert name in section | set(ENVIRONMENT_NAMES)


@pytest.mark.parametrize(
    "line", [line for block in blocks("sh") for line in block.splitlines() if "buildspace" in line]
)
def test_a_command_that_is_shown_is_understood(line):
    program, *arguments = shlex.split(line)
    assert program == "buildspace"
    assert cli._parser().parse_args(arguments).command == arguments[0]
