"""Finds the folder to publish: what the user named, else what the build wrote, never what was there before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from builder.checkout import HERE, Checkout
from builder.collect import Output
from builder.detect import Plan
from builder.errors import BuildFailed
from builder.written import Written

INNER = ("client", "browser", "public", "static", "www", "html", "web", "site")
"""Where, in an output that also holds a server, the files for browsers are."""
NOT_SITES = frozenset(
    {"coverage", "cypress", "fixtures", "node_modules", "playwright-report", "reports", "temp", "test", "tests", "tmp"}
)
HIDDEN_SITES = frozenset({".output", ".vitepress", ".vuepress"})
STARTS = frozenset({"index.html", "index.htm", "200.html"})
SERVER_FOLDERS = {
    "Next.js": (".next", "`output` in next.config was not 'export' in this build: set `output: 'export'`"),
    "Nuxt": (".output/server", "this was `nuxt build`: set the build command to `npx nuxt generate`"),
}
"""By framework: what its build leaves for a server, and what would be right."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """`notes`: lines for the log about why this folder."""

    folder: PurePosixPath
    notes: tuple[str, ...] = ()


def choose_output(plan: Plan, checkout: Checkout, written: Written | None) -> Found:
    """`written` is None if nothing was run. Raises BuildFailed with what to set."""
    candidates = find_output(checkout, plan.outputs)
    if plan.is_output_given:
        return _choose_given(plan, checkout, candidates, written)
    if written is None or (plan.build is None and not written.pages):
        pages = [folder for folder in candidates if checkout.has_page(folder)]
        if not pages:
            raise BuildFailed(_explain_nothing(plan, checkout))
        return Found(pages[0])
    return _choose_written(plan, checkout, candidates, written)


def find_output(checkout: Checkout, candidates: Sequence[str]) -> list[PurePosixPath]:
    """Those candidates that are folders, in order. `*` stands for any one name."""
    found: list[PurePosixPath | None] = []
    for candidate in candidates:
        paths = [HERE]
        for part in PurePosixPath(candidate).parts:
            paths = [path / name for path in paths for name in _names(checkout, path, part)]
        found.extend(checkout.real_folder(path) for path in paths)
    return list(dict.fromkeys(folder for folder in found if folder is not None))


def named(folder: PurePosixPath) -> str:
    return "the repository's root" if folder == HERE else f"{folder}/"


def _names(checkout: Checkout, path: PurePosixPath, part: str) -> list[str]:
    return checkout.folders(path) if part == "*" else [part]


def _choose_given(
    plan: Plan, checkout: Checkout, candidates: Sequence[PurePosixPath], written: Written | None
) -> Found:
    if not candidates:
        raise BuildFailed(_explain_missing(plan, checkout))
    if written is None:
        return Found(candidates[0])
    touched = next((folder for folder in candidates if folder in written.folders), None)
    if touched is not None:
        return Found(touched)
    folder = candidates[0]
    if others := _tops(plan, written):
        raise BuildFailed(
            f"The build changed nothing in {named(folder)}, but it wrote a page to {_listed(others)}."
            " Set outputDirectory to the folder that the build writes."
        )
    return Found(folder, (f"Warning: the build changed nothing in {named(folder)}. It is published as it was before.",))


def _choose_written(plan: Plan, checkout: Checkout, candidates: Sequence[PurePosixPath], written: Written) -> Found:
    root = plan.package.root
    own = [folder for folder in candidates if folder != root]
    for folder in own:
        if written.pages_in(folder):
            return _inner(folder, written)
    tops = _tops(plan, written)
    if len(tops) > 1:
        raise BuildFailed(
            f"The build wrote an index.html to several folders: {_listed(tops)}. Set outputDirectory to the right one."
        )
    if tops:
        return Found(tops[0], (f"The build wrote its pages to {named(tops[0])}, so that is published.",))
    for folder in own:
        if folder in written.folders and checkout.has_page(folder):
            return Found(folder)
    if root in candidates and checkout.has_page(root):
        return Found(root, (f"The build wrote no page, so {named(root)} is published with what the build added.",))
    raise BuildFailed(_explain_unwritten(plan, checkout, own, written))


def _inner(folder: PurePosixPath, written: Written) -> Found:
    """The folder, or the one in it that holds its index.html."""
    if folder / "index.html" in written.pages:
        return Found(folder)
    inner = [folder / name for name in INNER if folder / name / "index.html" in written.pages]
    if not inner:
        return Found(folder)
    return Found(inner[0], (f"The pages are in {named(inner[0])}, so that is published.",))


def _tops(plan: Plan, written: Written) -> list[PurePosixPath]:
    """The folders with an index.html that the build wrote, the outermost ones; if there are any, only the project's."""
    folders = [page.parent for page in written.pages if page.name == "index.html" and _may_be_site(page.parent)]
    inside = [folder for folder in folders if folder.is_relative_to(plan.package.root)] or folders
    tops: list[PurePosixPath] = []
    for folder in sorted(inside, key=lambda each: len(each.parts)):
        if not any(folder.is_relative_to(top) for top in tops):
            tops.append(folder)
    return tops


