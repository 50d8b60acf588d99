"""A PostgreSQL for all the tests here, an empty database for each, and the stores on it."""

import pytest

from gateway.models import BuildSettings
from gateway.stores.deployments import DeploymentStore
from gateway.stores.installation import InstallationStore
from gateway.stores.postgres import open_pool
from gateway.stores.projects import ProjectStore
from tests.engines.postgres import running_postgres


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
async def database(postgres):
    async with open_pool(await postgres.create_database(), 10) as database:
        yield database


@pytest.fixture
def projects(database):
    return ProjectStore(database)


@pytest.fixture
def deployments(database):
    return DeploymentStore(database)


@pytest.fixture
def installation(database):
    return InstallationStore(database)


@pytest.fixture
async def queued(projects):
    """The first deployment of a new project."""
    return await projects.create("Blog", "https://example.com/blog.git", BuildSettings())


@pytest.fixture
async def building(queued, deployments):
    """The same, claimed by a launcher."""
    (claimed,) = await deployments.claim("process", 60)
    return claimed
