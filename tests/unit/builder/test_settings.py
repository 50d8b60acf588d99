"""Settings of the call, the project and the repository's files: which one holds, and what the log says of it."""

import json

import pytest

from builder.detect import make_plan
from builder.errors import BuildFailed
from builder.protocol.settings import Settings, UsedSetting
from builder.settings.documents import without_comments
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

PACKAGE = {"package.json": {"scripts": {"build": "x", "make": "y"}}}


def plan(root, files, **job):
    return make_plan(make_job("https://example.org/a", **job), write_project(root, PACKAGE | files))


def failure(root, files, **job):
    with pytest.raises(BuildFailed) as failed:
        plan(root, files, **job)
    return failed.value.reason


def lines(found):
    return "\n".join(found.settings.lines())


NETLIFY = """
[build]
  command = "npm run make"
  publish = "web"
  ignore = "true"
[build.environment]
  NODE_VERSION = "22"
  HUGO_VERSION = "0.128.0"
"""


def test_netlify_toml_says_how_to_build(tmp_path):
    found = plan(tmp_path, {"netlify.toml": NETLIFY})
    assert (found.build_shown, found.outputs, found.is_output_given) == ("npm run make", ("web",), True)
    assert found.settings.text("node_version") == "22"
    assert found.settings.text("ignore_command") == "true"
    assert found.settings.environment == {"NODE_VERSION": "22", "HUGO_VERSION": "0.128.0"}
    assert "Build command from netlify.toml: npm run make" in lines(found)
    assert "Variables from netlify.toml: HUGO_VERSION, NODE_VERSION" in lines(found)


def test_vercel_json_says_how_to_build(tmp_path):
    file = {"buildCommand": "npm run make", "installCommand": "npm i", "outputDirectory": "web", "framework": None}
    found = plan(tmp_path, {"vercel.json": file, "index.html": "the source"})
    assert (found.build_shown, found.install_shown, found.outputs) == ("npm run make", "npm i", ("web",))
    assert found.framework is None


def test_null_in_vercel_json_means_the_default_and_empty_means_none(tmp_path):
    file = {"buildCommand": None, "installCommand": "", "outputDirectory": None}
    found = plan(tmp_path, {"vercel.json": file})
    assert (found.build, found.install, found.is_output_given) == (("npm", "run", "build"), None, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wrangler.toml", 'name = "a"\npages_build_output_dir = "./web"\n[vars]\nA = "b"'),
        ("wrangler.json", '{"pages_build_output_dir": "./web"}'),
        (
            "wrangler.jsonc",
            '{\n  // pages: "x"\n  "url": "http://a//b", /* a\n */ "pages_build_output_dir": "web/",\n}',
        ),
    ],
)
def test_wrangler_names_the_output(tmp_path, name, text):
    found = plan(tmp_path, {name: text})
    assert found.outputs == ("web",)
    assert f"Output directory from {name}: " in lines(found)


def test_buildspace_toml_has_every_setting_and_variables(tmp_path):
    text = """
    install_command = "npm i"
    build_command = '''
    make
    '''
    output_directory = "../out"
    root_directory = "site"
    node_version = ">=20"
    framework = "vite"
    ignore_command = "false"
    strict_lockfile = true
    [environment]
    VITE_A = "1"
    """
    found = plan(tmp_path, {"buildspace.toml": text, "site/x": ""})
    assert (str(found.package.root), found.outputs, found.name) == ("site", ("out",), "Vite")
    assert found.settings.flag("strict_lockfile")
    assert {used.origin for used in found.settings.used()} == {"buildspace.toml"}
    assert UsedSetting("build_command", "make", "buildspace.toml") in found.settings.used()
    assert found.settings.environment == {"VITE_A": "1"}


ORDER = ["call", "buildspace.toml", "project", "netlify.toml", "vercel.json", "wrangler.toml"]


@pytest.mark.parametrize("place", range(len(ORDER)))
def test_the_strongest_place_wins(tmp_path, place):
    files = {
        "buildspace.toml": 'output_directory = "buildspace.toml"',
        "netlify.toml": '[build]\npublish = "netlify.toml"',
        "vercel.json": {"outputDirectory": "vercel.json"},
        "wrangler.toml": 'pages_build_output_dir = "wrangler.toml"',
    }
    layers = {name: Settings(output_directory=name) for name in ("call", "project") if name in ORDER[place:]}
    kept = {name: text for name, text in files.items() if name in ORDER[place:]}
    assert plan(tmp_path, kept, **layers).outputs == (ORDER[place],)


