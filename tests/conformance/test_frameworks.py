"""Framework detection against the tables of two other hosts. Where ours differs on purpose, the case says why."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath

import pytest

from builder.checkout import Checkout
from builder.detect import Package, detect_framework

DATA = Path(os.environ.get("CONFORMANCE_DATA", ""))


def load(name):
    path = DATA / name
    if not path.is_file():
        raise FileNotFoundError(f"There is no {name} in the folder that CONFORMANCE_DATA names.")
    return json.loads(path.read_text())


def detected(root, packages=(), files=None, scripts=None):
    for name, content in (files or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    if packages or "package.json" not in (files or {}):
        text = {"dependencies": dict.fromkeys(packages, "1.0.0"), "scripts": scripts or {}}
        (root / "package.json").write_text(json.dumps(text))
    return detect_framework(Package(Checkout(root), PurePosixPath(".")))


VERCEL_NAMES = {
    "blitzjs": "Blitz.js",
    "nextjs": "Next.js",
    "gatsby": "Gatsby",
    "remix": "Remix",
    "react-router": "React Router",
    "astro": "Astro",
    "hexo": "Hexo",
    "eleventy": "Eleventy",
    "docusaurus-2": "Docusaurus",
    "docusaurus": "Docusaurus 1",
    "preact": "Preact CLI",
    "solidstart-1": "SolidStart",
    "solidstart": "SolidStart",
    "dojo": "Dojo",
    "ember": "Ember.js",
    "vue": "Vue CLI",
    "scully": "Scully",
    "ionic-angular": "Ionic Angular",
    "angular": "Angular",
    "polymer": "Polymer",
    "svelte": "Svelte",
    "sveltekit": "SvelteKit",
    "sveltekit-1": "SvelteKit",
    "ionic-react": "Ionic React",
    "create-react-app": "Create React App",
    "gridsome": "Gridsome",
    "umijs": "UmiJS",
    "sapper": "Sapper",
    "saber": "Saber",
    "stencil": "Stencil",
    "nuxtjs": "Nuxt",
    "redwoodjs": "RedwoodJS",
    "hugo": "Hugo",
    "jekyll": "Jekyll",
    "brunch": "Brunch",
    "middleman": "Middleman",
    "zola": "Zola",
    "hydrogen": "Hydrogen",
    "vite": "Vite",
    "tanstack-start": "TanStack Start",
    "tanstack-start-lovable": "TanStack Start",
    "vitepress": "VitePress",
    "vuepress": "VuePress",
    "parcel": "Parcel",
    "nestjs": "NestJS",
    "sanity": "Sanity",
    "sanity-v2": "Sanity",
    "storybook": "Storybook",
    "nitro": "Nitro",
}

SERVER = "It runs on a server: nothing in it is a site of files, so it ends as a project without output."
VERCEL_UNKNOWN = {
    **dict.fromkeys(
        ["container", "fastapi", "flask", "fasthtml", "django", "hono", "express", "h3", "koa", "elysia", "fastify"],
        SERVER,
    ),
    **dict.fromkeys(["python", "ruby", "rust", "axum", "actix-web", "bun", "node", "go", "xmcp", "mastra"], SERVER),
    **dict.fromkeys(["ash", "factory-eve", "eve"], SERVER),
    "services": "It is a way to group projects on that host, not a framework.",
    None: "No detector: what is left when nothing else matches.",
}

NO_FALLBACK = {
    "redwoodjs": "That host's own adapter; a site of files is `rw build web`.",
    "nuxtjs": "`nuxt build` makes a server; `nuxt generate` makes files.",
    "remix": "The classic compiler renders on a server; the single-page mode exists with Vite only.",
    "eleventy": "The same program; node_modules/.bin is on PATH, so npx is not needed.",
    "sveltekit": "The command of a preview release before 1.0.",
    "nestjs": "No command there.",
}
OTHER_OUTPUT = {
    "sveltekit": "Their adapter's folder; adapter-static writes to build.",
    "sveltekit-1": "Their adapter's folder; adapter-static writes to build.",
    "react-router": "`build` holds the server too; its files are in build/client.",
    "solidstart": "`.output` holds the server too; its files are in .output/public.",
    "solidstart-1": "`.output` holds the server too; its files are in .output/public.",
    "nestjs": SERVER,
}


def vercel_cases():
    return load("vercel_frameworks.json")["frameworks"]


def sample(pattern):
    """A text that a detector's pattern matches."""
    dependency = re.search(r'\\?"(@?[\w./\\-]+)\\?":\\s\*\\?"', pattern)
    if dependency:
        name = dependency[1].replace("\\", "")
        version = "1.0.0-next.5" if "next" in pattern else "2.1.0"
        return json.dumps({"dependencies": {name: version}}, separators=(",", ": "))
    if "dependencies" in pattern.lower():
        names = re.findall(r'"(@?[\w.-]+(?:\\?/[\w.-]+)?)":', pattern)
        version = "1.0.0-next.5" if "next" in pattern else "2.1.0"
        return json.dumps({"dependencies": {names[-1].replace("\\", ""): version}}, separators=(",", ": "))
    return f"{pattern} = 'x'"


BY_CONTENT = {
    ("react-router", "vite.config.js"): "Told by the package @react-router/dev, which that file imports.",
    ("react-router", "vite.config.ts"): "Told by the package @react-router/dev, which that file imports.",
}


def vercel_projects(framework):
    """For each of its alternatives the least that its detectors ask for: packages and files."""
    detectors = framework["detectors"]
    for chosen in detectors.get("some", [None]):
        if chosen and (framework["slug"], chosen.get("path")) in BY_CONTENT:
            continue
        asked = [*detectors.get("every", []), *([chosen] if chosen else [])]
        files = {each["path"]: sample(each.get("matchContent", "x")) for each in asked if "path" in each}
        package = json.loads(files.pop("package.json", "{}"))
        packages = [each["matchPackage"] for each in asked if "matchPackage" in each]
        yield [*packages, *package.get("dependencies", {})], files


