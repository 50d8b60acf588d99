"""PostgreSQL over TLS: each sslmode does what it says, and what is wrong is a sentence without the password."""

import logging

import pytest

from gateway.engines.postgres.database import open_pool
from gateway.engines.postgres.postgres_url import describe_url
from gateway.errors import ConfigError, Unavailable
from tests.engines.certificates import make_certificates
from tests.engines.pgbouncer import PASSWORD, running_pgbouncer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "server")


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls") / "other").ca_file


@pytest.fixture(scope="module")
def tls_server(postgres, certificates):
    """The wheel's PostgreSQL has no TLS: a pgbouncer speaks it in its place, by the same protocol."""
    with running_pgbouncer(postgres.url, mode="session", certificates=certificates) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def plain_server(postgres):
    with running_pgbouncer(postgres.url) as pooler:
        yield pooler


async def version(url, **options):
    async with open_pool(url, 2, is_pooled=True, **options) as database, database.acquire() as connection:
        return await connection.fetchval("SHOW server_version")


async def refusal(url):
    with pytest.raises(Unavailable) as caught:
        await version(url)
    return caught.value.sentence


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_the_right_authority_opens_in_every_mode_that_speaks_tls(tls_server, certificates, mode):
    url = tls_server.url_of("postgres", "localhost", sslmode=mode, sslrootcert=str(certificates.ca_file))
    assert await version(url)


async def test_require_looks_at_no_certificate(tls_server):
    assert await version(tls_server.url_of("postgres", sslmode="require"))


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_another_authority_is_refused_with_what_would_be_right(tls_server, other_ca, mode):
    sentence = await refusal(tls_server.url_of("postgres", "localhost", sslmode=mode, sslrootcert=str(other_ca)))
    assert "certificate is not accepted" in sentence
    assert "set sslrootcert to the authority that signed it" in sentence


async def test_verify_full_looks_at_the_name_and_verify_ca_does_not(tls_server, certificates):
    options = {"sslrootcert": str(certificates.ca_file)}
    assert await version(tls_server.url_of("postgres", "127.0.0.1", sslmode="verify-ca", **options))
    sentence = await refusal(tls_server.url_of("postgres", "127.0.0.1", sslmode="verify-full", **options))
    assert "127.0.0.1" in sentence
    assert "the host to the name in it" in sentence


async def test_a_server_without_tls_is_not_spoken_to_where_tls_is_demanded(plain_server, certificates):
    sentence = await refusal(plain_server.url_of("postgres", sslmode="require"))
    assert sentence.startswith("The database does not speak TLS")
    ca = str(certificates.ca_file)
    sentence = await refusal(plain_server.url_of("postgres", "localhost", sslmode="verify-full", sslrootcert=ca))
    assert "turn on TLS at the server" in sentence


async def test_a_server_that_wants_tls_is_told_as_that(tls_server):
    assert "set sslmode=require" in await refusal(tls_server.url_of("postgres", sslmode="disable"))


async def test_prefer_goes_on_without_tls(plain_server):
    assert await version(plain_server.url_of("postgres", sslmode="prefer"))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sslmode=maybe", "sslmode is one of disable, allow"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "cannot be read: No such file"),
        ("sslmode=verify-full", "add &sslrootcert="),
        ("sslmode=verify-ca", "add &sslrootcert="),
    ],
)
async def test_a_mistake_in_the_address_ends_the_start(query, sentence, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=sentence) as caught:
        await version(f"postgresql://me:{PASSWORD}@db.example.com/x?{query}")
    assert PASSWORD not in str(caught.value)


async def test_a_file_without_certificates_ends_the_start(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="holds no certificate"):
        await version(f"postgresql://db.example.com/x?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem")


@pytest.mark.parametrize("mode", ["disable", "require", "verify-full"])
@pytest.mark.parametrize(
    ("server", "password"), [("tls_server", PASSWORD), ("plain_server", PASSWORD), ("plain_server", f"not-{PASSWORD}")]
)
async def test_a_password_shows_in_no_error_repr_or_log(server, password, mode, other_ca, request, caplog):
    caplog.set_level(logging.DEBUG)
    options = {"sslmode": mode, "sslrootcert": str(other_ca)}
    url = request.getfixturevalue(server).url_of("nothing", "localhost", **options).replace(PASSWORD, password)
    async with open_pool(url, 2, is_pooled=True) as database:
        logging.info("%r %s", database, describe_url(url))
        with pytest.raises(Unavailable) as caught:
            async with database.acquire() as connection:
                await connection.execute("SELECT 1")
    logging.error("away: %r", caught.value, exc_info=caught.value)
    assert "Traceback" in caplog.text
    assert PASSWORD not in caplog.text


async def test_the_doctor_says_how_the_way_is_kept_and_not_the_password(tls_server, certificates, shared_url):
    name = shared_url.split("?")[0].rpartition("/")[2]
    url = tls_server.url_of(name, "localhost", sslmode="verify-full", sslrootcert=str(certificates.ca_file))
    async with open_pool(url, 2, is_pooled=True) as database:
        said = await database.examine()
    assert f"at localhost:{tls_server.port}, with TLS, the server's certificate and name checked" in said
    assert "through a pooler" in said
    assert PASSWORD not in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql:///x?host=/var/run/postgresql", "over a Unix socket"),
        ("postgresql://u:p@db.example.com/x", "at db.example.com:5432, with TLS if the server has it"),
        ("postgresql://u:p@[::1]:6432/x?sslmode=disable", "at [::1]:6432, without TLS"),
    ],
)
def test_an_address_in_words(url, said, monkeypatch):
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert describe_url(url).startswith(said)
