"""The known frameworks: how to recognise them, how they build, where their output is. The first match wins."""

from __future__ import annotations

import dataclasses
import difflib
import re

from builder.needs_server import (
    Needs,
    astro_needs_server,
    next_needs_server,
    nuxt_needs_server,
    react_router_needs_server,
    remix_needs_server,
    solid_start_needs_server,
    sveltekit_needs_server,
    tanstack_needs_server,
    with_a_server,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Framework:
    """`packages`: one of these is a dependency; `beside`: all of these too; `files`: or one of these exists, containing
    `marker` if that is set.

    `outputs`: folders to look for, in order; `*` is any one name. `build` is used if the project has no `build` script.
    `needs_server` says why it can't be served as files; the script `static_script`, if the project has it, makes files
    nevertheless. `has_page_in_root`: an index.html at the project's root is a source, not a finished page.
    `program`: what builds it comes as a program in a wheel (builder/programs.py); `requirement`: it is this package of
    Python. `refusal` says why `build` can't be run here, and what to do instead.
    """

    name: str
    packages: tuple[str, ...] = ()
    build: str | None = None
    outputs: tuple[str, ...] = ()
    is_single_page: bool = False
    hashed_folders: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    marker: str = ""
    beside: tuple[str, ...] = ()
    needs_server: Needs | None = None
    static_script: str = ""
    has_page_in_root: bool = False
    program: str = ""
    requirement: str = ""
    refusal: str = ""


def _refusal(name: str, why: str, folder: str) -> str:
    return (
        f"This is a site for {name}, which can't be built here: {why}. Build it in your CI and push the built site"
        f" ({folder}/) to a branch of its own, then deploy that branch. Or commit the built site, and set"
        f" outputDirectory to {folder} and buildCommand to an empty command."
    )


HUGO_FILES = tuple(
    f"{folder}{name}"
    for folder, names in (("", ("hugo",)), ("config/_default/", ("hugo", "config")))
    for name in (f"{each}.{kind}" for each in names for kind in ("toml", "yaml", "yml", "json"))
)
SPHINX_FILES = ("conf.py", "docs/conf.py", "source/conf.py", "docs/source/conf.py", "doc/conf.py")
_GEMS = "its packages are Ruby gems, which builders do not fetch"

FRAMEWORKS = (
    # Frameworks that are based on others come first.
    Framework(
        "Blitz.js",
        ("blitz",),
        "blitz build",
        ("out",),
        files=("blitz.config.js", "blitz.config.ts"),
        needs_server=with_a_server("Blitz.js"),
    ),
    Framework(
        "RedwoodJS", ("@redwoodjs/core",), "rw build web", ("web/dist",), needs_server=with_a_server("RedwoodJS")
    ),
    Framework(
        "Hydrogen",
        ("@shopify/hydrogen",),
        "shopify hydrogen build",
        ("dist/client", "dist"),
        files=("hydrogen.config.js", "hydrogen.config.ts"),
        needs_server=with_a_server("Hydrogen"),
    ),
    Framework(
        "Remix",
        ("@remix-run/dev", "@remix-run/react", "@remix-run/server-runtime", "remix"),
        "remix vite:build",
        ("build/client", "public"),
        is_single_page=True,
        hashed_folders=("assets/",),
        files=("remix.config.js", "remix.config.mjs"),
        needs_server=remix_needs_server,
    ),
    Framework(
        "React Router",
        ("@react-router/dev",),
        "react-router build",
        ("build/client",),
        is_single_page=True,
        hashed_folders=("assets/",),
        files=("react-router.config.js", "react-router.config.ts"),
        needs_server=react_router_needs_server,
    ),
    Framework(
        "TanStack Start",
        ("@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"),
        "vite build",
        ("dist/client", ".output/public", "dist"),
        is_single_page=True,
        hashed_folders=("assets/",),
        needs_server=tanstack_needs_server,
    ),
    Framework(
        "SolidStart",
        ("@solidjs/start",),
        "vinxi build",
        (".output/public", "dist"),
        is_single_page=True,
        hashed_folders=("_build/assets/",),
        needs_server=solid_start_needs_server,
    ),
    Framework(
        "SolidStart",
        ("solid-start",),
        "solid-start build",
        ("dist/public", "dist"),
        is_single_page=True,
        hashed_folders=("assets/",),
        needs_server=solid_start_needs_server,
    ),
    Framework("Expo", ("expo",), "expo export -p web", ("dist", "web-build"), hashed_folders=("_expo/static/",)),
    Framework(
        "Next.js",
        ("next",),
        "next build",
        ("out",),
        hashed_folders=("_next/static/",),
        needs_server=next_needs_server,
    ),
    Framework("Gatsby", ("gatsby",), "gatsby build", ("public",), hashed_folders=("static/",)),
    Framework(
        "Analog",
        ("@analogjs/platform",),
        "vite build",
        ("dist/analog/public",),
        hashed_folders=("assets/",),
        has_page_in_root=True,
    ),
    Framework(
        "Astro",
        ("astro",),
        "astro build",
        ("dist",),
        hashed_folders=("_astro/",),
        needs_server=astro_needs_server,
    ),
    Framework(
        "Nuxt",
        ("nuxt", "nuxt3", "nuxt-edge", "nuxt-nightly"),
        "nuxt generate",
        (".output/public", "dist"),
        is_single_page=True,
        hashed_folders=("_nuxt/",),
        needs_server=nuxt_needs_server,
        static_script="generate",
    ),
    Framework(
        "SvelteKit",
        ("@sveltejs/kit",),
        "vite build",
        ("build",),
        hashed_folders=("_app/immutable/",),
        needs_server=sveltekit_needs_server,
    ),
    Framework("Sapper", ("sapper",), "sapper export", ("__sapper__/export",), hashed_folders=("client/",)),
    Framework("Qwik", ("@builder.io/qwik", "@qwik.dev/core"), None, ("dist",), hashed_folders=("build/", "assets/")),
    Framework("Vike", ("vike",), "vike build", ("dist/client",), hashed_folders=("assets/",)),
    Framework("Waku", ("waku",), "waku build", ("dist/public",), hashed_folders=("assets/",)),
    Framework(
        "Docusaurus",
        ("@docusaurus/core",),
        "docusaurus build",
        ("build",),
        hashed_folders=("assets/js/", "assets/css/"),
    ),
    Framework("Docusaurus 1", ("docusaurus",), "docusaurus-build", ("build/*", "build")),
    Framework(
        "VitePress",
        ("vitepress",),
        "vitepress build docs",
        ("docs/.vitepress/dist", ".vitepress/dist"),
        hashed_folders=("assets/",),
    ),
    Framework(
        "VuePress",
        ("vuepress",),
        "vuepress build src",
        ("src/.vuepress/dist", "docs/.vuepress/dist", ".vuepress/dist"),
        hashed_folders=("assets/js/", "assets/css/"),
    ),
    Framework("Eleventy", ("@11ty/eleventy",), "eleventy", ("_site",), has_page_in_root=True),
    Framework("Hexo", ("hexo",), "hexo generate", ("public",)),
    Framework("Gridsome", ("gridsome",), "gridsome build", ("dist",), hashed_folders=("assets/js/", "assets/css/")),
    Framework("Saber", ("saber",), "saber build", ("public",), hashed_folders=("_saber/",)),
    Framework(
        "Observable Framework",
        ("@observablehq/framework",),
        "observable build",
        ("dist",),
        hashed_folders=("_observablehq/", "_file/", "_npm/", "_import/"),
    ),
    Framework("Sanity", ("sanity", "@sanity/cli"), "sanity build", ("dist",), is_single_page=True),
    # Single-page applications.
    Framework("Scully", ("@scullyio/init",), "ng build && scully", ("dist/static", "dist/*/browser", "dist/*", "dist")),
    Framework("Ionic Angular", ("@ionic/angular",), "ng build", ("www", "dist/*/browser", "dist"), is_single_page=True),
    Framework(
        "Angular",
        ("@angular/cli",),
        "ng build",
        ("dist/*/browser", "dist/*", "dist"),
        is_single_page=True,
        files=("angular.json",),
    ),
    Framework(
        "Create React App",
        ("react-scripts", "react-dev-utils"),
        "react-scripts build",
        ("build",),
        is_single_page=True,
        hashed_folders=("static/",),
    ),
    Framework("Vue CLI", ("@vue/cli-service",), "vue-cli-service build", ("dist",), is_single_page=True),
    Framework(
        "Quasar",
        ("@quasar/app", "@quasar/app-vite", "@quasar/app-webpack", "quasar-cli"),
        "quasar build",
        ("dist/spa", "dist/pwa"),
        is_single_page=True,
        has_page_in_root=True,
    ),
    Framework("Ember.js", ("ember-source", "ember-cli"), "ember build", ("dist",), is_single_page=True),
    Framework("Preact CLI", ("preact-cli",), "preact build", ("build",), is_single_page=True),
    Framework(
        "Polymer",
        ("polymer-cli",),
        "polymer build",
        ("build/default", "build/*", "build"),
        is_single_page=True,
        has_page_in_root=True,
    ),
    Framework("Stencil", ("@stencil/core",), "stencil build", ("www", "dist"), is_single_page=True),
    Framework("Dojo", ("@dojo/framework",), "dojo build", ("output/dist",), is_single_page=True, files=(".dojorc",)),
    Framework("UmiJS", ("umi",), "umi build", ("dist",), is_single_page=True),
    Framework("React Static", ("react-static",), "react-static build", ("dist",)),
    Framework("Phenomic", ("@phenomic/core",), "phenomic build", ("public",)),
    Framework("NestJS", ("@nestjs/core",), "nest build", (), needs_server=with_a_server("NestJS")),
    Framework(
        "Nitro",
        ("nitropack", "nitro"),
        "nitro build",
        (".output/public", "dist"),
        needs_server=with_a_server("Nitro", "preset: 'static'", "nitro.config"),
    ),
    # Its file is a clear mark, and bundlers beside it make only its style sheets.
    Framework("Hugo", (), "hugo --gc", ("public",), files=HUGO_FILES, program="hugo"),
    Framework(
        "Hugo",
        (),
        "hugo --gc",
        ("public",),
        files=("config.toml", "config.yaml", "config.yml", "config.json"),
        marker="baseURL",
        program="hugo",
    ),
    # Bundlers and task runners, for projects that match nothing above.
    Framework(
        "Vite",
        ("vite",),
        "vite build",
        ("dist",),
        is_single_page=True,
        hashed_folders=("assets/",),
        has_page_in_root=True,
    ),
    Framework("Svelte", ("svelte",), "rollup -c", ("public",), is_single_page=True, beside=("sirv-cli",)),
    Framework(
        "Ionic React",
        ("@ionic/react",),
        "react-scripts build",
        ("build",),
        is_single_page=True,
        hashed_folders=("static/",),
    ),
    Framework("Parcel", ("parcel", "parcel-bundler"), "parcel build", ("dist",), has_page_in_root=True),
    Framework("WMR", ("wmr",), "wmr build", ("dist",), has_page_in_root=True),
    Framework("Brunch", ("brunch",), "brunch build --production", ("public",), files=("brunch-config.js",)),
    Framework("Metalsmith", ("metalsmith",), "metalsmith", ("build",)),
    Framework("Wintersmith", ("wintersmith",), "wintersmith build", ("build",)),
    Framework("DocPad", ("docpad",), "docpad generate", ("out",)),
    Framework("Harp", ("harp",), "harp compile", ("www", "build"), has_page_in_root=True),
    Framework("Roots", ("roots",), "roots compile", ("public",)),
    Framework("Assemble", ("assemble",), "grunt build", ("dist",)),
    Framework("Storybook", ("storybook",), "storybook build", ("storybook-static",)),
    Framework("gulp", ("gulp",), "gulp build", ("dist", "build", "public", ".")),
    Framework("Grunt", ("grunt",), "grunt build", ("dist", "build", "public", ".")),
    # Generators that do not come from npm. Their commands and folders are completed by builder/generators.py.
    Framework("Zensical", (), "zensical build", ("site",), files=("zensical.toml",), requirement="zensical"),
    Framework("MkDocs", (), "mkdocs build", ("site",), files=("mkdocs.yml", "mkdocs.yaml"), requirement="mkdocs"),
    Framework(
        "Pelican",
        (),
        "pelican content -o output -s pelicanconf.py",
        ("output",),
        files=("pelicanconf.py",),
        requirement="pelican[markdown]",
    ),
    Framework("mdBook", (), "mdbook build", ("book",), files=("book.toml",), program="mdbook"),
    Framework(
        "Sphinx",
        (),
        "sphinx-build -b html . _build/html",
        ("_build/html",),
        files=SPHINX_FILES,
        marker="(?:sphinx|extensions|html_theme)",
        requirement="sphinx",
    ),
    Framework(
        "Zola",
        (),
        "zola build",
        ("public",),
        files=("config.toml", "zola.toml"),
        marker="base_url",
        refusal=_refusal("Zola", "it is not on npm or PyPI", "public"),
    ),
    Framework(
        "Middleman",
        (),
        "bundle exec middleman build",
        ("build",),
        files=("config.rb",),
        refusal=_refusal("Middleman", _GEMS, "build"),
    ),
    Framework(
        "Jekyll",
        (),
        "jekyll build",
        ("_site",),
        files=("_config.yml", "_config.yaml", "_config.toml"),
        refusal=_refusal("Jekyll", _GEMS, "_site"),
    ),
)

OTHER_NAMES = {
    "blitz": "blitzjs",
    "cra": "createreactapp",
    "docusaurus2": "docusaurus",
    "docusaurusv2": "docusaurus",
    "ember": "emberjs",
    "next": "nextjs",
    "nuxtjs": "nuxt",
    "preact": "preactcli",
    "redwood": "redwoodjs",
    "sanityv2": "sanity",
    "solidstart1": "solidstart",
    "sveltekit1": "sveltekit",
    "umi": "umijs",
    "vue": "vuecli",
}
"""Those that other hosts use, where they differ by more than capital letters and signs."""


def find_framework(name: str) -> Framework | None:
    """By its name here or at another host; None for `none`. Raises ValueError for an unknown one."""
    plain = _plain(name)
    if plain in ("none", "other", "static", ""):
        return None
    known = {_plain(framework.name): framework for framework in reversed(FRAMEWORKS)}
    plain = OTHER_NAMES.get(plain, plain)
    if plain not in known:
        near = known[difflib.get_close_matches(plain, known, n=1, cutoff=0.0)[0]].name
        raise ValueError(f"{name!r} is not a known framework; {near!r} is, and so is 'none'.")
    return known[plain]


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


PLAIN_OUTPUTS = ("dist", "build", "out", "_site", "www", "output", "site", "public")
"""Output folders to try after the build script of an unknown framework."""
