"""The configuration: read once, checked whole, refused with a sentence that names the setting."""

import dataclasses
import tomllib

import pytest

from gateway.config import Config, Secret, load_config
from gateway.config.resources import default_config
from gateway.errors import ConfigError


def load(tmp_path, text, environ=None):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path, environ or {})


def refusal(tmp_path, text, environ=None):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, environ)
    return caught.value.sentence


def test_the_shipped_file_holds_every_setting_with_its_default():
    shipped = tomllib.loads(default_config().read_text())
    in_code = {
        section.name: {
            field.name: getattr(getattr(Config(), section.name), field.name)
            for field in dataclasses.fields(getattr(Config(), section.name))
        }
        for section in dataclasses.fields(Config)
    }
    revealed = {
        section: {key: value.reveal() if isinstance(value, Secret) else value for key, value in keys.items()}
        for section, keys in in_code.items()
    }
    assert shipped == revealed


def test_every_section_of_the_shipped_file_is_explained():
    lines = default_config().read_text().splitlines()
    heads = [place for place, line in enumerate(lines) if line.startswith("[")]
    assert all(lines[place + 1].startswith("# ") for place in heads)


def test_without_a_file_the_defaults_hold():
    assert load_config(None, {}) == Config()


def test_the_file_overrides_the_defaults(tmp_path):
    assert load(tmp_path, "[api]\nport = 9999").api.port == 9999


def test_the_environment_overrides_the_file(tmp_path):
    assert load(tmp_path, "[api]\nport = 9999", {"BUILDSPACE_API_PORT": "9998"}).api.port == 9998


def test_the_addresses_of_sites_follow_their_port(tmp_path):
    assert load(tmp_path, "[sites]\nport = 8080").sites.url == "http://{slug}.localhost:8080"
    shipped, port = default_config().read_text(), {"BUILDSPACE_SITES_PORT": "8080"}
    assert load(tmp_path, shipped, port).sites.url == "http://{slug}.localhost:8080"


def test_a_default_address_that_the_environment_sets_is_kept(tmp_path):
    url = "http://{slug}.localhost:8000"
    assert load(tmp_path, "", {"BUILDSPACE_SITES_PORT": "8080", "BUILDSPACE_SITES_URL": url}).sites.url == url


def test_an_address_that_is_set_stays_as_it_is_whatever_the_port(tmp_path):
    text = '[sites]\nport = 8080\nurl = "https://{slug}.example.com"'
    assert load(tmp_path, text).sites.url == "https://{slug}.example.com"


def test_lists_in_the_environment_are_separated_by_commas(tmp_path):
    config = load(tmp_path, "", {"BUILDSPACE_API_NAMES": "a.example.com, b.example.com,"})
    assert config.api.names == ["a.example.com", "b.example.com"]


def test_database_url_works_as_it_is(tmp_path):
    config = load(tmp_path, "", {"DATABASE_URL": "postgresql://user:secret@host/name"})
    assert config.postgres.url.reveal() == "postgresql://user:secret@host/name"


def test_other_variables_are_none_of_our_business(tmp_path):
    assert load(tmp_path, "", {"PATH": "/bin", "API_PORT": "1"}) == Config()


