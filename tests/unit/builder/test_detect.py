"""How a repository is built: the user's settings, then the `build` script, then the framework."""

import pytest

from builder.detect import make_plan
from builder.errors import BuildFailed
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project


def plan(tmp_path, files, **settings):
    return make_plan(make_job("https://example.org/a", **settings), write_project(tmp_path, files))


def package(scripts=None, **dependencies):
    return {"package.json": {"scripts": scripts or {}, "devDependencies": dependencies}}


def test_plain_html_needs_no_commands(tmp_path):
    found = plan(tmp_path, {"index.html": "<p>"})
    assert (found.name, found.install, found.build, found.outputs) == ("Static HTML", None, None, ("public", "."))


def test_the_build_script_wins_over_the_framework(tmp_path):
    found = plan(tmp_path, package({"build": "vite build --mode x"}, vite="8"))
    assert (found.name, found.build, found.outputs) == ("Vite", ("npm", "run", "build"), ("dist",))


def test_the_framework_builds_where_there_is_no_script(tmp_path):
    assert plan(tmp_path, package(vite="8")).build == ("bash", "-c", "vite build")


def test_the_users_settings_win(tmp_path):
    found = plan(
        tmp_path,
        package({"build": "x"}, vite="8"),
        install_command="npm i -f",
        build_command="make site && true",
        output_directory="/web/",
    )
    assert found.install == ("bash", "-c", "npm i -f")
    assert found.build == ("bash", "-c", "make site && true")
    assert found.outputs == ("web",)
    assert found.is_output_given


def test_an_empty_command_means_none(tmp_path):
    found = plan(tmp_path, package({"build": "x"}), install_command="", build_command=" ")
    assert (found.install, found.build) == (None, None)


def test_the_manager_of_the_lockfile_runs_the_script(tmp_path):
    found = plan(tmp_path, package({"build": "x"}) | {"pnpm-lock.yaml": "lockfileVersion: '9.0'"})
    assert found.build == ("pnpm", "run", "build")


def test_a_root_directory_holds_the_project_and_its_workspace_the_lockfile(tmp_path):
    files = {
        "package.json": {"workspaces": ["apps/*"]},
        "package-lock.json": "{}",
        "apps/site/package.json": {"scripts": {"build": "x"}, "dependencies": {"astro": "7"}},
    }
    found = plan(tmp_path, files, root_directory="apps/site")
    assert (found.name, str(found.install_root), found.outputs) == ("Astro", ".", ("apps/site/dist",))


@pytest.mark.parametrize("setting", ["../other", "a/../../b", "/../x", "a\0b"])
@pytest.mark.parametrize("name", ["root_directory", "output_directory"])
def test_nothing_outside_the_repository_can_be_named(tmp_path, setting, name):
    with pytest.raises(BuildFailed, match="inside the repository"):
        plan(tmp_path, {"index.html": ""}, **{name: setting})


def test_an_output_beside_the_project_may_be_named(tmp_path):
    found = plan(tmp_path, {"apps/site/x": ""}, root_directory="apps/site", output_directory="../../dist/site")
    assert found.outputs == ("dist/site",)


def test_a_root_directory_that_is_not_there_is_told_with_those_that_are(tmp_path):
    with pytest.raises(BuildFailed, match=r"no folder 'site'.*The folders there: docs, web\."):
        plan(tmp_path, {"web/x": "", "docs/x": ""}, root_directory="site")


def test_a_root_directory_that_is_a_link_is_none(tmp_path):
    (tmp_path / "site").symlink_to("/etc")
    with pytest.raises(BuildFailed, match="no folder 'site'"):
        plan(tmp_path, {"x": ""}, root_directory="site")


def test_a_package_json_that_is_a_link_is_not_read(tmp_path):
    (tmp_path / "package.json").symlink_to("/etc/passwd")
    assert plan(tmp_path, {"index.html": ""}).name == "Static HTML"


@pytest.mark.parametrize("text", ["{", "[]", "null", '"x"', "[" * 100_000])
def test_a_broken_package_json_fails_with_its_name(tmp_path, text):
    with pytest.raises(BuildFailed, match=r"package\.json can't be read"):
        plan(tmp_path, {"package.json": text})


@pytest.mark.parametrize("value", [3, ["a"], None, "x", {"build": 3}])
def test_odd_values_in_package_json_are_passed_over(tmp_path, value):
    assert plan(tmp_path, {"package.json": {"scripts": value, "dependencies": value, "index.html": 1}}).build is None


