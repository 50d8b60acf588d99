"""What a build's commands see of the builder's environment: almost nothing."""

import dataclasses

import pytest

from builder.environment import describe_deployment, make_environment, with_variables
from tests.engines.builders_api import make_job
from tests.unit.builder.projects import write_project

ALIEN = {
    "BUILDSPACE_TOKEN": "secret",
    "BUILDSPACE_URL": "http://127.0.0.1:9001",
    "DATABASE_URL": "postgres://",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "NODE_ENV": "production",
    "NODE_OPTIONS": "--require=/tmp/x.js",
    "LD_PRELOAD": "/tmp/x.so",
    "HOME": "/root",
    "GIT_REPOSITORY_URL": "https://example.org/a",
}


def test_nothing_of_the_builder_gets_through():
    environment = make_environment("/home/build/home", ALIEN)
    assert environment["HOME"] == "/home/build/home"
    assert environment["CI"] == "true"
    assert not (set(environment) - {"HOME"}) & set(ALIEN)


def test_a_deployment_is_described_by_the_names_of_other_hosts():
    job = make_job("https://example.org/a", memory_bytes=4 * 2**30)
    described = describe_deployment(job, "main", "abc")
    assert (described["URL"], described["DEPLOY_PRIME_URL"]) == (job.site_url, job.site_url)
    assert (described["BRANCH"], described["HEAD"], described["COMMIT_REF"]) == ("main", "main", "abc")
    assert described["NODE_OPTIONS"] == "--max-old-space-size=3072"
    preview = describe_deployment(dataclasses.replace(job, context="preview"), "x", "abc")
    assert (preview["CONTEXT"], preview["DEPLOY_PRIME_URL"]) == ("preview", job.deployment_url)


def test_options_for_node_of_a_project_follow_the_platforms():
    assert with_variables({"NODE_OPTIONS": "--a", "TZ": "UTC"}, {"NODE_OPTIONS": "--b", "TZ": "CET"}) == {
        "NODE_OPTIONS": "--a --b",
        "TZ": "CET",
    }
    assert with_variables({"TZ": "UTC"}, {}) == {"TZ": "UTC"}


@pytest.mark.parametrize("name", ["npm_config_registry", "NPM_CONFIG_REGISTRY"])
def test_the_operators_registry_reaches_every_manager(name):
    environment = make_environment("/home", {name: "https://npm.example/"})
    assert environment["npm_config_registry"] == environment["YARN_NPM_REGISTRY_SERVER"] == "https://npm.example/"


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_the_operators_index_reaches_pip_and_uv(name):
    environment = make_environment("/home", {name: "https://pypi.example/simple"})
    assert environment["PIP_INDEX_URL"] == environment["UV_DEFAULT_INDEX"] == "https://pypi.example/simple"


def test_pip_trusts_the_certificates_that_the_build_can_read():
    file = "/etc/ssl/certs/ca-certificates.crt"
    assert make_environment("/home", {"SSL_CERT_FILE": file})["PIP_CERT"] == file
    assert "PIP_CERT" not in make_environment("/home", {"SSL_CERT_FILE": "/root/ca.pem"})


def test_certificates_reach_the_build_only_where_it_can_read_them(tmp_path):
    write_project(tmp_path, {"ca.pem": ""})
    environment = make_environment(
        "/home", {"NODE_EXTRA_CA_CERTS": "/etc/ssl/certs/ca.pem", "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    )
    assert environment["NODE_EXTRA_CA_CERTS"] == "/etc/ssl/certs/ca.pem"
    assert "SSL_CERT_FILE" not in environment