def test_secrets_do_not_show():
    config = load_config(
        None, {"BUILDSPACE_AUTH_TOKEN": "correct-horse-battery", "DATABASE_URL": "postgresql://u:p@h/n"}
    )
    assert "correct-horse" not in repr(config) + str(config.auth.token)
    assert "u:p" not in repr(config)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("[nonsense]\na = 1", "nonsense: there is no such section"),
        ("port = 1", "port: there is no such section"),
        ("[api]\npoort = 1", "api.poort: there is no such setting; api has host, port"),
        ("[api]\nport = '9'", "api.port: expected a whole number, not '9'."),
        ("[api]\nport = 9.5", "api.port: expected a whole number, not 9.5."),
        ("[api]\nport = true", "api.port: expected a whole number, not True."),
        ("[api]\nport = 65536", "api.port: a port is from 0 to 65535, not 65536."),
        ("[api]\nport = -1", "api.port: a port is from 0 to 65535"),
        ("[api]\nhost = '127.0.0.1'", "api.host: expected a list of texts"),
        ("[api]\nhost = [1]", "api.host: expected a list of texts"),
        ("[api]\nhost = []", "api.host: name at least one address"),
        ("[api]\nhost = ['nonsense']", "api.host: expected an IP address"),
        ("[sites]\nurl = 'http://localhost:8000'", "sites.url: expected an address with {slug}"),
        ("[sites]\nurl = 'http://a.{slug}.localhost'", "sites.url: expected an address with {slug}"),
        ("[sites]\nurl = 'http://{slug}.localhost:99999'", "sites.url: expected an address with {slug}"),
        ("[sites]\nurl = 'http://{slug}.localhost/path'", "sites.url: expected an address with {slug}"),
        ("[sites]\nurl = 'ftp://{slug}.localhost'", "sites.url: expected an address with {slug}"),
        ("[sites]\ncache_bytes = 0", "sites.cache_bytes: expected more than 0"),
        ("[api]\nurl = 'deploy.example.com'", "api.url: expected an address without a path"),
        ("[api]\nurl = 'https://deploy.example.com/'", "api.url: expected an address without a path"),
        ("[api]\nurl = 'https://user:secret@deploy.example.com'", "api.url: expected an address without a path"),
        ("[api]\ntrusted_proxies = ['10.0.0.1/8']", "api.trusted_proxies: expected addresses or networks such as"),
        ("[sites]\ntrusted_proxies = ['proxy']", "sites.trusted_proxies: expected addresses or networks such as"),
        ("[api]\ncors_origins = ['example.com']", "api.cors_origins: expected origins"),
        ("[api]\ncors_origins = ['https://example.com/']", "api.cors_origins: expected origins"),
        ("[data]\ndirectory = ''", "data.directory: name the folder"),
        ("[auth]\ntoken = 'short'", "auth.token: a token has at least 16 characters."),
        ("[auth]\ntoken = 'sixteen letters and spaces'", "auth.token: printable ASCII without spaces."),
        ("[auth]\ntoken = 1", "auth.token: expected text, not ..."),
        ("[builder]\nisolation = 'weak'", "builder.isolation: expected one of auto, strong, basic, account, none"),
        ("[builder]\nconcurrency = 0", "builder.concurrency: expected more than 0, not 0."),
        (
            "[builder]\nallow_private_hosts = ['http://10.0.0.1']",
            "builder.allow_private_hosts: expected hosts, addresses",
        ),
        ("[s3]\nendpoint = 'minio.example.com:9000'", "s3.endpoint: expected an address such as https://"),
        ("[secrets]\nkms_endpoint = 'kms.example.com'", "secrets.kms_endpoint: expected an address such as https://"),
        ("[secrets]\nkms_endpoint = 'http://user:word@kms'", "secrets.kms_endpoint: expected an address"),
        ("[s3]\nendpoint = 'http://user:word@minio'", "s3.endpoint: expected an address such as https://"),
        ("[retention]\nlog_days = -1", "retention.log_days: expected more than 0"),
        ("[api", "/"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, begins):
    assert refusal(tmp_path, text).startswith(begins)


def test_a_file_that_is_not_toml_is_named(tmp_path):
    assert "config.toml is not TOML" in refusal(tmp_path, "[api")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.toml cannot be read: No such file"):
        load_config(tmp_path / "missing.toml", {})


@pytest.mark.parametrize("name", ["npm_config_registry", "NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "UV_INDEX_URL"])
def test_a_registry_with_a_password_is_refused_and_not_shown(name):
    with pytest.raises(ConfigError, match=f"{name} has a user or a password") as caught:
        load_config(None, {name: "https://user:hunter2@npm.example.com/"})
    assert "hunter2" not in caught.value.sentence


def test_a_registry_with_a_scope_in_its_path_is_taken():
    assert load_config(None, {"npm_config_registry": "https://npm.example.com/@scope/"}) == Config()


def test_a_wrong_number_in_the_environment_is_named(tmp_path):
    assert refusal(tmp_path, "", {"BUILDSPACE_API_PORT": "eighty"}).startswith("BUILDSPACE_API_PORT: expected a whole")


def test_an_unknown_variable_is_named(tmp_path):
    assert refusal(tmp_path, "", {"BUILDSPACE_API_POORT": "1"}).startswith("BUILDSPACE_API_POORT: there is no such")


@pytest.mark.parametrize(
    ("hosts", "is_loopback_only"),
    [("127.0.0.1,::1", True), ("127.0.0.1,0.0.0.0", False), ("192.168.1.4", False), ("::ffff:127.0.0.1", True)],
)
def test_who_can_reach_the_api_follows_from_its_addresses(hosts, is_loopback_only):
    assert load_config(None, {"BUILDSPACE_API_HOST": hosts}).is_loopback_only is is_loopback_only


def test_builders_call_a_socket_in_the_data_directory_unless_they_are_elsewhere():
    assert load_config(None, {"BUILDSPACE_DATA_DIRECTORY": "/d"}).builders_url == "unix:/d/builders/socket"
    elsewhere = load_config(None, {"BUILDSPACE_BUILDERS_URL": "http://10.0.0.5:9001"})
    assert (elsewhere.builders_url, elsewhere.builders_socket) == ("http://10.0.0.5:9001", None)


def test_a_data_directory_in_the_home_is_there(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(load_config(None, {"BUILDSPACE_DATA_DIRECTORY": "~/sites"}).data_directory) == "/home/somebody/sites"
