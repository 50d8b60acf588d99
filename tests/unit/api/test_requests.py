"""What callers send: each wrong field gets a sentence of its own."""

import pytest

from builder.protocol.settings import Settings
from gateway.errors import Invalid, NotFound
from gateway.models.log import LogPosition
from gateway.models.source import GitRef
from gateway.routes.requests import (
    EmptyRequest,
    load,
    read_deployment_id,
    read_idempotency_key,
    read_limit,
    read_log_cursor,
    read_new_project,
    read_page,
    read_slug,
)

UUID = "0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c53"
GIT_URL = "https://github.com/user/repo.git"


def new(**body):
    return read_new_project({"name": "site", "gitUrl": GIT_URL} | body, ())


def refusal(**body):
    with pytest.raises(Invalid) as caught:
        new(**body)
    return caught.value


def test_name_and_git_url_are_enough():
    wanted = new()
    assert (wanted.name, wanted.source) == ("site", GitRef(GIT_URL, None))


def test_settings_arrive():
    wanted = new(branch="next", rootDirectory="apps/site", buildCommand="make", nodeVersion=">=20 <23")
    assert wanted.source.ref == "next"
    assert wanted.settings == Settings(root_directory="apps/site", build_command="make", node_version=">=20 <23")


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_setting_is_left_to_the_builder(value):
    wanted = new(branch=value, outputDirectory=value)
    assert (wanted.source.ref, wanted.settings.output_directory) == (None, None)


def test_what_is_missing_is_said_as_the_original_said_it():
    with pytest.raises(Invalid) as caught:
        read_new_project({"name": "site"}, ())
    assert caught.value.sentence == "gitUrl is required"
    assert caught.value.fields == {"gitUrl": "gitUrl is required"}


def test_every_wrong_field_has_its_sentence():
    wrong = refusal(name=1, gitUrl=None, branch="-x", colour="red")
    assert set(wrong.fields) == {"name", "gitUrl", "branch", "colour"}
    assert wrong.sentence == "name must be text"


@pytest.mark.parametrize(
    "name", ["", " ", "\t", "a\nb", "a\0b", "x" * 101, "\u0085", "a\n", 1, 1.5, True, None, [], {}, "\ud800"]
)
def test_names_that_are_refused(name):
    assert refusal(name=name).fields.keys() == {"name"}


@pytest.mark.parametrize(
    "name", ["a", "My Site", "x" * 100, "Übung 日本", "<b>", "a'; DROP TABLE projects;--", "👩‍👩‍👧"]
)
def test_names_that_are_fine(name):
    assert new(name=name).name == name


@pytest.mark.parametrize("branch", ["-main", "@", "feature/.hidden", "a\nb", "x" * 256, 1, []])
def test_branches_that_git_would_not_take(branch):
    assert refusal(branch=branch).fields.keys() == {"branch"}


@pytest.mark.parametrize(
    "branch", ["main", "feature/x-1", "v1.2.3", "release_2", "a@b", "日本", "x" * 255, "lock", "a.lockx"]
)
def test_branches_that_git_takes(branch):
    assert new(branch=branch).source.ref == branch


@pytest.mark.parametrize("field", ["rootDirectory", "outputDirectory"])
@pytest.mark.parametrize("path", ["~", "~root", "a\\b", "a\0b", "a\nb", "x" * 1025, 1])
def test_what_names_no_folder(field, path):
    assert refusal(**{field: path}).fields.keys() == {field}


@pytest.mark.parametrize("path", ["..", "../a", "a/../../b", "/../a"])
def test_a_root_directory_outside_of_the_repository(path):
    assert refusal(rootDirectory=path).fields.keys() == {"rootDirectory"}


@pytest.mark.parametrize(
    "path", ["dist", "./dist", "/frontend", "./a/b/", "a/..", "..a", "a..", ".", "out put", "x" * 1024]
)
def test_folders_inside(path):
    assert new(rootDirectory=path).settings.root_directory == path


def test_an_output_beside_the_root_directory_may_be_named():
    assert new(rootDirectory="apps/site", outputDirectory="../../dist").settings.output_directory == "../../dist"


@pytest.mark.parametrize("value", ["true", 1, 0, "", []])
def test_a_flag_is_true_or_false_alone(value):
    assert refusal(strictLockfile=value).fields == {"strictLockfile": "strictLockfile must be true or false"}
    assert new(strictLockfile=True).settings.strict_lockfile is True


