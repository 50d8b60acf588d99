"""The page of a project's variables: plain forms, from this gateway's own pages alone."""

import pytest

from gateway.models.actor import OWNER
from tests.engines.api_server import api_over_database

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
async def api(postgres, tmp_path):
    async with api_over_database(await postgres.create_database(), tmp_path) as running:
        yield running


@pytest.fixture
async def slug(api):
    return (await api.deploy())["projectSlug"]


@pytest.fixture
def send(api, slug):
    """Send a form of the page; the status, and the page that then shows."""

    async def send(path="", origin=None, **fields):
        headers = {"Origin": api.url if origin is None else origin}
        url = f"{api.url}/p/{slug}/variables{path}"
        async with api.session.post(url, data=fields, headers=headers) as response:
            first = response.history[0].status if response.history else response.status
            return first, await response.text()

    return send


async def kept(api, slug):
    return [(v.name, v.context, v.is_secret) for v in await api.services.variables.show(OWNER, slug)]


async def test_a_variable_is_set_and_shown(send):
    status, page = await send(name="API_URL", value="https://api.example.com", context="all")
    assert status == 303
    assert "API_URL" in page
    assert "https://api.example.com" in page


async def test_a_secret_is_set_and_not_shown(api, slug, send):
    status, page = await send(name="KEY", value=SECRET, context="production", secret="true")
    assert (status, SECRET in page) == (303, False)
    assert await kept(api, slug) == [("KEY", "production", True)]


async def test_a_pasted_file_is_set_and_a_wrong_line_is_named(api, slug, send):
    status, page = await send(dotenv="A=1\r\nnonsense\r\nLD_PRELOAD=x", context="all")
    assert status == 400
    assert "Line 2 is not NAME=value." in page
    assert "Line 3: LD_PRELOAD cannot be set" in page
    assert await kept(api, slug) == []
    await send(dotenv='A=1\r\nB="x\r\ny"', context="all")
    assert await kept(api, slug) == [("A", "all", False), ("B", "all", False)]


async def test_a_refused_file_is_still_in_its_field_unless_it_is_secret(send):
    text = "A=1\r\nnonsense"
    _, page = await send(dotenv=text, context="preview")
    assert "A=1\r\nnonsense</textarea>" in page
    assert page.count('value="preview"') == 1
    _, page = await send(dotenv=text, context="all", secret="true")
    assert "nonsense</textarea>" not in page


async def test_a_refused_secret_is_not_shown_again(send):
    status, page = await send(name="VITE_KEY", value=SECRET, context="all", secret="true")
    assert status == 400
    assert "every visitor could read it" in page
    assert 'value="VITE_KEY"' in page
    assert SECRET not in page


async def test_a_warning_is_shown(send):
    status, page = await send(name="NODE_OPTIONS", value="--no-warnings", context="all")
    assert (status, "is appended to the options" in page) == (200, True)


async def test_another_projects_variables_are_copied(api, slug, send):
    other = (await api.deploy(variables=[{"name": "KEY", "value": SECRET, "secret": True}]))["projectSlug"]
    assert (await send(copyFrom=other))[0] == 303
    assert await kept(api, slug) == [("KEY", "all", True)]
    status, page = await send(copyFrom="no-such-project")
    assert (status, "No project is called" in page) == (404, True)


async def test_a_variable_is_deleted(api, slug, send):
    await send(name="A", value="1", context="all")
    assert (await send("/delete", name="A", context="all"))[0] == 303
    assert await kept(api, slug) == []


@pytest.mark.parametrize("path", ["", "/delete"])
async def test_a_form_of_another_site_changes_nothing(api, slug, send, path):
    await send(name="A", value="1", context="all")
    assert (await send(path, origin="https://evil.example", name="A", value="2", context="all"))[0] == 403
    assert await api.services.variables.show(OWNER, slug) != []
    assert (await api.services.variables.show(OWNER, slug))[0].value == "1"


async def test_markup_in_a_value_is_text(send):
    _, page = await send(name="A", value="<script>alert(1)</script>", context="all")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page
