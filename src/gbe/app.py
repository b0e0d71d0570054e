"""``gbe.App``: what a program that submits or runs tasks, or publishes or handles events, holds in its hands."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from gbe.config import Settings, load
from gbe.connect import Connections, event_registry, job_client
from gbe.durations import parse_duration
from gbe.errors import ConfigError, InvalidTaskError
from gbe.events.domains import EventMethods
from gbe.events.handlers import EventHandler, HandlerOptions
from gbe.events.publisher import EventPublisher
from gbe.events.worker import EventObserver, EventWorker
from gbe.graph.definition import JobDefinition, parse_definition
from gbe.graph.record import JobRecord
from gbe.jobs.client import JobClient
from gbe.lifecycle.backoff import Backoff
from gbe.lifecycle.names import Priority
from gbe.schemas.events.registry import EventRegistry
from gbe.tasks.backend import Backend
from gbe.tasks.client import SubmitOptions, TaskClient
from gbe.tasks.config import WorkerConfig
from gbe.tasks.functions import Runnable, TaskFunction
from gbe.tasks.handle import Task
from gbe.tasks.observer import TaskObserver
from gbe.tasks.registry import TypeRegistry
from gbe.tasks.worker import Worker
from gbe.transport.base import LATEST, Start
from gbe.workforce import Workforce

Function = TypeVar("Function", bound=Callable[..., Any])


class NoTasksError(ConfigError):
    """A program that has nothing to work on."""


OPTIONS: Final = frozenset(
    {
        "delay",
        "run_at",
        "priority",
        "idempotency_key",
        "key",
        "max_retries",
        "step_timeout",
        "timeout",
        "job_id",
        "task_type",
        "self",
    }
)
"""What ``submit`` keeps for itself: no parameter of a task may be named so."""


class AppEvents(EventMethods):
    """``app.events``: publishes events, connecting first; see ``gbe.events.publisher.EventPublisher``."""

    def __init__(self, app: "App") -> None:
        super().__init__(self.publish)
        self._app = app
        self._added: dict[str, type[Any]] = {}
        self._publisher: tuple[TaskClient, EventPublisher] | None = None
        self._registry: EventRegistry | None = None

    def register(self, pattern: str, kind: type[Any]) -> None:
        """Say what events look like.

        Args:
            pattern: subjects without the namespace, such as ``orders.*``; a stream must store them.
            kind: a ``gbe.Event``, or another type that msgspec decodes.

        Raises:
            ConfigError: a pattern or a type that cannot be.
        """
        EventRegistry({pattern: kind})
        self._added[pattern] = kind
        self._registry = self._publisher = None

    @property
    def registry(self) -> EventRegistry:
        """All schemas: of gbe, of the configuration, and those that were registered here. Raises ``ConfigError``."""
        if self._registry is None:
            self._registry = event_registry(self._app.configured_events)
            for pattern, kind in self._added.items():
                self._registry.register(pattern, kind)
        return self._registry

    async def publisher(self) -> EventPublisher:
        """The publisher behind all this, connected."""
        client = await self._app.client()
        if self._publisher is None or self._publisher[0] is not client:
            backend = client.backend
            publisher = EventPublisher(backend.transport, backend.names.namespace, self.registry, backend.clock)
            self._publisher = (client, publisher)
        return self._publisher[1]

    async def publish(self, subject: str, event: object, *, idempotency_key: str | None = None) -> str:
        """Check an event and store it; returns the id of its message. Raises as ``EventPublisher.publish``."""
        publisher = await self.publisher()
        return await publisher.publish(subject, event, idempotency_key=idempotency_key)


class App:
    """The task types of a program, and the deployment that it works with.

    Making one touches nothing; the first call that needs the engine connects. Use it as ``async with``, or ``close``
    it. Without arguments the configuration is that of every ``gbe`` program: ``gbe.yaml``, the environment, or the
    embedded engine that ``gbe serve`` runs on this machine.

    Args:
        config: a configuration file.
        settings: a configuration that was read already.
        backend: mechanisms that are open already, and are left open (see ``gbe.testing``).
        overrides: keys of the configuration, which beat file and environment.
    """

    def __init__(
        self,
        config: Path | str | None = None,
        *,
        settings: Settings | None = None,
        backend: Backend | None = None,
        **overrides: object,
    ) -> None:
        self._config = None if config is None else Path(config)
        self._settings, self._backend, self._overrides = settings, backend, overrides
        self.functions: dict[str, TaskFunction] = {}
        self.handlers: list[EventHandler] = []
        self.job_types: dict[str, JobDefinition] = {}
        self.events = AppEvents(self)
        self._client: TaskClient | None = None
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """The configuration. Raises ``ConfigError``."""
        if self._settings is None:
            self._settings = load(self._config, flags=self._overrides)
        return self._settings

    def configure(self, settings: Settings | None = None, *, backend: Backend | None = None) -> None:
        """Use this configuration, or mechanisms that are open already; before anything is opened, or after a close."""
        if self._client is None:
            self._settings, self._backend = settings or self._settings, backend or self._backend

    # -- types

    def task(self, name: str, **settings: object) -> Callable[[Function], Function]:
        """Register a function as a task type.

        Args:
            name: letters, digits, ``_`` and ``-``.
            settings: of the type, as in the configuration: ``step_timeout``, ``max_retries``, ``backoff``, …

        Raises:
            ConfigError: a name, a setting or a signature that cannot be a task's, or a name that is taken.
        """
        if not isinstance(name, str):  # a bare ``@app.task`` would pass the function, and nothing would be registered
            raise ConfigError('a task type needs a name: write @app.task("NAME")')

        def register(function: Function) -> Function:
            if name in self.functions:
                raise ConfigError(f"task {name} is registered twice")
            task = TaskFunction(name, function, settings)
            taken = OPTIONS & set(task.params.__struct_fields__)
            if taken:
                raise ConfigError(f"task {name}: {min(taken)} is an option of submit; name the parameter differently")
            self.functions[name] = task
            return function

        return register

    def on(
        self,
        pattern: str,
        *,
        group: str,
        concurrency: int = 10,
        max_deliver: int = 5,
        ack_timeout: float | str = 30.0,
        backoff: Backoff | None = None,
        start: Start = LATEST,
    ) -> Callable[[Function], Function]:
        """Register a function as a handler of events; ``gbe worker`` and ``run_worker`` call it.

        Its first parameter is the event, decoded as its annotation says; a further one named ``delivery`` (or
        annotated as ``Delivery``) is the delivery. When it returns, the event is done; when it raises, the event comes
        back after a pause, and after ``max_deliver`` deliveries it is a dead letter. An event that does not validate is
        one at once.

        Args:
            pattern: subjects, with or without the namespace.
            group: each event goes to one member of a group, over all processes.
            concurrency: events at a time, in each process.
            max_deliver: how often an event is tried.
            ack_timeout: seconds after which the events of a process that died go to another one.
            backoff: pauses between two tries; 1 s doubling up to a minute by default.
            start: where the group begins when it is new.

        Raises:
            ConfigError: a signature, group or option that cannot be, or a group that has this pattern already.
        """

        def register(function: Function) -> Function:
            options = HandlerOptions(
                concurrency=concurrency,
                max_deliver=max_deliver,
                ack_timeout=parse_duration(ack_timeout),
                start=start,
                **({} if backoff is None else {"backoff": backoff}),
            )
            if any((known.pattern, known.group) == (pattern, group) for known in self.handlers):
                raise ConfigError(f"handler of {pattern}: group {group} has one already; name another group")
            self.handlers.append(EventHandler(pattern, group, function, options))
            return function

        return register

    # -- submit and look

    async def submit(
        self,
        task_type: str,
        *,
        delay: float | str | None = None,
        run_at: datetime | int | None = None,
        priority: Priority | str = Priority.NORMAL,
        idempotency_key: str | None = None,
        key: str | None = None,
        max_retries: int | None = None,
        step_timeout: float | str | None = None,
        timeout: float | str | None = None,
        job_id: str | None = None,
        **params: object,
    ) -> Task:
        """Submit a task: once this returns it is stored, and will run.

        Args:
            task_type: registered here, configured, or known from a worker.
            delay, run_at: run it later, ``"5m"`` from now or at a moment (with a time zone, or unix milliseconds).
            priority: ``high``, ``normal`` or ``low``.
            idempotency_key: a second submit with the same key gives the first task.
            key: what limits per key go by.
            max_retries, step_timeout, timeout: for this task alone.
            job_id: the job that it is part of.
            params: the function's parameters.

        Raises:
            UnknownTaskTypeError, InvalidTaskError: nothing was written; the text names the field.
            StateUnavailableError: the engine did not answer; with an ``idempotency_key`` a repetition is safe.
        """
        client = await self.client()
        function = self.functions.get(task_type)
        if function is None:
            await client.types.look_up(task_type)
            encoded = client.types.check_params(task_type, _plain(task_type, params))
        else:
            encoded = function.encode_params(params)
        options = SubmitOptions(
            delay=_seconds("delay", delay),
            run_at=_moment(run_at),
            priority=priority,
            idempotency_key=idempotency_key,
            key=key,
            max_retries=max_retries,
            step_timeout=_seconds("step_timeout", step_timeout),
            timeout=_seconds("timeout", timeout),
            job_id=job_id,
        )
        return Task(client, await client.submit(task_type, encoded, options), function)

    async def get(self, task_id: str, task_type: str | None = None) -> Task:
        """A task that was submitted before; quicker with its type. Raises ``TaskNotFoundError``."""
        client = await self.client()
        record = await client.get(task_id, task_type)
        return Task(client, record, self.functions.get(record.task_type))

    # -- jobs

    def job(self, name: str, tasks: Mapping[str, Mapping[str, Any]], **settings: object) -> JobDefinition:
        """Define a job type for this program's ``start_job``; ``gbe jobs define`` stores one for all.

        Args:
            name: of the type.
            tasks: by name, as in the configuration: ``{"fetch": {}, "load": {"input_from": {"rows": "fetch"}}}``.
            settings: ``params``, ``timeout``, ``retention``.

        Raises:
            InvalidJobError: the text names the key and the fix.
        """
        definition = parse_definition(name, {"tasks": tasks, **settings})
        self.job_types[name] = definition
        return definition

    async def start_job(self, job_type: str, *, idempotency_key: str | None = None, **params: object) -> JobRecord:
        """Start a job: once this returns it is stored, and an orchestrator will advance it.

        Raises:
            UnknownJobTypeError, InvalidJobError: nothing was written.
            StateUnavailableError: no answer; with an ``idempotency_key`` a repetition is safe.
        """
        return await (await self.jobs()).start(job_type, params, idempotency_key=idempotency_key)

    async def jobs(self) -> JobClient:
        """The client of jobs, connected: looks at them, waits for their ends, cancels and retries them."""
        client = await self.client()
        if self._backend is not None and self._settings is None:
            return JobClient(client.backend, client.types, self.job_types)
        jobs = job_client(self.settings, client)
        jobs.configured = {**jobs.configured, **self.job_types}
        return jobs

    async def client(self) -> TaskClient:
        """The client behind all this, connected."""
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    await self._open()
        assert self._client is not None  # noqa: S101  just made
        return self._client

    async def _open(self) -> None:
        backend = self._backend
        if backend is None:
            backend = (await self._stack.enter_async_context(Connections(self.settings))).backend
        types = TypeRegistry(backend.state, backend.names, self._configured(), self.functions)
        client = TaskClient(backend, types)
        from gbe import metrics  # in the program's own registry; where several processes count together is known by now

        client.on_submit, client.on_cancel = metrics.submitted, metrics.cancelled
        self._stack.push_async_callback(client.close)
        await client.listen()
        self._client = client

    def _configured(self) -> Mapping[str, Mapping[str, object]]:
        return {} if self._backend is not None and self._settings is None else self.settings.tasks

    @property
    def configured_events(self) -> Mapping[str, str | None]:
        """The ``events`` section of the configuration."""
        return {} if self._backend is not None and self._settings is None else self.settings.events

    # -- run

    async def workforce(
        self,
        config: WorkerConfig | None = None,
        observer: TaskObserver | None = None,
        event_observer: EventObserver | None = None,
    ) -> Workforce:
        """Workers for all tasks and handlers of this program.

        Raises:
            ConfigError: there are none.
        """
        events = await self.event_worker(config, event_observer) if self.handlers else None
        has_tasks = events is None or self.functions or self._configured()
        try:
            tasks = await self.worker(config, observer) if has_tasks else None
        except NoTasksError:
            if events is None:
                raise
            tasks = None
        return Workforce(tasks, events)

    async def event_worker(
        self, config: WorkerConfig | None = None, observer: EventObserver | None = None
    ) -> EventWorker:
        """A worker for the handlers of this program."""
        backend = (await self.client()).backend
        grace = (config or WorkerConfig()).grace
        registry = self.events.registry
        return EventWorker(
            backend.transport, backend.names.namespace, registry, self.handlers, grace=grace, observer=observer
        )

    async def worker(self, config: WorkerConfig | None = None, observer: TaskObserver | None = None) -> Worker:
        """A worker for the functions of this program, and for the calls that are configured.

        Raises:
            ConfigError: there are none.
        """
        client = await self.client()
        from gbe.tasks.calls import call_of  # its HTTP client takes a while to load

        config = config or WorkerConfig()

        def find(name: str) -> Runnable | None:
            function = self.functions.get(name)
            if function is not None:
                return function
            if name not in self._configured():  # what a worker runs is for its configuration to say
                return None
            return call_of(name, client.types.effective(name), allow_internal=config.allow_internal_http)

        found = {name: find(name) for name in (*self.functions, *self._configured())}
        functions = {name: function for name, function in found.items() if function is not None}
        if not functions:
            raise NoTasksError(
                "there is nothing to work on: register a task or a handler of events, or configure a command or http"
            )
        return Worker(client.backend, client.types, functions, config, observer, find)

    async def run_worker(self, stop: asyncio.Event, config: WorkerConfig | None = None) -> None:
        """Run the tasks and handlers of this program in this process until ``stop`` is set."""
        await (await self.workforce(config)).run(stop)

    async def close(self) -> None:
        """Let go of the engine; the next call connects again."""
        self._client = None
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.client()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _plain(task_type: str, params: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(params)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise InvalidTaskError(f"task {task_type}", "", f"a parameter cannot be serialised: {exc}") from exc


def _seconds(name: str, value: float | str | None) -> float | None:
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ValueError as exc:
        raise InvalidTaskError("task", name, f"{value!r}; expected {exc}") from None


def _moment(value: datetime | int | None) -> int | None:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise InvalidTaskError("task", "run_at", "a moment without a time zone; name one, or give unix milliseconds")
    return round(value.timestamp() * 1000)
