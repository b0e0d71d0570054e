"""A deployment on an engine of the test's own, which it may kill."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.deployments import ENGINES, Deployment

__all__ = ["deployment"]


@pytest.fixture(params=["nats", "redis"])
async def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Its namespace is ``f``."""
    with ENGINES[request.param](tmp_path / "engine") as engine:
        deployment = Deployment(engine, "f", tmp_path)
        yield deployment
        await deployment.close()
