"""Opens what the configuration names: transport, state store and object store, for every program of gbe."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from gbe import metrics
from gbe.archive.archiver import Archiver
from gbe.archive.observer import Observer
from gbe.archive.open import open_sink
from gbe.archive.sink import Sink
from gbe.config import Settings
from gbe.deadletters.audit import Audit
from gbe.deadletters.index import Indexer
from gbe.deadletters.letters import DeadLetters
from gbe.deadletters.names import LetterNames
from gbe.deadletters.redrive import Redrive
from gbe.errors import ConfigError
from gbe.events.publisher import EventPublisher
from gbe.graph.definition import parse_definition
from gbe.http.wire import json_line
from gbe.imports import imported
from gbe.jobs.client import JobClient
from gbe.lifecycle.names import TaskNames
from gbe.notify.access.access import Access
from gbe.notify.files import Files
from gbe.notify.ledger import Ledger
from gbe.notify.webpush.courier import Courier
from gbe.notify.webpush.subscriptions import Subscriptions
from gbe.objects.claims import ClaimChecks
from gbe.objects.open import open_objects
from gbe.redis.config import RedisConfig
from gbe.schedules.client import ScheduleClient
from gbe.schedules.names import ScheduleNames
from gbe.schedules.observer import ScheduleObserver
from gbe.schemas.archive import ArchiveRule
from gbe.schemas.events.base import Event
from gbe.schemas.events.registry import EventRegistry
from gbe.starters import TargetStarter
from gbe.state import open as state
from gbe.state.base import StateStore
from gbe.subjects import matches
from gbe.sweeper.retention import Retention
from gbe.sweeper.streams import Streams
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
    """All that tasks need of a deployment, as ``async with``.

    Args:
        archives: whether an archiver starts here.
    """

    def __init__(self, settings: Settings, *, archives: bool = False) -> None:
        if settings.transport_kind == "memory":
            raise ConfigError("transport is memory, which lives in one process: tasks need an engine, or gbe.testing")
        self._settings, self._archives = settings, archives
        self._stack = AsyncExitStack()
        self.backend: Backend

    async def __aenter__(self) -> Self:
        """Open everything, and make sure that the streams are there."""
        settings = self._settings
        try:
            transport = await self._stack.enter_async_context(await open_transport(settings))
            store = await self._stack.enter_async_context(await open_state(settings))
            objects = await self._stack.enter_async_context(await open_objects(settings.objects))
            await streams_of(settings, transport, store, archives=self._archives).ensure()
            self.backend = Backend(transport, store, TaskNames(settings.namespace), ClaimChecks(objects))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def streams_of(
    settings: Settings, transport: Transport, store: StateStore | None, *, archives: bool = False
) -> Streams:
    """The streams of this configuration, with what operators have changed.

    Args:
        archives: whether an archiver starts with this program; the whole deployment is told.
    """
    patterns = tuple(f"{settings.namespace}.{pattern}" for pattern in settings.archive.subjects)
    archive = ArchiveRule(settings.archive.group, patterns) if archives else None
    return Streams(transport, store, settings.namespace, settings.streams, archive)


async def ensure_streams(settings: Settings, transport: Transport) -> None:
    """Make the streams of the configuration, with what operators have changed; raises as each engine does."""
    if "memory" in (settings.transport_kind, settings.state_kind):
        await streams_of(settings, transport, None).ensure()
        return
    async with await open_state(settings) as store:
        await streams_of(settings, transport, store, archives="archiver" in settings.roles).ensure()


def retention(settings: Settings, backend: Backend) -> Retention:
    """What keeps the streams of this configuration to their limits."""
    streams = streams_of(settings, backend.transport, backend.state)

    def count(stream: str, messages: int) -> None:
        metrics.retention_removed.labels(stream).inc(messages)

    return Retention(streams, alert_every=settings.sweeper.alert_every, on_removed=count)


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
async def open_notify(settings: Settings, tasks: TaskClient | None) -> AsyncIterator[tuple[StateStore, Files | None]]:
    """The state store of notifications, and their files if they may have any.

    Where everything lives in one process, so does the state; else it is the one of the tasks.
    """
    async with AsyncExitStack() as stack:
        if tasks is None:
            shared = await stack.enter_async_context(state.open_memory(settings.state))
        else:
            shared = tasks.backend.state
        if not settings.notify.takes_files:
            yield shared, None
            return
        objects = await stack.enter_async_context(await open_objects(settings.objects))
        yield shared, Files(objects, shared, settings.notify, settings.namespace, metrics.files_expired.inc)


@asynccontextmanager
async def open_access(
    settings: Settings, store: StateStore, ledger: Ledger | None = None
) -> AsyncIterator[Access | None]:
    """Users and access control; ``None`` where everything is open to everybody.

    Args:
        ledger: where failed logins are counted.

    Raises:
        StateError: the store does not answer.
    """
    if not settings.access.is_on:
        yield None
        return
    async with Access(store, settings.namespace, settings.access, ledger) as access:
        yield access


def indexer(settings: Settings, backend: Backend, on_letter: Callable[[str], None] = lambda _domain: None) -> Indexer:
    """What writes the index of dead letters; ``on_letter`` hears of each that is new."""
    names = LetterNames(settings.namespace)
    subject = names.stream("any")
    ages = [s.max_age for s in settings.streams if any(matches(pattern, subject) for pattern in s.subjects)]
    return Indexer(
        backend.transport,
        backend.state,
        names,
        retention=ages[0] if ages else None,
        on_letter=on_letter,
    )


def dead_letters(
    settings: Settings,
    tasks: TaskClient,
    *,
    on_letter: Callable[[str], None] = lambda _domain: None,
    on_outcome: Callable[[str, str], None] = lambda _domain, _result: None,
) -> DeadLetters:
    """The dead letters of a deployment; those of failed tasks are sent again by its client of tasks."""

    async def retry(task_type: str, task_id: str, key: str) -> str:
        return (await tasks.retry(task_id, task_type, idempotency_key=key)).task_id

    backend = tasks.backend
    index = indexer(settings, backend, on_letter)
    redrive = Redrive(
        backend.transport,
        backend.state,
        index.names,
        Audit(backend.transport, index.names),
        retry_task=retry,
    )
    return DeadLetters(
        backend.state,
        index,
        redrive,
        on_outcome=on_outcome,
    )


@asynccontextmanager
async def open_dead_letters(settings: Settings) -> AsyncIterator[DeadLetters]:
    """The dead letters, with connections of their own; raises as ``Connections`` does."""
    async with Connections(settings) as connections:
        backend = connections.backend
        tasks = TaskClient(backend, TypeRegistry(backend.state, backend.names, settings.tasks, {}))
        try:
            yield dead_letters(settings, tasks)
        finally:
            await tasks.close()


def job_client(settings: Settings, tasks: TaskClient) -> JobClient:
    """A client of jobs beside one of tasks, which stays its caller's."""
    definitions = {name: parse_definition(name, document) for name, document in settings.jobs.items()}
    return JobClient(tasks.backend, tasks.types, definitions)


