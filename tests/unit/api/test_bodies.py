"""Bodies: JSON objects, whole, in time, read the same by everybody."""

import asyncio

import pytest

from gateway.errors import Invalid
from gateway.routes import bodies
from gateway.routes.bodies import parse_object

UUID = "0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c53"
POST = b"POST /project HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_an_object_is_read():
    assert parse_object(b'{"a": [1, 2.5, null, true, "\xc3\xbc"]}') == {"a": [1, 2.5, None, True, "ü"]}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "The body is empty; send a JSON object."),
        (b"{", "The body is not JSON: Expecting property name enclosed in double quotes, line 1 column 2."),
        (b"[]", "The body must be a JSON object, in braces."),
        (b"null", "The body must be a JSON object, in braces."),
        (b'"text"', "The body must be a JSON object, in braces."),
        (b"\xff\xfe{}", "The body is not UTF-8."),
        (b'{"a": "\xed\xa0\x80"}', "The body is not UTF-8."),
        (b'{"a": NaN}', "NaN is not JSON."),
        (b'{"a": -Infinity}', "-Infinity is not JSON."),
        (b'{"a": 1e999}', "A number in the body is too large."),
        (b'{"a": ' + b"9" * 5000 + b"}", "A number in the body has too many digits."),
        (b'{"a": 1, "a": 2}', "The name 'a' appears twice in the body."),
        (b'{"a": {"b": 1, "b": 1}}', "The name 'b' appears twice in the body."),
        (b'{"a": ' + b"[" * 50_000, "The body is nested too deeply."),
        (b'{"a":' * 10_000, "The body is nested too deeply."),
        (b'{"a": 1} {"b": 2}', "The body is not JSON: Extra data, line 1 column 10."),
        (b"{'a': 1}", "The body is not JSON: Expecting property name enclosed in double quotes, line 1 column 2."),
    ],
)
def test_what_is_not_a_json_object_is_refused_with_a_sentence(body, sentence):
    with pytest.raises(Invalid) as caught:
        parse_object(body)
    assert caught.value.sentence == sentence


@pytest.mark.parametrize("content_type", ["application/vnd.api+json", "application/jsonp", "text/json"])
async def test_other_content_types_are_415(api, content_type):
    status, answer = await api.call("POST", "/project", data=b"{}", headers={"Content-Type": content_type})
    assert (status, answer["error"]) == (415, "Unsupported media type")


async def test_a_body_with_a_false_content_encoding_is_415(api):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, answer = await api.call("POST", "/project", data=b"{}", headers=headers)
    assert (status, answer["details"]) == (415, "Send the body without Content-Encoding.")


async def test_a_body_that_announces_too_much_is_413_before_it_is_sent(api):
    answer = await asyncio.to_thread(api.raw, POST + b"Content-Length: 999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_say_its_length_is_measured(api):
    async def endless():
        for _ in range(100):
            yield b" " * 1024

    status, answer = await api.call("POST", "/project", data=endless(), headers={"Content-Type": "application/json"})
    assert (status, answer["details"]) == (413, "The body has more than 65536 bytes.")


async def test_a_body_that_does_not_come_is_408(api, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    answer = await asyncio.to_thread(api.raw, POST + b"Content-Length: 10\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error": "Too slow"' in answer


@pytest.mark.parametrize(
    "path", ["/project/blog/deployments", "/deployment/0b9dc7d0-3f0c-4a5e-9d53-5d0d5f6a3c53/cancel"]
)
async def test_where_nothing_is_expected_an_empty_object_is_fine_and_more_is_not(api, path):
    assert (await api.post(path))[0] == 404
    assert (await api.post(path, {}))[0] == 404
    assert (await api.post(path, {"a": 1}))[0] == 400
    assert (await api.post(path, []))[0] == 400