def _may_be_site(folder: PurePosixPath) -> bool:
    return not any(part in NOT_SITES or (part.startswith(".") and part not in HIDDEN_SITES) for part in folder.parts)


def _listed(folders: Iterable[PurePosixPath]) -> str:
    names = [named(folder) for folder in folders]
    return ", ".join(names[:8]) + (" ..." if len(names) > 8 else "")


def _explain_nothing(plan: Plan, checkout: Checkout) -> str:
    return (
        f"There is nothing to publish: there is no page in {_looked(plan)}, and no build command."
        f" Folders there: {_existing(plan, checkout)}. A site of data alone needs an outputDirectory."
    )


def _explain_missing(plan: Plan, checkout: Checkout) -> str:
    return _explain_server(plan, checkout) or (
        f"{'The build left no files in' if plan.build else 'There is no folder'} {_looked(plan)}."
        f" Folders there: {_existing(plan, checkout)}. Set outputDirectory to the right one."
    )


def _explain_server(plan: Plan, checkout: Checkout) -> str:
    """Empty if the build left no server."""
    folder, fix = SERVER_FOLDERS.get(plan.framework.name if plan.framework else "", ("", ""))
    if not folder or not checkout.is_folder(plan.package.root / folder):
        return ""
    return f"The build made a server ({folder}/) and no pages: {fix}."


def _explain_unwritten(plan: Plan, checkout: Checkout, own: Sequence[PurePosixPath], written: Written) -> str:
    if server := _explain_server(plan, checkout):
        return server
    if touched := [folder for folder in own if folder in written.folders]:
        return explain_no_page(touched[0])
    if stale := [folder for folder in own if checkout.has_page(folder)]:
        return (
            f"The build wrote no page, and changed nothing in {named(stale[0])}, which the repository holds."
            " If that folder is what to publish, set outputDirectory to it."
        )
    return _explain_missing(plan, checkout)


def explain_no_page(folder: PurePosixPath) -> str:
    """For an output without any page."""
    return (
        f"There is no page in {named(folder)}: no file there ends in .html, so visitors would see nothing."
        " If the build makes a server, set it up to write static pages (a static adapter, prerendering, an export);"
        " if the pages are in another folder, set outputDirectory to it. A site of data alone needs an outputDirectory."
    )


def explain_no_start(output: Output) -> tuple[str, ...]:
    """A line for the log if the site's root has no page."""
    if any(file.path in STARTS for file in output.files):
        return ()
    return (f"Warning: {named(output.folder)} has no index.html, so the site's address itself is answered with 404.",)


def _looked(plan: Plan) -> str:
    return ", ".join(named(PurePosixPath(output)) for output in plan.outputs[:8]) or "no folder"


def _existing(plan: Plan, checkout: Checkout) -> str:
    folders = checkout.folders(plan.package.root)
    names = [name for name in folders if not name.startswith(".") and name != "node_modules"]
    return ", ".join(names[:20]) or "none"
