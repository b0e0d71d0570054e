"""Events on every back end: the engines and deployments of the tests of tasks."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.deployment_fixtures import deployment, engine

from gbe.config import default_streams
from gbe.http.app import build_application
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


@pytest.fixture
async def http(transport: MemoryTransport) -> AsyncIterator[httpx.AsyncClient]:
    application = build_application(transport)
    asgi = httpx.ASGITransport(application, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=asgi, base_url="http://gbe") as http:
        yield http
    await application.close()
