"""Tells which projects need a server of their own, and how to turn them into static files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

SEARCHED_LETTERS = 200_000
"""Patterns for these texts take linear time: repetitions are bounded, or end where they would start again."""

_COMMENT = re.compile(r"/\*.*?\*/|(?<![:\"'`\\])//[^\n]*", re.DOTALL)
_SPA = re.compile(r"\bssr\s*:\s*false\b")


class Project(Protocol):
    """The facts about a project that are needed here: dependencies, scripts, configuration files."""

    dependencies: frozenset[str]
    scripts: dict[str, str]

    def read(self, name: str) -> str | None: ...


Needs = Callable[[Project], str | None]
"""A sentence with the fix; None if the project can be served as files."""


def with_a_server(name: str, setting: str = "", config: str = "") -> Needs:
    """For frameworks that are static never, or only with one setting."""

    def needs(project: Project) -> str | None:
        if setting and _matches(project, [config], re.compile(re.escape(setting).replace("'", "[\"'`]"))):
            return None
        fix = f"Set `{setting}` in {config}" if setting else "Export it to files, and name the command as buildCommand"
        return f"This is a {name} project, which needs a server; only files are served here. {fix}."

    return needs


def next_needs_server(project: Project) -> str | None:
    exports = re.compile(r"""\boutput["']?\s*[:=]\s*[^,;\n}]{0,200}?["'`]export["'`]""")
    if _matches(project, ["next.config"], exports) or "next export" in project.scripts.get("build", ""):
        return None
    return (
        "This Next.js project needs a server; only files are served here. "
        "Add `output: 'export'` to next.config (the output folder is then `out`)."
    )


def nuxt_needs_server(project: Project) -> str | None:
    script = project.scripts.get("build", "nuxt generate")
    static = re.compile(r"""\bpreset["']?\s*:\s*["'`](?:static|[\w-]+[-_]static|github[-_]pages)["'`]""")
    if not re.search(r"\b(?:nuxt|nuxi)3?\s+build\b(?!.{0,200}--prerender)", script) or _matches(
        project, ["nuxt.config"], static
    ):
        return None
    return (
        "This Nuxt project is built for a server; only files are served here. "
        "Set the build command to `npx nuxt generate`, or the `build` script to `nuxt generate`."
    )


def sveltekit_needs_server(project: Project) -> str | None:
    if "@sveltejs/adapter-static" in project.dependencies:
        return None
    return (
        "This SvelteKit project needs a server; only files are served here. "
        "Install `@sveltejs/adapter-static`, and use it in svelte.config.js (SvelteKit 3: in vite.config.js)."
    )


def astro_needs_server(project: Project) -> str | None:
    server = re.compile(r"""\boutput["']?\s*:\s*["'`](?:server|hybrid)["'`]""")
    if not _matches(project, ["astro.config"], server):
        return None
    return (
        "This Astro project needs a server; only files are served here. "
        "Set `output: 'static'` in astro.config and remove the adapter."
    )


def remix_needs_server(project: Project) -> str | None:
    if _matches(project, ["vite.config"], _SPA):
        return None
    return (
        "This Remix project needs a server; only files are served here. "
        "Set `ssr: false` in the remix plugin of vite.config (single-page mode)."
    )


def react_router_needs_server(project: Project) -> str | None:
    if _matches(project, ["react-router.config", "vite.config"], _SPA):
        return None
    return (
        "This React Router project needs a server; only files are served here. "
        "Set `ssr: false` in react-router.config (with `prerender` for pages that are known while building)."
    )


def tanstack_needs_server(project: Project) -> str | None:
    static = re.compile(
        r"\b(?:spa|prerender|static)\s*:\s*\{[^}]{0,300}?\benabled\s*:\s*true|\bpreset\s*:\s*[\"'`]static"
    )
    if _matches(project, ["vite.config", "app.config"], static):
        return None
    return (
        "This TanStack Start project needs a server; only files are served here. "
        "Set `spa: { enabled: true }` or `prerender: { enabled: true }` in the plugin of vite.config."
    )


def solid_start_needs_server(project: Project) -> str | None:
    static = re.compile(r"\bssr\s*:\s*false\b|\bpreset\s*:\s*[\"'`]static")
    if _matches(project, ["app.config", "vite.config"], static):
        return None
    return (
        "This SolidStart project needs a server; only files are served here. "
        "Set `server: { preset: 'static' }` or `ssr: false` in app.config."
    )


def _matches(project: Project, stems: Iterable[str], pattern: re.Pattern[str]) -> bool:
    """Whether one of these configuration files contains the pattern outside of comments."""
    for stem in stems:
        for suffix in ("js", "mjs", "cjs", "ts", "mts", "cts", "json"):
            text = project.read(f"{stem}.{suffix}")
            if text is not None and pattern.search(without_comments(text[:SEARCHED_LETTERS])):
                return True
    return False


def without_comments(text: str) -> str:
    end = text.rfind("*/") + 2 if "*/" in text else 0
    # After the last `*/`, each `/*` would search for its end in vain, which takes quadratic time.
    return _COMMENT.sub("", text[:end] + text[end:].replace("/*", "/ *"))