def test_a_project_without_files_or_settings_has_no_line(tmp_path):
    assert lines(plan(tmp_path, {})) == ""


CONTEXTS = """
[build]
command = "all"
publish = "all"
[context.production]
command = "production"
[context.production.environment]
A = "production"
[context.deploy-preview]
command = "preview"
[context.main]
publish = "main"
[context.branch-deploy]
command = "branch"
"""


@pytest.mark.parametrize(
    ("context", "branch", "wanted"),
    [
        ("production", "main", ("production", "main")),
        ("production", None, ("production", "all")),
        ("preview", "x", ("preview", "all")),
        ("branch:next", "next", ("branch", "all")),
    ],
)
def test_a_context_of_netlify_overrides_the_rest(tmp_path, context, branch, wanted):
    found = plan(tmp_path, {"netlify.toml": CONTEXTS}, context=context, branch=branch)
    assert (found.build_shown, *found.outputs) == wanted


def test_the_default_branch_is_the_one_that_git_checked_out(tmp_path):
    files = {"netlify.toml": CONTEXTS, ".git/HEAD": "ref: refs/heads/main\n"}
    assert plan(tmp_path, files).outputs == ("main",)


@pytest.mark.parametrize("base", ["site", "site/", "/site", "./site"])
@pytest.mark.parametrize("publish", ["www-out", "/www-out", "site/www-out"])
def test_the_base_of_netlify_is_the_root_directory(tmp_path, base, publish):
    text = f'[build]\nbase = "{base}"\ncommand = "npm run make"\npublish = "{publish}"'
    found = plan(tmp_path, {"netlify.toml": text, "site/package.json": {"dependencies": {"vite": "8"}}})
    assert (str(found.package.root), found.name, found.outputs) == ("site", "Vite", ("site/www-out",))


def test_a_netlify_toml_in_the_base_takes_the_place_of_the_one_at_the_root(tmp_path):
    files = {
        "netlify.toml": '[build]\nbase = "site"\ncommand = "outer"',
        "site/netlify.toml": '[build]\nbase = "elsewhere"\npublish = "inner"',
    }
    found = plan(tmp_path, files)
    assert (str(found.package.root), found.build_shown, found.outputs) == ("site", "", ("site/inner",))
    assert "Output directory from site/netlify.toml: inner" in lines(found)


def test_a_netlify_toml_about_another_app_is_passed_over(tmp_path):
    files = {"netlify.toml": '[build]\nbase = "apps/web"\ncommand = "web"', "apps/docs/package.json": {}}
    found = plan(tmp_path, files, root_directory="apps/docs")
    assert found.build is None
    assert "is about apps/web/ (line 2), not about apps/docs/" in lines(found)


def test_a_netlify_toml_without_a_base_is_about_any_root_directory(tmp_path):
    found = plan(tmp_path, {"netlify.toml": '[build]\ncommand = "c"', "apps/a/x": ""}, root_directory="apps/a")
    assert found.build_shown == "c"


def test_a_build_of_vitepress_elsewhere_is_published_from_there(tmp_path):
    files = {
        "package.json": {"scripts": {"build": "vitepress build src"}, "devDependencies": {"vitepress": "1"}},
        "netlify.toml": '[build]\npublish = "src/.vitepress/dist"',
    }
    assert plan(tmp_path, files).outputs == ("src/.vitepress/dist",)


@pytest.mark.parametrize(
    ("name", "text"),
    [("netlify.toml", '[build]\npublish = ".next"'), ("vercel.json", {"outputDirectory": ".next"})],
)
def test_a_folder_for_the_servers_of_another_host_is_passed_over(tmp_path, name, text):
    project = {"package.json": {"dependencies": {"next": "15"}}, "next.config.js": "output: 'export'", name: text}
    found = plan(tmp_path, project)
    assert (found.outputs, found.is_output_given) == (("out",), False)
    assert ".next is for a server" in lines(found)