KNOWN = [
    pytest.param(case, *project, id=f"{case['slug']}-{number}")
    for case in vercel_cases()
    if case["slug"] in VERCEL_NAMES
    for number, project in enumerate(vercel_projects(case))
]


def known_but(*left_out):
    return [case for case in KNOWN if case.values[0]["slug"] not in left_out]


@pytest.mark.parametrize(("framework", "packages", "files"), KNOWN)
def test_what_vercel_detects_is_detected_here(tmp_path, framework, packages, files):
    found = detected(tmp_path, packages, files)
    assert found is not None
    assert found.name == VERCEL_NAMES[framework["slug"]]


def test_every_framework_of_vercel_is_known_or_says_why_not():
    slugs = {case["slug"] for case in vercel_cases()}
    assert slugs == set(VERCEL_NAMES) | set(VERCEL_UNKNOWN)
    assert all(VERCEL_UNKNOWN.values())


@pytest.mark.parametrize(("framework", "packages", "files"), known_but(*NO_FALLBACK))
def test_the_command_without_a_build_script_is_that_of_vercel(tmp_path, framework, packages, files):
    assert detected(tmp_path, packages, files).build == framework["build"]["value"]


@pytest.mark.parametrize(
    ("framework", "packages", "files"),
    [case for case in known_but(*OTHER_OUTPUT) if case.values[0]["output"].get("value")],
)
def test_the_output_of_vercel_is_looked_at(tmp_path, framework, packages, files):
    assert framework["output"]["value"] in detected(tmp_path, packages, files).outputs


def rewrites_to_the_page(framework):
    routes = framework.get("defaultRoutes")
    return isinstance(routes, list) and any(route.get("dest") in ("/index.html", "/200.html") for route in routes)


@pytest.mark.parametrize(
    ("framework", "packages", "files"), [case for case in KNOWN if rewrites_to_the_page(case.values[0])]
)
def test_single_page_applications_of_vercel_are_so_here(tmp_path, framework, packages, files):
    assert detected(tmp_path, packages, files).is_single_page


NETLIFY_DIFFERENCES = {
    "next": "Their folder .next is for a server; an export lies in out.",
    "nuxt": "`nuxt build` makes a server; the files of `nuxt generate` lie in .output/public, or dist.",
    "blitz": "It needs a server.",
    "remix": "The folder of their adapter; the single-page mode writes to build/client.",
    "hono": SERVER,
    "mastra": SERVER,
    "solid-js": "A library: the bundler beside it (Vite) is what is detected.",
    "tanstack-router": "A library: the bundler beside it (Vite) is what is detected.",
    "svelte": "A library: the bundler beside it (Vite, or Rollup with sirv-cli) is what is detected.",
    "cecil": "Its mark is any config.yml, which others have too; it does not come from npm.",
}


def netlify_cases():
    cases = load("netlify_frameworks.json")["frameworks"]
    return [case for case in cases if not NETLIFY_DIFFERENCES.get(case["id"])]


@pytest.mark.parametrize("framework", netlify_cases(), ids=lambda case: case["id"])
def test_what_netlify_detects_has_its_output_here(tmp_path, framework):
    packages = framework["npmDependencies"][:1]
    markers = {"hugo": "baseURL = 'x'", "zola": "base_url = 'x'"}
    files = {} if packages else {framework["configFiles"][-1]: markers.get(framework["id"], "x")}
    if framework["id"] == "zola":
        files = {"config.toml": markers["zola"]}
    found = detected(tmp_path, packages, files)
    assert found is not None
    assert framework["build"]["directory"].rstrip("/") in found.outputs


PROBED = {
    "12-create-react-app": "Create React App",
    "21-docusaurus-with-framework": "Docusaurus 1",
    "angular-v16": "Angular",
    "angular-v17": "Angular",
    "angular-v8": "Angular",
    "astro-v4": "Astro",
    "blitz-v2": "Blitz.js",
    "docusaurus-v2": "Docusaurus",
    "eleventy-2": "Eleventy",
    "eleventy-v0": "Eleventy",
    "ember-v5": "Ember.js",
    "gatsby-v5": "Gatsby",
    "hexo-v6": "Hexo",
    "hugo-v0": "Hugo",
    "hydrogen-v2023": "Hydrogen",
    "jekyll-v4": "Jekyll",
    "middleman-v4": "Middleman",
    "nuxt-v3": "Nuxt",
    "parcel-v2": "Parcel",
    "polymer-v3": "Polymer",
    "preact-v10": "Preact CLI",
    "sapper-v0": "Sapper",
    "scully-v2": "Scully",
    "stencil-v4": "Stencil",
    "svelte-v4": "Svelte",
    "umi-v4": "UmiJS",
    "vite-v5": "Vite",
    "vitepress": "VitePress",
    "vue-v2": "Vue CLI",
    "vue-v3": "Vite",
    "zola-v0": "Zola",
}


@pytest.mark.parametrize(("fixture", "name"), PROBED.items())
def test_a_real_project_of_vercels_tests_is_detected(tmp_path, fixture, name):
    project = load("vercel_framework_probes.json")["fixtures"][fixture]
    contents = {"Hugo": "baseURL = 'x'", "Zola": "base_url = 'x'"}
    files = {
        file: contents.get(name, "x") for file in project["files"] if "." in file.strip(".") and file != "package.json"
    }
    package = project["package"] or {}
    assert detected(tmp_path, package.get("deps") or (), files, package.get("scripts")).name == name
