"""/openapi.json describes every address of the API, and nothing that is not there."""

from gateway.app import create_api_app
from gateway.routes import API
from gateway.routes.openapi import describe_api
from gateway.routes.requests import ProjectRequest

PAGES = {"/", "/deploy", "/login", "/logout", "/favicon.ico"}
BELOW_PAGES = ("/p/", "/d/", "/static/")


def is_api(path):
    return path not in PAGES and not path.startswith(BELOW_PAGES)


async def test_every_address_is_described_with_its_methods(api):
    _, description = await api.get("/openapi.json")
    described = {(path, method.upper()) for path, operations in description["paths"].items() for method in operations}
    routes = {
        (route.resource.canonical, route.method)
        for route in create_api_app(api.services).router.routes()
        if route.method != "HEAD" and is_api(route.resource.canonical)
    }
    assert described == routes


def test_requests_and_answers_refuse_what_they_do_not_name():
    schemas = describe_api("1", API)["components"]["schemas"]
    assert all(schema["additionalProperties"] is False for schema in schemas.values())


def test_the_fields_of_a_request_are_those_of_its_schema():
    request = describe_api("1", API)["components"]["schemas"]["ProjectRequest"]
    assert request["properties"].keys() == ProjectRequest().fields.keys()
    assert request["required"] == ["gitUrl", "name"]


def test_every_operation_says_how_it_fails():
    for operations in describe_api("1", API)["paths"].values():
        for operation in operations.values():
            assert {"400", "403", "405", "500"} <= operation["responses"].keys()