def test_the_usual_command_of_another_host_does_not_make_a_server_static(tmp_path):
    files = {
        "package.json": {"scripts": {"build": "next build"}, "dependencies": {"next": "15"}},
        "netlify.toml": '[build]\ncommand = "npm run build"\npublish = ".next"',
    }
    assert "needs a server" in failure(tmp_path, files)


def test_keys_that_are_not_supported_are_named_once_with_their_line(tmp_path):
    text = '[build]\nfunctions = "f"\n[functions]\nx = 1\n[[plugins]]\na = 1\n[[redirects]]\na = 1\n[dev]\na=1\n'
    assert lines(plan(tmp_path, {"netlify.toml": text})) == (
        "netlify.toml: not supported yet, and passed over: functions (line 3), plugins (line 5), redirects (line 7),"
        " build.functions (line 2)."
    )
    vercel = '{\n  "cleanUrls": true,\n  "buildCommand": "x",\n  "rewrites": []\n}'
    found = lines(plan(tmp_path / "b", {"vercel.json": vercel}))
    assert "vercel.json: not supported yet, and passed over: cleanUrls (line 2), rewrites (line 4)." in found


BROKEN = [
    ("netlify.toml", "[build]\ncommand = 3", "netlify.toml, line 2: command must be text."),
    ("netlify.toml", "build = 3", "netlify.toml, line 1: build must be a table."),
    ("netlify.toml", "\n[build\n", "netlify.toml is not valid TOML: "),
    ("netlify.toml", '[build]\nbase = "../x"', "netlify.toml, line 2: base must be a folder inside the repository"),
    ("netlify.toml", "[build.environment]\nA = []", "netlify.toml, line 2: The variable A must be text."),
    ("vercel.json", '{\n"buildCommand": 1}', "vercel.json, line 2: buildCommand must be text."),
    ("vercel.json", '{\n"a" 1}', "vercel.json is not valid JSON: Expecting ':' delimiter (at line 2, column 5)."),
    ("vercel.json", "[]", "vercel.json must hold an object"),
    ("vercel.json", "[" * 100_000, "vercel.json can't be read: It is nested too deeply."),
    ("wrangler.jsonc", "{ // }", "wrangler.jsonc is not valid JSON"),
    ("buildspace.toml", 'x = 1\nbuild_comand = "make"', "buildspace.toml, line 1: x is not a setting"),
    ("buildspace.toml", '\nbuildCommand = "a"', "line 2: buildCommand is not a setting; build_command is."),
    ("buildspace.toml", '[build]\ncommand = "make"', "line 1: build is not a setting; build_command is."),
    ("buildspace.toml", "strict_lockfile = 1", "line 1: strict_lockfile must be true or false."),
    ("buildspace.toml", 'node_version = "new"', "line 1: node_version must be a version or a range"),
    (
        "buildspace.toml",
        'framework = "vit"',
        "framework, from buildspace.toml: 'vit' is not a known framework; 'Vite' is",
    ),
    ("buildspace.toml", "# " + "x" * 2**20, "buildspace.toml has more than 1 MiB"),
    ("buildspace.toml", "# " + "x" * 2**18, "buildspace.toml is too large: a settings file has at most 256 KiB."),
    ("buildspace.toml", "a." * 50_000 + "a = 1", "buildspace.toml has a key with more than 32 dots."),
]
DIGITS = "9" * 5000
TOO_LARGE = "can't be read: It has a number with more than 4300 digits."
NO_UNICODE = r"can't be read: It has half of a surrogate pair, such as \ud800, which is not valid Unicode."
BROKEN += [
    ("netlify.toml", "[build.environment]\nA = 0x" + "f" * 5000, f"netlify.toml {TOO_LARGE}"),
    *[(f"{name}.toml", f"x = {DIGITS}", f"{name}.toml {TOO_LARGE}") for name in ("netlify", "buildspace", "wrangler")],
    *[
        (name, f'{{"x": {DIGITS}}}', f"{name} {TOO_LARGE}")
        for name in ("vercel.json", "wrangler.jsonc", "package.json")
    ],
    *[
        ("vercel.json", json.dumps({key: "a\ud800"}), f"vercel.json {NO_UNICODE}")
        for key in ("outputDirectory", "buildCommand", "framework", "b\udfff")
    ],
    ("wrangler.json", json.dumps({"pages_build_output_dir": "\udc00"}), f"wrangler.json {NO_UNICODE}"),
    ("package.json", json.dumps({"scripts": {"build": "\ud800"}}), f"package.json {NO_UNICODE}"),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BROKEN)
