"""The packages of Python that a project needs: where they are named, and the commands that install them."""

import pytest

from builder.checkout import HERE
from builder.detect import make_plan
from builder.interpreters import Python, choose_python, find_pythons, read_python_wish
from builder.python_project import read_python_project
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

SYNC = 'uv sync --frozen --inexact --python "$VIRTUAL_ENV/bin/python"'
POETRY = "uv tool run poetry install --no-root --no-interaction"
PROJECT = "[project]\nname = 'x'\ndependencies = ['rich']\n"


@pytest.mark.parametrize(
    ("files", "installs"),
    [
        ({"requirements.txt": "mkdocs==1.6.1"}, ["uv pip install -r requirements.txt"]),
        ({"requirements.txt": "mkdocs-material"}, ["uv pip install -r requirements.txt"]),
        ({"requirements.txt": "rich"}, ["uv pip install -r requirements.txt mkdocs"]),
        ({}, ["uv pip install mkdocs"]),
        (
            {"requirements.txt": "rich", "docs/requirements.txt": "MkDocs"},
            ["uv pip install -r requirements.txt -r docs/requirements.txt"],
        ),
        (
            {".readthedocs.yaml": "python:\n  install:\n    - requirements: d/r.txt\n", "d/r.txt": "mkdocs"},
            ["uv pip install -r d/r.txt"],
        ),
        ({"pyproject.toml": PROJECT}, ["uv pip install -r pyproject.toml mkdocs"]),
        (
            {"pyproject.toml": PROJECT + "[dependency-groups]\ndocs = ['mkdocs']\ntest = ['pytest']"},
            ["uv pip install -r pyproject.toml --group docs"],
        ),
        (
            {"pyproject.toml": PROJECT + "[project.optional-dependencies]\nguide = ['mkdocs>1']"},
            ["uv pip install -r pyproject.toml --extra guide"],
        ),
        (
            {"pyproject.toml": PROJECT + "[dependency-groups]\ndocs = ['mkdocs']", "uv.lock": ""},
            [f"{SYNC} --group docs"],
        ),
        ({"pyproject.toml": PROJECT, "uv.lock": ""}, [SYNC, "uv pip install mkdocs"]),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.9'\nmkdocs = '*'"}, [POETRY]),
        ({"pyproject.toml": "[tool.black]\nx = 1"}, ["uv pip install mkdocs"]),
    ],
)
def test_packages_are_installed_from_where_the_project_names_them(tmp_path, files, installs):
    found = read_python_project(write_project(tmp_path, files), HERE, "mkdocs")
    assert list(found.installs) == installs
    assert bool(found.notes) == installs[-1].endswith(" mkdocs")


def test_a_pipfile_gets_a_warning_with_the_way(tmp_path):
    found = read_python_project(write_project(tmp_path, {"Pipfile": ""}), HERE, "sphinx")
    assert found.installs == ("uv pip install sphinx",)
    assert "`pipenv requirements`" in found.notes[0]


def test_a_group_with_an_odd_name_is_no_option_of_a_shell(tmp_path):
    files = {"pyproject.toml": "[dependency-groups]\n'; rm -rf x' = ['mkdocs']\n"}
    assert read_python_project(write_project(tmp_path, files), HERE, "mkdocs").installs == ("uv pip install mkdocs",)


@pytest.mark.parametrize("command", ["pip install x && make", "python3 build.py", "uv run mkdocs build"])
def test_a_command_that_calls_python_has_one(tmp_path, command):
    job = make_job("https://example.org/a", build_command=command)
    found = make_plan(job, write_project(tmp_path, {"requirements.txt": "x"}))
    assert found.python.installs == ("uv pip install -r requirements.txt",)
    assert found.python.seeds_pip
    assert found.name == "Python"


def test_the_users_install_command_takes_the_place_of_ours(tmp_path):
    job = make_job("https://example.org/a", install_command="pip install mkdocs")
    found = make_plan(job, write_project(tmp_path, {"mkdocs.yml": "", "requirements.txt": "x"}))
    assert (found.python.installs, found.install_shown) == ((), "pip install mkdocs")


def test_a_site_of_node_has_no_python(tmp_path):
    files = {"package.json": {"scripts": {"build": "x"}}, "requirements.txt": "x"}
    assert make_plan(make_job("https://example.org/a"), write_project(tmp_path, files)).python is None


PYTHONS = [Python((3, minor, 1), f"/usr/bin/python3.{minor}") for minor in (11, 9, 13)]


@pytest.mark.parametrize(
    ("files", "used", "is_there"),
    [
        ({}, 11, True),
        ({"runtime.txt": "3.9\n"}, 9, True),
        ({"runtime.txt": "python-3.13.0"}, 13, True),
        ({".python-version": "# ours\n3.9.18\n"}, 9, True),
        ({".python-version": "3"}, 11, True),
        ({".tool-versions": "nodejs 20\npython 3.13.2\n"}, 13, True),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.12'"}, 13, True),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.8,<3.11'"}, 9, True),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.9'"}, 11, True),
        ({".python-version": "3.10"}, 11, False),
        ({".python-version": "3.14"}, 13, False),
        ({".python-version": "pypy3.9"}, 11, True),
    ],
)
def test_the_python_that_a_project_asks_for_is_used_or_the_nearest(tmp_path, files, used, is_there):
    wish = read_python_wish({}, write_project(tmp_path, files), HERE)
    python, note = choose_python(wish, PYTHONS)
    assert python.version[1] == used
    assert bool(note) != is_there


def test_another_python_than_the_one_asked_for_is_a_warning_with_those_that_are_there(tmp_path):
    wish = read_python_wish({"PYTHON_VERSION": "3.8"}, write_project(tmp_path, {}), HERE)
    assert choose_python(wish, PYTHONS)[1].startswith(
        "Warning: PYTHON_VERSION asks for Python 3.8. This machine has 3.9, 3.11, 3.13: Python 3.9.1 is used"
    )


def test_a_python_of_this_machine_is_found_with_what_it_reads():
    found = find_pythons()
    assert found
    assert all(
        str(each.program).startswith("/usr/") or each.program.is_relative_to(each.read_only[0]) for each in found
    )
