"""The engines and deployments of the tests of tasks, and Redis Cluster beside them."""

import pytest
from tests.deployment_fixtures import any_engine, deployment
from tests.postgres import PostgresProcess

__all__ = ["any_engine", "deployment"]


@pytest.fixture
def url(postgres: PostgresProcess) -> str:
    """A database of the test's own."""
    return postgres.new_database()