def test_angular_says_where_its_output_goes(tmp_path):
    files = package(**{"@angular/cli": "22"}) | {"angular.json": '{"x": {"outputPath": "dist/shop"}}'}
    assert plan(tmp_path, files).outputs[:2] == ("dist/shop/browser", "dist/shop")


SERVER_RENDERED = [
    ({"next": "16"}, {}, {}, "output: 'export'"),
    ({"next": "16"}, {}, {"next.config.js": "// output: 'export'\nmodule.exports = {}"}, "output: 'export'"),
    ({"nuxt": "4"}, {"build": "nuxt build"}, {}, "npx nuxt generate"),
    ({"@sveltejs/kit": "3", "@sveltejs/adapter-auto": "1"}, {"build": "vite build"}, {}, "@sveltejs/adapter-static"),
    ({"astro": "7"}, {}, {"astro.config.mjs": "export default { output: 'server' }"}, "output: 'static'"),
    ({"@remix-run/dev": "2"}, {}, {}, "ssr: false"),
    ({"@react-router/dev": "7"}, {}, {"react-router.config.ts": "export default { ssr: true }"}, "ssr: false"),
    ({"@tanstack/react-start": "1"}, {}, {}, "spa: { enabled: true }"),
    ({"@solidjs/start": "1"}, {}, {}, "preset: 'static'"),
    ({"@nestjs/core": "11"}, {"build": "nest build"}, {}, "buildCommand"),
    ({"nitropack": "2"}, {}, {}, "preset: 'static'"),
]


@pytest.mark.parametrize(("dependencies", "scripts", "files", "fix"), SERVER_RENDERED)
def test_a_server_rendered_project_is_refused_with_the_fix(tmp_path, dependencies, scripts, files, fix):
    with pytest.raises(BuildFailed, match="only files are served here") as refused:
        plan(tmp_path, package(scripts, **dependencies) | files)
    assert fix in refused.value.reason


@pytest.mark.parametrize(
    ("dependencies", "scripts", "files"),
    [
        ({"next": "16"}, {}, {"next.config.mjs": 'export default { output: "export" }'}),
        ({"next": "16"}, {}, {"next.config.ts": "c.output = process.env.CI ? 'export' : undefined"}),
        ({"next": "12"}, {"build": "next build && next export"}, {}),
        ({"nuxt": "4"}, {"build": "nuxt generate"}, {}),
        ({"nuxt": "4"}, {"build": "nuxt build"}, {"nuxt.config.ts": "nitro: { preset: 'static' }"}),
        ({"nuxt": "4"}, {}, {}),
        ({"@sveltejs/kit": "3", "@sveltejs/adapter-static": "3"}, {"build": "vite build"}, {}),
        ({"astro": "7", "@astrojs/node": "1"}, {}, {"astro.config.mjs": "export default {}"}),
        ({"@react-router/dev": "7"}, {}, {"react-router.config.ts": "export default { ssr: false }"}),
        ({"@tanstack/react-start": "1"}, {}, {"vite.config.ts": "tanstackStart({ spa: { enabled: true } })"}),
    ],
)
def test_its_static_form_is_built(tmp_path, dependencies, scripts, files):
    assert plan(tmp_path, package(scripts, **dependencies) | files).build is not None


def test_a_nuxt_project_with_a_script_for_files_uses_it(tmp_path):
    found = plan(tmp_path, package({"build": "nuxt build", "generate": "nuxt generate"}, nuxt="4"))
    assert found.build == ("npm", "run", "generate")
    assert found.notes[0] == "The script `generate` is run: `build` would make a server."


@pytest.mark.parametrize("framework", ["next", "gatsby", "react-scripts", "nuxt", "gulp"])
def test_a_committed_export_beside_its_package_json_is_published_as_it_is(tmp_path, framework):
    found = plan(tmp_path, package({"dev": "x"}, **{framework: "1"}) | {"index.html": "<p>", "public/index.html": ""})
    assert (found.install, found.build, found.outputs) == (None, None, (".",))


def test_who_names_the_output_by_hand_is_believed(tmp_path):
    found = plan(tmp_path, package(next="16"), output_directory="out")
    assert found.notes[0].startswith("Mind: This Next.js project needs a server")
