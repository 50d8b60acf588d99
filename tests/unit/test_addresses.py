"""How addresses look that users are told."""

import uuid

import pytest

from gateway.errors import ConfigError
from gateway.models.addresses import Addresses

DEPLOYMENT = uuid.UUID("0a1b2c3d-0000-4000-8000-000000000001")


def test_a_deployment_has_an_address_of_its_own():
    addresses = Addresses("https://{slug}.example.net/")
    assert addresses.site("blog") == "https://blog.example.net"
    assert addresses.deployment("blog", DEPLOYMENT) == "https://blog-0a1b2c3d.example.net"


def test_a_link_that_is_sent_out_begins_with_api_url():
    addresses = Addresses("https://{slug}.example.net", "https://deploy.example.com")
    assert addresses.link(addresses.page(DEPLOYMENT)) == f"https://deploy.example.com/d/{DEPLOYMENT}"


def test_without_api_url_a_link_cannot_be_made():
    with pytest.raises(ConfigError, match=r"api\.url is not set: set it to the address"):
        Addresses("https://{slug}.example.net").link("/d/1")
