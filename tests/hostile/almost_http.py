"""Requests that are almost HTTP, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"OPTIONS",
    b"CONNECT",
    b"TRACE",
    b"PRI",
    b"get",
    b"G\xc3\x84T",
    b"GE T",
    b"",
]
VERSIONS = [
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/9.9",
    b"HTTP/1",
    b"HTTP/11.1",
    b"http/1.1",
    b"X",
    b"",
]
HOSTS = [
    b"xn--a",
    b"xn--",
    b"xn--\xff.localhost",
    b"xn--99999999.localhost",
    b"a.xn--0.b",
    b"localhost:99999999999999999999",
    b"localhost:-1",
    b"localhost:\xd9\xa1",
    b"localhost:port",
    b"localhost:",
    b":80",
    b"[::1",
    b"[::1]x",
    b"[v1.x]:80",
    b"[fe80::1%25eth0]",
    b"user:pw@localhost",
    b"@",
    b"a..b",
    b"." * 300,
    b"a" * 64 + b".localhost",
    b".".join([b"a" * 63] * 5),
    "bücher.localhost".encode(),
    "\u2100.localhost".encode(),
    "a\u3002b".encode(),
    "\u200d".encode(),
    "\u0661.2.3.4".encode(),
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"127.1",
    b"0x7f.1",
    b"%00",
    b"%zz.localhost",
    b"localhost, localhost",
    b"localhost\x0b",
    b"*",
    b"",
]
TARGETS = [
    b"/",
    b"//",
    b"///x",
    b"//xn--a/",
    b"/\xff",
    b"/\xed\xa0\x80",
    b"/%",
    b"/%zz",
    b"/%ff",
    b"/%00",
    b"/%u2100",
    b"/..%2f",
    b"/?%=&=%&;",
    b"/?\xff=\xfe",
    b"/#f",
    b"/" + b"a" * 9000,
    b"/?" + b"&" * 3000,
    b"/" + b"../" * 2000,
    b"*",
    b"?",
    b"#",
    b"http:",
    b"http:/",
    b"http://",
    b"http:///x",
    b"://",
    b"ftp://localhost/",
    b"javascript:1",
    b"localhost:80",
    b"/project/xn--a",
    b"/logs/\xe2\x84\x80?after=\xff&format=text",
    b"/builds/00000000-0000-0000-0000-000000000000/1/job",
]
NAMES = [
    *b"""Accept Accept-Encoding Authorization Connection Content-Encoding Content-Length Content-Type Cookie Expect
    Forwarded Host If-Modified-Since If-None-Match Keep-Alive Origin Range Sec-WebSocket-Key1 TE Trailer
    Transfer-Encoding Upgrade X-Forwarded-For X-Forwarded-Proto X-Request-Id""".split(),
    b"X\xff",
    b"X Y",
    b"X:",
    b" X",
    b"X\x00",
    b"",
]
VALUES = [
    b"",
    b"0",
    b"-1",
    b"5",
    b"99999999999999999999999999",
    b"\xd9\xa1",
    b"chunked",
    b"chunked, chunked",
    b"gzip, chunked",
    b"gzip",
    b"identity;q=x",
    b"close",
    b"upgrade",
    b"websocket",
    b"h2c",
    b"100-continue",
    b"200-ok",
    b"bytes=0-,-,--1",
    b'"',
    b'W/"\xff',
    b"Sat, 99 Abc 0000 99:99:99 GMT",
    b"Sun, 06 Nov 1994 08:49:37 +9999",
    b"Bearer \xff\x80",
    b'a=\xff; b; =; ,;"',
    b"text/html; charset=\xff",
    b"application/json; charset=nonsense",
    b'for="[::1";proto=http;by=_x,,;',
    b"http://xn--a",
    b"null",
    b"a\x0bb",
    b"a\x00b",
    b"a\rb",
    b"a\nb",
    b"x" * 9000,
    "\u2100\U0001f4a9".encode(),
]
BODIES = [
    b"",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ZZ\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffffffff\r\n",
    b"5;\xff=\x00\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"0\r\nX\xff: \xfe\r\n\r\n",
    b"0\r\nHost: xn--a\r\n\r\n",
    b"{",
    b"GET http://xn--a/ HTTP/1.1\r\nHost: xn--a\r\n\r\n",
    b"\x00" * 100,
]


def requests(seed: int, count: int) -> Iterator[bytes]:
    """Half of them vary the target and the Host alone, as these are what most of an HTTP server looks at."""
    dice = random.Random(seed)
    for _ in range(count):
        yield _address_request(dice) if dice.random() < 0.5 else _any_request(dice)


def _address_request(dice: random.Random) -> bytes:
    host = b"localhost" if dice.random() < 0.3 else _mutated(dice, HOSTS)
    target = _target(dice, host if dice.random() < 0.5 else _mutated(dice, HOSTS))
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)


def _any_request(dice: random.Random) -> bytes:
    method = b"POST" if dice.random() < 0.5 else _mutated(dice, METHODS)
    target = b"/" if dice.random() < 0.5 else _target(dice, dice.choice(HOSTS))
    version = b"HTTP/1.1" if dice.random() < 0.7 else _mutated(dice, VERSIONS)
    lines = [b"%b %b %b" % (method, target, version), b"Host: localhost"]
    lines += [b"%b: %b" % (_mutated(dice, NAMES), _mutated(dice, VALUES)) for _ in range(dice.randrange(4))]
    if dice.random() < 0.5:
        lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n" + b"".join(_mutated(dice, BODIES) for _ in range(dice.randrange(3)))


def _target(dice: random.Random, host: bytes) -> bytes:
    path = _mutated(dice, TARGETS)
    shapes = [
        path,
        path,
        b"http://%b" % host,
        b"http://%b%b" % (host, path),
        b"https://%b/" % host,
        b"//%b/" % host,
        host,
    ]
    return dice.choice(shapes)


def _mutated(dice: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, in half of the cases with a few of its bytes replaced, removed or doubled."""
    made = bytearray(dice.choice(seeds))
    for _ in range(dice.choice([0, 0, 0, 1, 2, 5])):
        place = dice.randrange(len(made) + 1)
        made[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(made)
