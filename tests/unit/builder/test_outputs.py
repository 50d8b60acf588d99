"""Which folder is published: what the user named or the build wrote, never what was there before."""

import os
from pathlib import PurePosixPath

import pytest

from builder.detect import make_plan
from builder.errors import BuildFailed
from builder.outputs import choose_output, find_output
from builder.written import Before
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

BUILDS = {"package.json": {"scripts": {"build": "x"}}}


def package(scripts=None, **dependencies):
    return {"package.json": {"scripts": scripts or {"build": "x"}, "devDependencies": dependencies}}


def choose(root, files, built=None, **settings):
    """What is published of these files after a build that writes `built`."""
    checkout = write_project(root, files)
    plan = make_plan(make_job("https://example.org/a", **settings), checkout)
    before = Before(checkout)
    write_project(root, built or {})
    return choose_output(plan, checkout, before.compare() if plan.build else None)


def folder(root, files, built=None, **settings):
    return str(choose(root, files, built, **settings).folder)


def failure(root, files, built=None, **settings):
    with pytest.raises(BuildFailed) as failed:
        choose(root, files, built, **settings)
    return failed.value.reason


def test_candidates_are_folders_in_order_and_a_star_is_any_name(tmp_path):
    checkout = write_project(tmp_path, {"dist/app/browser/x": "", "dist/b/x": "", "out": "a file"})
    found = find_output(checkout, ["out", "dist/*/browser", "missing", "dist/*", "dist/b"])
    assert list(map(str, found)) == ["dist/app/browser", "dist/app", "dist/b"]


def test_a_folder_that_is_a_link_inside_the_repository_is_its_target(tmp_path):
    checkout = write_project(tmp_path, {"a/site/index.html": ""})
    (tmp_path / "public").symlink_to("a/../a/site")
    (tmp_path / "outside").symlink_to("..")
    (tmp_path / "absolute").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to("loop")
    assert list(map(str, find_output(checkout, ["public", "outside", "absolute", "loop"]))) == ["a/site"]


def test_a_folder_that_was_named_is_published(tmp_path):
    files = BUILDS | {"index.html": "the source"}
    assert folder(tmp_path, files, {"web/index.html": "", "dist/index.html": ""}, output_directory="web") == "web"


def test_a_named_folder_that_was_not_made_is_never_replaced_by_the_source(tmp_path):
    files = BUILDS | {"index.html": "the source"}
    assert "left no files in web/" in failure(tmp_path, files, {"other/a.js": ""}, output_directory="web")


def test_a_named_folder_that_the_build_passed_by_is_not_published(tmp_path):
    files = BUILDS | {"dist/index.html": "OLD"}
    reason = failure(tmp_path, files, {"public_html/index.html": "NEW"}, output_directory="dist")
    assert "changed nothing in dist/, but it wrote a page to public_html/" in reason


def test_a_named_folder_beside_a_build_without_pages_is_published_with_a_warning(tmp_path):
    found = choose(tmp_path, BUILDS | {"dist/index.html": ""}, output_directory="dist")
    assert (str(found.folder), found.notes[0][:8]) == ("dist", "Warning:")


@pytest.mark.parametrize("setting", ["../../dist/site", "/../../dist/site", "./../../dist/site/"])
def test_an_output_beside_the_project_is_published(tmp_path, setting):
    files = {"apps/site/package.json": {"scripts": {"build": "x"}}}
    built = {"dist/site/index.html": ""}
    found = folder(tmp_path, files, built, root_directory="/apps/site", output_directory=setting)
    assert found == "dist/site"


@pytest.mark.parametrize("committed", ["public/index.html", "index.html", "docs/index.html", "dist/index.html"])
@pytest.mark.parametrize("made", ["bundle", "public_html", "_output", "release", "target", "web/app"])
def test_an_unusual_folder_is_found_by_what_the_build_wrote(tmp_path, committed, made):
    found = choose(tmp_path, BUILDS | {committed: "the template"}, {f"{made}/index.html": "BUILT"})
    assert str(found.folder) == made
    assert found.notes == (f"The build wrote its pages to {made}/, so that is published.",)


@pytest.mark.parametrize("made", ["dist", "build", "out", "_site", "www", "output", "site", "public"])
def test_a_usual_folder_needs_no_word(tmp_path, made):
    found = choose(tmp_path, BUILDS | {"index.html": "the template"}, {f"{made}/index.html": "BUILT"})
    assert (str(found.folder), found.notes) == (made, ())


def test_a_committed_folder_that_the_build_writes_again_is_published(tmp_path):
    assert folder(tmp_path, BUILDS | {"dist/index.html": "OLD"}, {"dist/index.html": "NEW!"}) == "dist"


