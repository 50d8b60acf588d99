"""Who may call: loopback without an account, own names only, changes only from own pages."""

import pytest

from gateway.access.calls import (
    Caller,
    bearer_token,
    check_host,
    check_origin,
    check_token,
    hash_token,
    is_open,
    is_session,
    make_access_token,
    make_session,
)
from gateway.config import Api
from gateway.errors import Forbidden, Invalid, Unauthorized, Unsupported

KEY = b"k" * 32
PROXY_HEADERS = [
    *("Forwarded", "X-Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Server"),
    *("X-Forwarded-Proto", "X-Forwarded-Anything", "Forwarded-For", "X-Original-Forwarded-For", "X-Real-IP", "Via"),
    *("CF-Connecting-IP", "CF-Ray", "True-Client-IP", "Client-IP", "X-Client-IP", "X-Cluster-Client-IP"),
]
TOKEN_HASH = hash_token("a token")


def call(
    method="GET", host="localhost:9000", peer="127.0.0.1", *, hosts=None, has_body=False, target="/project", **headers
):
    return Caller(
        method=method,
        target=target,
        hosts=[host] if hosts is None else hosts,
        peer=peer,
        local="127.0.0.1",
        is_secure=False,
        headers={name.lower().replace("_", "-"): value for name, value in headers.items()},
        has_body=has_body,
    )


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9000", "LOCALHOST:1", "127.0.0.1:9000", "127.9.9.9", "[::1]:9000"]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_who_sits_at_this_machine_needs_no_account(host, peer):
    assert is_open(call(host=host, peer=peer))


@pytest.mark.parametrize(
    "caller",
    [
        call(peer="192.168.1.9"),
        call(peer=None),
        call(host="deploy.example.com"),
        call(host="192.168.1.4:9000"),
        call(host="blog.localhost:9000"),
        call(hosts=[]),
        call(hosts=["localhost", "localhost"]),
        call(X_Forwarded_For="203.0.113.7"),
        call(Forwarded="for=203.0.113.7"),
        call(X_Real_IP="203.0.113.7"),
        call(X_Forwarded_Host="deploy.example.com"),
        call(Via="1.1 proxy"),
        *(call(**{name: value}) for name in PROXY_HEADERS for value in ("", "203.0.113.7")),
    ],
)
def test_anybody_else_needs_one(caller):
    assert not is_open(caller)


@pytest.mark.parametrize(
    ("host", "api"),
    [
        ("localhost:9000", Api()),
        ("127.0.0.1", Api()),
        ("[::1]:9000", Api()),
        ("deploy.example.com", Api(names=["deploy.example.com"])),
        ("deploy.example.com", Api(url="https://Deploy.example.com:8443")),
        ("DEPLOY.example.com.:443", Api(names=["deploy.example.com"])),
        ("192.168.1.4:9000", Api(host=["0.0.0.0"])),
    ],
)
def test_own_names_are_answered(host, api):
    assert check_host(call(host=host), api)


@pytest.mark.parametrize(
    "host",
    ["evil.example.com", "blog.localhost:9000", "localhost.evil.example", "192.168.1.4", "8.8.8.8", "127.0.0.1.nip.io"],
)
def test_a_rebound_name_leads_nowhere(host):
    with pytest.raises(Forbidden, match=r"api\.names"):
        check_host(call(host=host), Api())


@pytest.mark.parametrize(
    "hosts", [[], ["localhost", "localhost"], [""], ["local host"], ["user@localhost"], ["localhost:x"]]
)
def test_a_call_names_exactly_one_host(hosts):
    with pytest.raises(Invalid):
        check_host(call(hosts=hosts), Api())


def test_an_absolute_target_cannot_name_another_host():
    with pytest.raises(Invalid, match="path"):
        check_host(call(target="http://evil.example.com/project"), Api())


def origin(caller, api=None):
    api = api or Api()
    check_origin(caller, check_host(caller, api), api)


