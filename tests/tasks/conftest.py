"""Tasks on every back end."""

import pytest
from tests.deployment_fixtures import deployment, engine
from tests.deployments import Deployment

from gbe.app import App

__all__ = ["deployment", "engine"]


@pytest.fixture
async def app(deployment: Deployment) -> App:
    """A program that submits and works."""
    return await deployment.app()