@pytest.mark.parametrize("command", ["a\0b", "a\nb", "x" * 1001, 5, ["npm"], "\udfff"])
@pytest.mark.parametrize("field", ["installCommand", "buildCommand"])
def test_commands_that_are_refused(field, command):
    assert refusal(**{field: command}).fields.keys() == {field}


@pytest.mark.parametrize(
    "version", ["22", "v22.1.0", "^20.19.0 || >=22.12.0", "20.x", "lts/*", "lts/jod", "node", "18 - 20", "~20.1"]
)
def test_node_versions_that_are_understood(version):
    assert new(nodeVersion=version).settings.node_version == version


@pytest.mark.parametrize("version", ["abc", "20;rm", "-1", ">=", "20 $(id)", "lts/../x", "20\n", "1" * 101, 20, 20.5])
def test_node_versions_that_are_not(version):
    assert refusal(nodeVersion=version).fields.keys() == {"nodeVersion"}


def test_an_unknown_field_is_named_and_the_known_ones_too():
    sentence = refusal(colour="red").fields["colour"]
    assert "colour is not a known field" in sentence
    assert "rootDirectory" in sentence


def test_the_name_of_an_unknown_field_cannot_fill_the_answer():
    assert len(next(iter(refusal(**{"x" * 5000: 1}).fields.values()))) < 300


def test_a_private_repository_host_is_opened_by_the_configuration_alone():
    body = {"name": "site", "gitUrl": "http://127.0.0.1:9002/hello.git"}
    assert read_new_project(body, ["127.0.0.1:9002"]).source.url == "http://127.0.0.1:9002/hello.git"
    with pytest.raises(Invalid, match="private address"):
        read_new_project(body, ())


def test_nothing_is_expected_where_nothing_is():
    assert load(EmptyRequest(), {}) == {}
    with pytest.raises(Invalid, match="the body must be empty"):
        load(EmptyRequest(), {"branch": "x"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "x" * 36,
        "0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c5",
        "0b9dc7d03f0c4a5e9d535d0d5f6a3c53",
        "{0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c53}",
        "0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c53\n",
    ],
)
def test_malformed_ids_are_refused(text):
    with pytest.raises(Invalid):
        read_deployment_id(text)


@pytest.mark.parametrize("slug", ["", "A", "a_b", "-a", "a-", "a\0", "a" * 64, "a/b", "a\n", "ü"])
def test_what_is_no_slug_names_no_project(slug):
    with pytest.raises(NotFound):
        read_slug(slug)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.0", "1e1", "٣", "9" * 5000, " 1"])
def test_limits_out_of_range_are_refused(limit):
    with pytest.raises(Invalid):
        read_limit({"limit": limit}, 20, 100)


def test_a_page_has_its_defaults():
    assert read_page({}) == (20, None)
    assert read_page({"limit": "5", "cursor": "abc"}) == (5, "abc")


@pytest.mark.parametrize("cursor", ["a b", "é", "x" * 201, "a\0", "a%"])
def test_a_cursor_of_somebody_else_is_refused(cursor):
    with pytest.raises(Invalid):
        read_page({"cursor": cursor})


@pytest.mark.parametrize(
    ("text", "position"), [("", LogPosition(1, 0)), ("1.0", LogPosition(1, 0)), ("2.17", LogPosition(2, 17))]
)
def test_log_cursors(text, position):
    assert read_log_cursor(text) == position


@pytest.mark.parametrize(
    "text", ["1", "1.", ".1", "0.1", "1.2.3", "x.y", "-1.2", "1.-2", "1.2\n", "1000.1", "101.1", "1." + "9" * 16, "١.٢"]
)
def test_log_cursors_of_somebody_else(text):
    with pytest.raises(Invalid):
        read_log_cursor(text)


@pytest.mark.parametrize("key", ["", " ", "a\n", "é", "x" * 256, " a", "a "])
def test_idempotency_keys_that_are_refused(key):
    with pytest.raises(Invalid):
        read_idempotency_key(key)


@pytest.mark.parametrize("key", [None, "a", "x" * 255, "a b", "0b9dc7d0-3f0c"])
def test_idempotency_keys_that_are_fine(key):
    assert read_idempotency_key(key) == key