def schedule_client(settings: Settings, tasks: TaskClient, observer: ScheduleObserver | None = None) -> ScheduleClient:
    """A client of schedules beside one of tasks, which stays its caller's."""
    backend = tasks.backend
    names = ScheduleNames(settings.namespace)
    return ScheduleClient(
        backend.state, names, TargetStarter(tasks, job_client(settings, tasks)), backend.clock, observer
    )


def push_subscriptions(settings: Settings, store: StateStore | None) -> Subscriptions | None:
    """The subscriptions of browsers; ``None`` where there is no web push, or no state store to keep them in."""
    if store is None or not settings.notify.web_push_public_key:
        return None
    return Subscriptions(store, settings.namespace, settings.notify.web_push_expiry_duration)


def push_courier(settings: Settings, subscriptions: Subscriptions, access: Access | None) -> Courier:
    """What takes messages to the browsers that have subscribed, and may read them still."""
    return Courier(
        subscriptions,
        settings.notify,
        json_line,
        metrics.count_push,
        may_read=None if access is None else access.may_read,
    )


def archive_folder(settings: Settings) -> str:
    """Where a local archive lies unless ``archive.url`` says otherwise."""
    return str(settings.data_dir / "archive")


def archiver(settings: Settings, backend: Backend, observer: Observer | None = None) -> Archiver:
    """The archiver of this configuration; it opens its sink when it has its lease."""

    async def opened() -> Sink:
        return await open_sink(settings.archive, settings.objects, archive_folder(settings))

    return Archiver(backend.transport, backend.state, opened, settings.namespace, settings.archive, observer)


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
        await ensure_streams(settings, transport)
        yield transport, EventPublisher(transport, settings.namespace, registry)