@pytest.mark.parametrize("made", ["dist/client", ".output/public", "build/client", "dist/browser"])
def test_the_files_for_browsers_lie_beside_a_server(tmp_path, made):
    built = {f"{made}/index.html": "", f"{PurePosixPath(made).parent}/server/entry.js": ""}
    assert folder(tmp_path, BUILDS, built) == made


def test_a_site_in_several_languages_is_published_whole(tmp_path):
    assert folder(tmp_path, BUILDS, {"dist/en/index.html": "", "dist/de/index.html": "", "dist/a.css": ""}) == "dist"


def test_an_app_of_a_monorepo_is_found(tmp_path):
    files = package({"build": "turbo build"}, turbo="2") | {"apps/web/package.json": {}}
    built = {"apps/web/dist/index.html": "", "apps/web/dist/docs/index.html": "", "packages/ui/dist/index.js": ""}
    assert folder(tmp_path, files, built) == "apps/web/dist"


def test_several_apps_are_named(tmp_path):
    reason = failure(tmp_path, BUILDS, {"apps/b/dist/index.html": "", "apps/a/out/index.html": ""})
    assert "to several folders: apps/a/out/, apps/b/dist/. Set outputDirectory" in reason


@pytest.mark.parametrize("other", ["coverage/lcov-report", ".next/server", "tmp", "node_modules/x"])
def test_pages_that_are_no_site_do_not_count(tmp_path, other):
    assert folder(tmp_path, BUILDS, {"html/index.html": "", f"{other}/index.html": ""}) == "html"


def test_the_frameworks_own_folder_comes_first(tmp_path):
    built = {"dist/index.html": "", "storybook/index.html": ""}
    assert folder(tmp_path, package(vite="8") | {"index.html": ""}, built) == "dist"


def test_the_source_of_a_framework_is_never_published(tmp_path):
    reason = failure(tmp_path, package(vite="8") | {"index.html": "the source"}, {"lib/a.js": ""})
    assert "left no files in dist/" in reason


def test_another_folder_than_the_frameworks_is_found(tmp_path):
    files = package({"build": "next build"}, next="15") | {"next.config.js": "output: 'export', distDir: 'dist'"}
    assert folder(tmp_path, files, {"dist/index.html": "", ".next/server/a.html": ""}) == "dist"


def test_a_next_build_without_an_export_is_told(tmp_path):
    config = "output: process.env.EXPORT ? 'export' : undefined"
    files = package({"build": "next build"}, next="15") | {"next.config.js": config}
    reason = failure(tmp_path, files, {".next/server/pages/index.html": ""})
    assert reason == (
        "The build made a server (.next/) and no pages: `output` in next.config was not 'export' in this build: set"
        " `output: 'export'`."
    )


def test_a_template_beside_what_the_build_wrote_is_published(tmp_path):
    files = package(svelte="3", **{"sirv-cli": "2"}) | {"public/index.html": "committed"}
    assert folder(tmp_path, files, {"public/build/bundle.js": ""}) == "public"


@pytest.mark.parametrize("files", [BUILDS, package(gulp="4"), package(grunt="1")])
def test_a_page_at_the_root_may_need_only_its_styles(tmp_path, files):
    found = choose(tmp_path, files | {"index.html": "<link href=css/site.css>"}, {"css/site.css": ""})
    assert str(found.folder) == "."
    assert "The build wrote no page, so the repository's root is published" in found.notes[0]


def test_a_stale_folder_is_not_published(tmp_path):
    reason = failure(tmp_path, BUILDS | {"dist/index.html": "OLD"}, {"lib/a.js": ""})
    assert "changed nothing in dist/, which the repository holds" in reason


def test_an_output_without_a_page_is_told_with_the_fix(tmp_path):
    reason = failure(tmp_path, package(**{"@builder.io/qwik": "1"}), {"dist/build/q-abc.js": "1"})
    assert "There is no page in dist/" in reason
    assert "static adapter" in reason


def test_without_a_build_a_page_is_published_as_it_is(tmp_path):
    assert folder(tmp_path, {"public/index.html": "", "index.html": ""}) == "public"
    assert "There is nothing to publish" in failure(tmp_path / "b", {"src/main.py": ""})


def test_a_file_that_was_replaced_counts_as_written(tmp_path):
    checkout = write_project(tmp_path, {"dist/index.html": "same", "a/index.html": "same"})
    before = Before(checkout)
    (tmp_path / "new").write_text("same")
    status = (tmp_path / "dist/index.html").stat()
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(tmp_path / "dist/index.html")
    written = before.compare()
    assert list(map(str, written.pages)) == ["dist/index.html"]
    assert PurePosixPath("a") not in written.folders


def test_files_that_are_given_to_another_account_are_not_written(tmp_path):
    checkout = write_project(tmp_path, {"dist/index.html": ""})
    before = Before(checkout)
    (tmp_path / "dist/index.html").chmod(0o600)
    assert before.compare().pages == ()