@pytest.mark.parametrize(
    "caller",
    [
        call("POST", has_body=True, Content_Type="application/json"),
        call("POST", has_body=True, Content_Type="application/json; charset=utf-8"),
        call("POST"),
        call("POST", has_body=True, Content_Type="application/x-www-form-urlencoded", Origin="http://localhost:9000"),
        call("POST", Origin="http://localhost:9000", Sec_Fetch_Site="same-origin"),
        call("POST", host="LOCALHOST", Origin="http://localhost"),
        call("POST", host="[::1]:9000", Origin="http://[::1]:9000"),
        call("GET", Origin="https://evil.example.com", Sec_Fetch_Site="cross-site"),
        call("GET", Sec_Fetch_Site="cross-site"),
    ],
)
def test_our_pages_and_programs_may_change_things(caller):
    origin(caller)


@pytest.mark.parametrize(
    "caller",
    [
        call("POST", has_body=True, Content_Type="application/json", Origin="https://evil.example.com"),
        call("POST", Origin="null"),
        call("POST", Origin="http://blog.localhost:8000"),
        call("POST", Origin="http://localhost:8000"),
        call("POST", Origin="http://localhost:9000.evil.example"),
        call("POST", Origin="http://localhost:9000/"),
        call("POST", Origin="localhost:9000"),
        call("POST", Sec_Fetch_Site="cross-site"),
        call("POST", Sec_Fetch_Site="same-site", Content_Type="application/json"),
        call("DELETE", Origin="https://evil.example.com"),
    ],
)
def test_other_pages_may_not(caller):
    with pytest.raises(Forbidden):
        origin(caller)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_elsewhere_could_send_is_refused(content_type):
    with pytest.raises(Unsupported):
        origin(call("POST", has_body=True, Content_Type=content_type))


def test_tls_at_a_proxy_does_not_make_our_page_foreign():
    api = Api(names=["deploy.example.com"])
    origin(call("POST", host="deploy.example.com", Origin="https://deploy.example.com"), api)


def test_a_listed_origin_may_send_json_and_nothing_else():
    api = Api(cors_origins=["https://app.example.com"])
    asked = {"has_body": True, "Origin": "https://app.example.com", "Sec_Fetch_Site": "cross-site"}
    origin(call("POST", Content_Type="application/json", **asked), api)
    with pytest.raises(Unsupported):
        origin(call("POST", Content_Type="text/plain", **asked), api)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_the_token_is_read_from_its_header(header, token):
    assert bearer_token(call(Authorization=header)) == token


def test_the_right_token_opens():
    token = make_access_token()
    check_token(token, hash_token(token))


@pytest.mark.parametrize("token_hash", [None, hash_token("another")])
@pytest.mark.parametrize("token", ["", "a token", "\udcff"])
def test_a_wrong_token_does_not(token, token_hash):
    with pytest.raises(Unauthorized):
        check_token(token, token_hash)


def test_no_two_tokens_are_alike():
    assert make_access_token() != make_access_token()


def test_a_session_is_good_for_twelve_hours():
    session = make_session(KEY, TOKEN_HASH, 1000.0)
    assert is_session(session, KEY, TOKEN_HASH, 1000.0 + 12 * 3600 - 1)
    assert not is_session(session, KEY, TOKEN_HASH, 1000.0 + 12 * 3600 + 1)


def test_a_session_ends_with_its_token():
    session = make_session(KEY, TOKEN_HASH, 1000.0)
    assert not is_session(session, KEY, hash_token("the next"), 1000.0)
    assert not is_session(session, KEY, None, 1000.0)


def test_a_session_is_of_one_installation():
    assert not is_session(make_session(KEY, TOKEN_HASH, 1000.0), b"o" * 32, TOKEN_HASH, 1000.0)


@pytest.mark.parametrize(
    "value", ["", ".", "9999999999", "9999999999.", "x.y", "99999999999999999999.a", "٣.a", "-1.a"]
)
def test_a_forged_session_opens_nothing(value):
    assert not is_session(value, KEY, TOKEN_HASH, 1000.0)


def test_a_session_cannot_be_prolonged():
    until, signature = make_session(KEY, TOKEN_HASH, 1000.0).split(".")
    assert not is_session(f"{int(until) + 1}.{signature}", KEY, TOKEN_HASH, 1000.0)


def test_the_session_is_found_among_odd_cookies():
    assert call(Cookie='odd="; buildspace=1.2; {json: true}').session == "1.2"


def test_under_tls_only_the_hosts_own_cookie_counts():
    caller = call(Cookie="buildspace=planted; __Host-buildspace=1.2")
    assert caller.session == "planted"
    object.__setattr__(caller, "is_secure", True)
    assert caller.session == "1.2"
