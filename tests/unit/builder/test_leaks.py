"""A secret in a file that would be published is found, in bounded memory, with its line."""

import base64
import json
import os
import time
from pathlib import Path, PurePosixPath

import pytest

from builder.collect import Limits, Output, collect_output
from builder.leaks import FileSearch, Leak, Leaks
from builder.protocol.calls import Variable

SECRET = "hunter2-hunter2-hunter2"
KEY = Variable("API_KEY", SECRET, True, False)
LEAKS = Leaks([KEY])


@pytest.mark.parametrize("size", [1, 3, 10, 23, 1000])
def test_the_line_is_right_however_the_file_is_read(size: int) -> None:
    content = b"one\ntwo\nthree " + SECRET.encode() + b"\nfour\n"
    search = FileSearch(LEAKS)
    found = [search.feed(content[at : at + size]) for at in range(0, len(content), size)]
    assert next(leak for leak in found if leak) == Leak("API_KEY", 3)


FORMS = [
    SECRET,
    base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(f"user:{SECRET}".encode()).decode(),
    base64.urlsafe_b64encode(f"u:{SECRET}".encode()).decode(),
]


@pytest.mark.parametrize("text", FORMS)
def test_each_form_is_found(text: str) -> None:
    assert FileSearch(LEAKS).feed(f"const key = '{text}';".encode()) == Leak("API_KEY", 1)


def test_a_key_of_several_lines_is_found_whole_and_as_javascript_and_not_by_one_of_its_lines() -> None:
    key = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END KEY-----\n"
    leaks = Leaks([Variable("KEY", key, True, False)])
    assert FileSearch(leaks).feed(key.encode())
    assert FileSearch(leaks).feed(json.dumps(key).encode())
    assert FileSearch(leaks).feed(b"How keys begin:\n-----BEGIN KEY-----\nand so on") is None


@pytest.mark.parametrize("variable", [Variable("A", SECRET, True, True), Variable("A", SECRET, False, False)])
def test_what_is_public_or_plain_is_not_looked_for(variable: Variable) -> None:
    assert FileSearch(Leaks([variable])).feed(SECRET.encode()) is None


def test_no_more_than_the_longest_value_is_held() -> None:
    search = FileSearch(LEAKS)
    for _ in range(50):
        search.feed(os.urandom(100_000))
    assert len(search._kept) == LEAKS.overlap < 200


def collect(root: Path, leaks: Leaks = LEAKS) -> Output:
    limits = Limits(100, 10**7, 10**7)
    deadline = time.monotonic() + 30
    return collect_output(root, PurePosixPath("."), limits, is_source=False, deadline=deadline, leaks=leaks)


def test_the_output_names_the_file_the_line_and_the_variable(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    (tmp_path / "assets" / "app.js").write_text(f"// built\nfetch('/x?key={SECRET}')\n")
    leak = collect(tmp_path).leak
    assert leak.startswith("assets/app.js, line 2, has the value of the secret API_KEY, so nothing was published")
    assert "`public: true`" in leak
    assert SECRET not in leak


def test_a_secret_in_a_files_name_is_found(tmp_path: Path) -> None:
    (tmp_path / f"{SECRET}.html").write_text("")
    leak = collect(tmp_path).leak
    assert "has the value of the secret API_KEY" in leak
    assert SECRET not in leak


def test_clean_output_has_no_leak(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("hunter2")
    assert collect(tmp_path).leak == ""
