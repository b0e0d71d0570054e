"""Servers with streams of events: the real application on a real socket, on every back end."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.naming import unique
from tests.ntfy.conftest import (
    OpenTransport,
    back_end,
    cluster_server,
    engine,
    expected_errors,
    http_client,
    loop,
    memory_server,
    memory_start,
    nats_server,
    nothing_fails_silently,
    open_transport,
    redis_server,
    start,
)
from tests.ntfy.server import Server

from gbe.config import default_streams
from gbe.notify.config import NotifyConfig

__all__ = [
    "OpenTransport",
    "back_end",
    "cluster_server",
    "engine",
    "expected_errors",
    "http_client",
    "loop",
    "memory_server",
    "memory_start",
    "nats_server",
    "nothing_fails_silently",
    "open_transport",
    "redis_server",
    "start",
]

StartServer = Callable[..., Server]


def with_events(server: Server) -> Server:
    """Make the streams of events, as a server does when it starts."""
    for stream in default_streams(server.namespace, NotifyConfig()):
        if ".events." in stream.subjects[0]:
            server.loop.call(server.transport.ensure_stream(stream))
    return server


@pytest.fixture
def server(back_end: str, request: pytest.FixtureRequest) -> Server:
    """The server that tests share; each test has a component of its own."""
    server: Server = request.getfixturevalue(f"{back_end}_server")
    return with_events(server)


class Component:
    """A component whose lifecycle events one test publishes and reads."""

    def __init__(self, server: Server) -> None:
        self.server, self.name = server, unique("c")

    @property
    def pattern(self) -> str:
        return f"events.lifecycle.{self.name}.*"

    def say(self, instance: str, what: str = "started", **fields: Any) -> dict[str, str]:
        """Publish an event; what the server answered."""
        path = f"/v1/events/events.lifecycle.{self.name}.{what}"
        answer = self.server.request("POST", path, json={"instance": instance, **fields})
        assert answer.status_code == 201, answer.text
        result: dict[str, str] = answer.json()
        return result


@pytest.fixture
def component(server: Server) -> Component:
    return Component(server)