def test_a_file_that_cannot_be_understood_fails_with_its_line(tmp_path, name, text, sentence):
    assert sentence in failure(tmp_path, {name: text})


@pytest.mark.parametrize(
    "head", ["{} = 1", "[{}]", "x = {{{} = 1}}", "a = '''b'''''\n{} = 1", 'a = """\\""""""\n{} = 1']
)
@pytest.mark.parametrize("part", ["a", '"!"', "'!'", '""', '"#"', '"\\""', "a" * 101, "a" + " " * 10, "a \t "])
def test_a_key_with_many_dots_is_refused_however_it_is_written(tmp_path, part, head):
    key = ".".join([part] * 34)
    assert "netlify.toml has a key with more than 32 dots." in failure(tmp_path, {"netlify.toml": head.format(key)})


@pytest.mark.parametrize("value", ['"{}"', "'{}'", '"""\n{}"""', "'''it's {}'''", '"\\"{}"', '"" # {}'])
def test_dots_in_strings_and_comments_are_no_key(tmp_path, value):
    text = "[build]\ncommand = " + value.format("a." * 100)
    assert plan(tmp_path, {"netlify.toml": text}).settings


def test_the_lines_about_refused_variables_are_few(tmp_path):
    names = "\n".join(f"LD_{number} = 1" for number in range(100))
    found = lines(plan(tmp_path, {"netlify.toml": f"[build.environment]\n{names}"}))
    assert found.count("cannot be set") == 12
    assert "netlify.toml: 88 more variables are left out." in found


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "HOME", "NETLIFY", "VERCEL", "CF_PAGES", "BUILDSPACE_TOKEN"])
def test_variables_that_would_break_a_build_are_left_out_with_a_line(tmp_path, name):
    found = plan(tmp_path, {"netlify.toml": f'[build.environment]\n{name} = "x"\nA = "1"'})
    assert found.settings.environment == {"A": "1"}
    assert f"netlify.toml, line 2: the variable {name} cannot be set: " in lines(found)


def test_flags_for_npm_reach_it_as_its_settings(tmp_path):
    text = '[build.environment]\nNPM_FLAGS = "--legacy-peer-deps --prefix=/dev/null"\nPNPM_FLAGS = "--shamefully-hoist"'
    environment = plan(tmp_path, {"netlify.toml": text}).settings.environment
    assert environment["npm_config_legacy_peer_deps"] == environment["npm_config_shamefully_hoist"] == "true"
    assert "npm_config_prefix" not in environment


def test_old_builds_of_vercel_name_their_output(tmp_path):
    build = {"src": "package.json", "use": "@vercel/static-build", "config": {"distDir": "build"}}
    assert plan(tmp_path, {"vercel.json": {"builds": [build]}}).outputs == ("build",)


@pytest.mark.parametrize("enabled", [False, {"main": False}])
def test_deployments_that_are_turned_off_are_built_when_asked_for(tmp_path, enabled):
    found = plan(tmp_path, {"vercel.json": {"git": {"deploymentEnabled": enabled}}}, branch="main")
    assert "pushes are not deployed; this deployment was asked for" in lines(found)


@pytest.mark.parametrize(
    ("name", "framework"),
    [("nextjs", "Next.js"), ("Vue CLI", "Vue CLI"), ("vue", "Vue CLI"), ("docusaurus-2", "Docusaurus")],
)
def test_a_framework_is_known_by_its_names(tmp_path, name, framework):
    assert plan(tmp_path, {}, framework=name, output_directory="out").name == framework


def test_a_framework_of_another_host_that_is_a_server_is_passed_over(tmp_path):
    assert plan(tmp_path, {"vercel.json": {"framework": "fastapi"}}).framework is None


def test_settings_files_that_are_links_are_not_read(tmp_path):
    (tmp_path / "netlify.toml").symlink_to("/etc/passwd")
    assert lines(plan(tmp_path, {})) == ""


def test_comments_leave_each_line_of_json_where_it_is():
    assert without_comments('{"a": "//", // x\n/* \n */ "b": [1,],\n}') == '{"a": "//", \n\n "b": [1]\n}'
