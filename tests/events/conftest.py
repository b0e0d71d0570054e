"""Events on every back end: the engines and deployments of the tests of tasks."""

from collections.abc import AsyncIterator

import pytest
from tests.tasks.conftest import deployment, engine

from gbe.config import default_streams
from gbe.notify.config import NotifyConfig
from gbe.transport.memory import MemoryTransport

__all__ = ["deployment", "engine"]


@pytest.fixture
async def transport() -> AsyncIterator[MemoryTransport]:
    """A transport in memory with the default streams."""
    async with MemoryTransport() as transport:
        for stream in default_streams("gbe", NotifyConfig()):
            await transport.ensure_stream(stream)
        yield transport
