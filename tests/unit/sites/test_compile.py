"""From a manifest to a release, to stored bytes, and back."""

from __future__ import annotations

import dataclasses
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.protocol.calls import Manifest, ManifestFile
from builder.protocol.settings import Settings
from gateway.models.deployment import Deployment, Status
from gateway.models.object_keys import blob_key, output_key, release_key
from gateway.models.release import Blob, HtmlHandling, ReleaseFile
from gateway.sites.compile import compile_release
from gateway.sites.release_format import FEATURES, UnknownFeatures, decode_release, encode_release
from tests.unit.sites.fakes import DEPLOYMENT, PROJECT, PUBLISHED, blob_of, make_release, sha256_of

RELEASE = make_release(
    {"index.html": b"page", "app.js": b"script", "ò b.txt": b""},
    encodings={"app.js": {"br": b"small", "gzip": b"larger"}},
    framework="vite",
    is_single_page=True,
    html_handling=HtmlHandling.NONE,
    hashed_folders=("assets",),
)


def make_deployment() -> Deployment:
    unknown = {field.name: None for field in dataclasses.fields(Deployment)}
    known: dict[str, Any] = {
        "id": DEPLOYMENT,
        "project_id": PROJECT,
        "number": 7,
        "status": Status.BUILDING,
        "attempt": 1,
        "settings": Settings(),
        "steps": (),
        "log_missing": (),
        "is_live": False,
    }
    return Deployment(**(unknown | known))


def manifest_of(*paths: str, **facts: Any) -> Manifest:
    return Manifest(tuple(ManifestFile(path, sha256_of(path.encode()), len(path)) for path in paths), **facts)


def compiled(manifest: Manifest) -> dict[str, ReleaseFile]:
    return dict(compile_release(manifest, make_deployment(), PUBLISHED).files)


def test_a_release_has_all_that_the_manifest_says() -> None:
    manifest = manifest_of("index.html", framework="vite", is_single_page=True, hashed_folders=("/assets/",))
    release = compile_release(manifest, make_deployment(), PUBLISHED)
    assert (release.project_id, release.deployment_id, release.number) == (PROJECT, DEPLOYMENT, 7)
    assert (release.framework, release.is_single_page, release.hashed_folders) == ("vite", True, ("assets",))
    assert (release.published_at, release.html_handling) == (PUBLISHED, "auto")
    assert release.files == {"index.html": ReleaseFile(blob_of(b"index.html"))}


def test_precompressed_siblings_become_forms_and_stay_files() -> None:
    files = compiled(manifest_of("app.js", "app.js.br", "app.js.gz", "lonely.br"))
    assert files["app.js"].encodings == {"br": blob_of(b"app.js.br"), "gzip": blob_of(b"app.js.gz")}
    assert set(files) == {"app.js", "app.js.br", "app.js.gz", "lonely.br"}
    assert not files["app.js.br"].encodings


def test_a_release_comes_back_as_it_was() -> None:
    assert decode_release(encode_release(RELEASE)) == RELEASE


@given(st.dictionaries(st.from_regex(r"[a-z0-9 ò?%#]{1,20}", fullmatch=True), st.binary(max_size=20), max_size=20))
def test_any_release_comes_back_as_it_was(files: dict[str, bytes]) -> None:
    release = make_release(files)
    assert decode_release(encode_release(release)) == release


@pytest.mark.parametrize(
    "change",
    [
        {"features": None},
        {"features": 1},
        {"project": "none"},
        {"number": "7"},
        {"publishedAt": "2026-03-04T05:06:07"},
        {"isSinglePage": 1},
        {"htmlHandling": "other"},
        {"hashedFolders": [".."]},
        {"hashedFolders": None},
        {"files": {"../x": ["0" * 64, 1]}},
        {"files": {"x": ["0" * 63, 1]}},
        {"files": {"x": ["0" * 64, -1]}},
        {"files": {"x": ["0" * 64]}},
        {"files": {"x": ["0" * 64, 1, {"zstd": ["0" * 64, 1]}]}},
        {"files": {"x": ["0" * 64, 1, {"br": ["../", 1]}]}},
        {"files": []},
    ],
)
def test_a_release_that_is_not_as_we_write_them_is_a_value_error(change: dict[str, Any]) -> None:
    fields = json.loads(encode_release(RELEASE)) | change
    with pytest.raises(ValueError):
        decode_release(json.dumps(fields).encode())


WITHOUT_FEATURES = (
    b'{"version":1,"project":"11111111-1111-4111-8111-111111111111","deployment":"22222222-2222-4222-8222-222222222222"'
    b',"number":1,"publishedAt":"2026-03-04T05:06:07.890000+00:00","framework":"vite","isSinglePage":true,'
    b'"htmlHandling":"none","hashedFolders":["assets"],"files":{"index.html":['
    b'"3660315a9af3df255d8f19ab077e4797822b41488a0e2a04bc6af71213c23274",4],"app.js":['
    b'"21a0270b7f66a1e4c25933f13a1e5a1bbb4757578072930c8189131f9c6aaae1",6,{"br":['
    b'"81db8ebbbbc69c6c6ad4a6aa92b76e0c08af547da236b9e2c9dbe1d8285a8130",5]}]}}'
)
"""The bytes that a gateway stored before releases named their features."""


def test_a_release_from_before_features_is_read() -> None:
    assert decode_release(WITHOUT_FEATURES) == make_release(
        {"index.html": b"page", "app.js": b"script"},
        encodings={"app.js": {"br": b"small"}},
        framework="vite",
        is_single_page=True,
        html_handling=HtmlHandling.NONE,
        hashed_folders=("assets",),
    )


def test_a_release_with_an_unknown_feature_is_refused_by_its_name() -> None:
    fields = json.loads(encode_release(RELEASE)) | {"features": ["time-travel"]}
    with pytest.raises(UnknownFeatures, match=f"deployment {DEPLOYMENT} needs 'time-travel'.*upgrade the gateway"):
        decode_release(json.dumps(fields).encode())


def test_a_release_with_a_known_feature_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FEATURES, "single-page", lambda release: release.is_single_page)
    assert decode_release(encode_release(RELEASE)) == RELEASE


@pytest.mark.parametrize(("is_single_page", "features"), [(True, ["single-page"]), (False, [])])
def test_a_release_names_only_the_features_that_it_needs(
    monkeypatch: pytest.MonkeyPatch, is_single_page: bool, features: list[str]
) -> None:
    monkeypatch.setitem(FEATURES, "single-page", lambda release: release.is_single_page)
    body = encode_release(dataclasses.replace(RELEASE, is_single_page=is_single_page))
    assert json.loads(body)["features"] == features


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"version":1}'])
def test_garbage_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode_release(body)


def test_keys_are_those_of_the_bucket_layout() -> None:
    project, deployment = uuid.UUID(int=1), uuid.UUID(int=2)
    assert blob_key(project, "ab") == "__blobs/00000000-0000-0000-0000-000000000001/ab"
    assert release_key(project, deployment) == f"__releases/{project}/00000000-0000-0000-0000-000000000002"
    assert output_key("blog", "a/b.js") == "__outputs/blog/a/b.js"


def test_a_blob_is_its_hash_and_size() -> None:
    assert blob_of(b"") == Blob("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)
