"""The engines and deployments of the tests of tasks."""

from tests.tasks.conftest import deployment, engine

__all__ = ["deployment", "engine"]
