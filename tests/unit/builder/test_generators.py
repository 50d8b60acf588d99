"""Generators that do not come from npm: their commands, folders and programs, and those that are refused."""

import pytest

from builder.detect import make_plan
from builder.errors import BuildFailed
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project


def plan(tmp_path, files, **settings):
    return make_plan(make_job("https://example.org/a", **settings), write_project(tmp_path, files))


@pytest.mark.parametrize(
    ("files", "name", "command", "output"),
    [
        ({"hugo.yaml": "title: x\n"}, "Hugo", "hugo --gc", "public"),
        ({"config.toml": "baseURL = 'x'\npublishDir = 'web/out' # here\n"}, "Hugo", "hugo --gc", "web/out"),
        ({"config/_default/hugo.toml": 'publishdir = "../outside"'}, "Hugo", "hugo --gc", "public"),
        ({"mkdocs.yml": "site_name: x\n"}, "MkDocs", "mkdocs build", "site"),
        ({"mkdocs.yml": "site_dir: 'web'\n"}, "MkDocs", "mkdocs build", "web"),
        ({"zensical.toml": "[project]\nsite_dir = 'web'"}, "Zensical", "zensical build", "web"),
        ({"book.toml": "[build]\nbuild-dir = 'out'"}, "mdBook", "mdbook build", "out"),
        ({"conf.py": "html_theme = 'x'"}, "Sphinx", "sphinx-build -b html . _build/html", "_build/html"),
        (
            {"docs/source/conf.py": "extensions=[]"},
            "Sphinx",
            "sphinx-build -b html docs/source _build/html",
            "_build/html",
        ),
        ({"pelicanconf.py": ""}, "Pelican", "pelican content -o output -s pelicanconf.py", "output"),
        (
            {"pelicanconf.py": "PATH = 'posts'", "publishconf.py": ""},
            "Pelican",
            "pelican posts -o output -s publishconf.py",
            "output",
        ),
    ],
)
def test_a_generator_is_recognised_by_its_configuration(tmp_path, files, name, command, output):
    found = plan(tmp_path, files)
    assert (found.name, found.build_shown, found.outputs[0]) == (name, command, output)
    assert found.install is None


def test_a_build_script_wins_and_finds_hugo(tmp_path):
    files = {"hugo.toml": "", "package.json": {"scripts": {"build": "hugo --minify"}, "dependencies": {"vite": "8"}}}
    found = plan(tmp_path, files)
    assert (found.name, found.build, found.install) == ("Hugo", ("npm", "run", "build"), ("npm", "install"))
    assert found.programs == {"hugo"}


def test_packages_for_hugos_pipes_are_installed_before_hugo(tmp_path):
    files = {"hugo.toml": "", "package.json": {"devDependencies": {"postcss-cli": "11"}}, "package-lock.json": "{}"}
    found = plan(tmp_path, files)
    assert (found.install, found.build_shown) == (("npm", "ci"), "hugo --gc")


def test_a_package_json_without_packages_is_not_installed_for_hugo(tmp_path):
    assert plan(tmp_path, {"hugo.toml": "", "package.json": {"name": "x"}}).install is None


def test_the_programs_that_commands_call_are_on_the_path(tmp_path):
    files = {"package.json": {"scripts": {"build": "npm run site && true", "site": "hugo -d x"}}}
    assert plan(tmp_path, files).programs == {"hugo"}
    assert plan(tmp_path, files, build_command="./hugo && mdbook build x").programs == {"hugo", "mdbook"}
    assert plan(tmp_path, {"package.json": {"scripts": {"build": "hugo-bin x/hugo hugo.js"}}}).programs == set()


@pytest.mark.parametrize(
    ("files", "name", "folder"),
    [
        ({"config.toml": "base_url = 'x'"}, "Zola", "public"),
        ({"_config.yml": "title: x", "Gemfile": "", "index.html": "---\n"}, "Jekyll", "_site"),
        ({"_config.yml": "title: x", "index.md": ""}, "Jekyll", "_site"),
        ({"_config.yml": "title: x", "_posts/a.md": "", "index.html": ""}, "Jekyll", "_site"),
        ({"config.rb": ""}, "Middleman", "build"),
    ],
)
def test_what_can_not_be_built_here_is_refused_with_the_way(tmp_path, files, name, folder):
    with pytest.raises(BuildFailed) as caught:
        plan(tmp_path, files)
    assert caught.value.sentence.startswith(f"This is a site for {name}, which can't be built here: ")
    assert f"push the built site ({folder}/) to a branch of its own" in caught.value.sentence


def test_a_refused_generator_builds_by_a_command_of_the_user_or_not_at_all(tmp_path):
    files = {"_config.yml": "title: x", "Gemfile": "", "_site/index.html": ""}
    assert plan(tmp_path, files, build_command="make").build_shown == "make"
    assert plan(tmp_path, files, build_command="", output_directory="_site").outputs == ("_site",)


def test_a_plain_page_beside_a_config_yml_is_published_as_it_is(tmp_path):
    assert plan(tmp_path, {"_config.yml": "theme: x", "index.html": "<p>"}).build is None
