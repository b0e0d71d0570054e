"""The roles of ``gbe serve`` that work in the background, beside HTTP or alone."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import gbe
from gbe import logs
from gbe.cli.presence import announced
from gbe.cli.reload import follow_file
from gbe.cli.runtime import in_background, run, stop_on_signals, until_stopped
from gbe.config import Settings
from gbe.connect import (
    Connections,
    archiver,
    indexer,
    job_client,
    open_access,
    open_backend,
    push_courier,
    push_subscriptions,
    retention,
)
from gbe.ids import process_name
from gbe.jobs.orchestrator import Orchestrator
from gbe.metrics import ArchiveMetrics, ScheduleMetrics, SweepMetrics, count_letter, submitted
from gbe.notify.webpush.pusher import Pusher
from gbe.schedules.names import ScheduleNames
from gbe.schedules.scheduler import Scheduler
from gbe.starters import TargetStarter
from gbe.sweeper.sweeper import Sweeper
from gbe.tasks.backend import Backend
from gbe.tasks.client import TaskClient
from gbe.tasks.registry import TypeRegistry
from gbe.transport.base import Transport

logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Role = Callable[[Settings, Backend], Coroutine[Any, Any, None]]
"""Works until it is cancelled; an engine that goes away is its own to wait for."""


async def _sweeper(settings: Settings, backend: Backend) -> None:
    await Sweeper(
        backend.transport,
        backend.state,
        backend.names,
        settings.tasks,
        settings.sweeper,
        claims=backend.claims,
        observer=SweepMetrics(),
        retention=retention(settings, backend),
    ).run()


async def _deadletters(settings: Settings, backend: Backend) -> None:
    await indexer(settings, backend, count_letter).run()


async def _scheduler(settings: Settings, backend: Backend) -> None:
    types = TypeRegistry(backend.state, backend.names, settings.tasks, {})
    tasks = TaskClient(backend, types)
    tasks.on_submit = submitted
    try:
        await Scheduler(
            backend.transport,
            backend.state,
            ScheduleNames(settings.namespace),
            TargetStarter(tasks, job_client(settings, tasks)),
            settings.schedules,
            settings.scheduler,
            observer=ScheduleMetrics(),
        ).run()
    finally:
        await tasks.close()


async def _orchestrator(settings: Settings, backend: Backend) -> None:
    await Orchestrator(backend, settings.tasks, settings.orchestrator).run()


async def _archiver(settings: Settings, backend: Backend) -> None:
    await archiver(settings, backend, ArchiveMetrics()).run()


async def _webpush(settings: Settings, backend: Backend) -> None:
    subscriptions = push_subscriptions(settings, backend.state)
    if subscriptions is None:
        return
    async with open_access(settings, backend.state) as access:
        courier = push_courier(settings, subscriptions, access)
        await Pusher(backend.transport, courier, settings.namespace, settings.notify).run()


BACKGROUND: Final[Mapping[str, Role]] = {
    "sweeper": _sweeper,
    "scheduler": _scheduler,
    "orchestrator": _orchestrator,
    "deadletters": _deadletters,
    "archiver": _archiver,
    "webpush": _webpush,
}
"""By name. What may be active only once in a deployment waits for a lease of its own."""


async def start_roles(settings: Settings, transport: Transport, stack: AsyncExitStack) -> None:
    """Start those that are configured; they end with the stack."""
    wanted = [name for name in settings.roles if name in BACKGROUND]
    backend = await stack.enter_async_context(open_backend(settings, transport)) if wanted else None
    if backend is None:
        return
    running = [asyncio.create_task(BACKGROUND[name](settings, backend), name=f"gbe.{name}") for name in wanted]
    for task in running:
        task.add_done_callback(_log_failure)

    async def end() -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    stack.push_async_callback(end)


def run_alone(settings: Settings, role: str) -> None:
    """Run one role and nothing else until SIGTERM or Ctrl-C; the configuration file is read again on SIGHUP."""
    logs.configure(settings.log)
    run(_alone(settings, role))


async def _alone(settings: Settings, role: str) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS)
    async with Connections(settings) as connections:
        backend = connections.backend
        print(f"gbe {gbe.__version__} {role} {process_name()}; stop: Ctrl-C", file=sys.stderr, flush=True)  # noqa: T201
        async with (
            in_background(follow_file(settings, stop), "gbe.configuration"),
            announced(backend.transport, settings.namespace, role),
        ):
            await until_stopped(BACKGROUND[role](settings, backend), stop)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        logger.critical("a role has ended", exc_info=exc, extra={"role": task.get_name()})
