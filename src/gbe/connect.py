"""Opens what the configuration names: transport, state store and object store, for every program of gbe."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from gbe.config import Settings
from gbe.errors import ConfigError
from gbe.events.publisher import EventPublisher
from gbe.imports import imported
from gbe.lifecycle.names import TaskNames
from gbe.objects.claims import ClaimChecks
from gbe.objects.open import open_objects
from gbe.redis.config import RedisConfig
from gbe.schemas.events.base import Event
from gbe.schemas.events.registry import EventRegistry
from gbe.state import open as state
from gbe.state.base import StateStore
from gbe.tasks.backend import Backend
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry
from gbe.transport.base import Transport
from gbe.transport.open import embedded_endpoint, open_memory, open_nats, open_redis


async def open_transport(settings: Settings) -> Transport:
    """The message transport; an embedded engine is looked for in the data directory, never started.

    Raises:
        EngineNotRunningError: nothing serves the data directory; the text names ``gbe serve``.
        TransportError: as the back end's ``open``.
    """
    match settings.transport_kind:
        case "memory":
            return open_memory()
        case "embedded":
            return await open_nats(settings.nats_config(**embedded_endpoint(settings.data_dir)))
        case "redis":
            return await open_redis(settings.redis_config())
        case _:
            return await open_nats(settings.nats_config())


async def open_state(settings: Settings) -> StateStore:
    """The state store; raises as ``open_transport`` does, with ``StateError`` in place of ``TransportError``."""
    match settings.state_kind:
        case "memory":
            return state.open_memory(settings.state)
        case "redis":
            return await state.open_redis(RedisConfig(url=settings.state_engine, **settings.redis), settings.state)
        case "embedded":
            nats = settings.nats_config(**embedded_endpoint(settings.data_dir))
        case _:
            nats = settings.nats_config(urls=tuple(settings.state_engine.split(",")))
    return await state.open_nats(nats, settings.state, replicas=settings.state_replicas)


def event_registry(configured: Mapping[str, str | None]) -> EventRegistry:
    """The schemas of gbe and those of the ``events`` section: ``MODULE:TYPE`` by pattern.

    Raises:
        ConfigError: there is no such type, or it cannot be an event's.
    """
    registry = EventRegistry()
    for pattern, target in configured.items():
        kind = Event if target is None else imported(target, f"events.{pattern}")
        if not isinstance(kind, type):
            raise ConfigError(f"events.{pattern}: {target} is no type")
        registry.register(pattern, kind)
    return registry


class Connections:
    """All that tasks need of a deployment, as ``async with``."""

    def __init__(self, settings: Settings) -> None:
        if settings.transport_kind == "memory":
            raise ConfigError("transport is memory, which lives in one process: tasks need an engine, or gbe.testing")
        self._settings = settings
        self._stack = AsyncExitStack()
        self.backend: Backend

    async def __aenter__(self) -> Self:
        """Open everything, and make sure that the streams are there."""
        settings = self._settings
        try:
            transport = await self._stack.enter_async_context(await open_transport(settings))
            store = await self._stack.enter_async_context(await open_state(settings))
            objects = await self._stack.enter_async_context(await open_objects(settings.objects))
            for stream in settings.streams:
                await transport.ensure_stream(stream)
            self.backend = Backend(transport, store, TaskNames(settings.namespace), ClaimChecks(objects))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def open_backend(settings: Settings, transport: Transport) -> AsyncIterator[Backend | None]:
    """State store and object store beside a transport that is open; ``None`` where all lives in one process."""
    if "memory" in (settings.transport_kind, settings.state_kind):
        yield None
        return
    async with await open_state(settings) as store, await open_objects(settings.objects) as objects:
        yield Backend(transport, store, TaskNames(settings.namespace), ClaimChecks(objects))


@asynccontextmanager
async def task_client(settings: Settings, transport: Transport) -> AsyncIterator[TaskClient | None]:
    """A client of tasks beside a transport that is open; ``None`` where everything lives in one process."""
    async with open_backend(settings, transport) as backend:
        if backend is None:
            yield None
            return
        client = TaskClient(backend, TypeRegistry(backend.state, backend.names, settings.tasks, {}))
        try:
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def open_events(settings: Settings) -> AsyncIterator[tuple[Transport, EventPublisher]]:
    """The transport, with its streams, and a publisher of events on it; no state store is needed.

    Raises:
        ConfigError: all lives in one process, or a schema of the configuration cannot be used.
        TransportError: as ``open_transport``.
    """
    if settings.transport_kind == "memory":
        raise ConfigError("transport is memory, which lives in one process: nobody would see its events")
    registry = event_registry(settings.events)
    async with await open_transport(settings) as transport:
        for stream in settings.streams:
            await transport.ensure_stream(stream)
        yield transport, EventPublisher(transport, settings.namespace, registry)
