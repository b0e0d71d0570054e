"""``gbe serve``: the engine, the transport and the HTTP server, started in this order and stopped in reverse."""

import asyncio
import dataclasses
import functools
import logging
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import gbe
from gbe import logs, metrics
from gbe.cli.hosts import networks_of
from gbe.cli.presence import announced
from gbe.cli.reload import follow_file
from gbe.cli.roles import start_roles
from gbe.cli.runtime import in_background, run, settle, stop_on_signals
from gbe.config import Settings, without_secrets
from gbe.connect import (
    dead_letters,
    ensure_streams,
    event_registry,
    job_client,
    open_access,
    open_notify,
    open_transport,
    push_courier,
    push_subscriptions,
    schedule_client,
    streams_of,
    task_client,
)
from gbe.deadletters.letters import DeadLetters
from gbe.errors import ConfigError, StateError, TransportError
from gbe.http.app import build_application
from gbe.http.mail import mail_server
from gbe.http.server import listen, serve
from gbe.http.services import now_ms
from gbe.http.workers import WorkerPool, stop_with_parent
from gbe.notify.config import NotifyConfig
from gbe.notify.email.config import parse_address
from gbe.notify.ledger import Ledger, LocalLedger, SharedLedger
from gbe.notify.shared_limits import SharedLimits
from gbe.notify.upstream import Upstream
from gbe.notify.webpush.live import LivePusher
from gbe.notify.webpush.pusher import Pusher
from gbe.tasks.client import TaskClient
from gbe.transport.base import Transport
from gbe.transport.embedded import EmbeddedEngine

logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_METRICS_INTERVAL: Final = 2.0
_QUEUES_INTERVAL: Final = 10.0
_LEDGER: Final = "visitors"
_PORT_PATIENCE: Final = 3.0


def serve_until_stopped(settings: Settings, shared: Path | None) -> None:
    """Run the service until SIGTERM or Ctrl-C.

    Args:
        shared: where several workers count together; ``None`` for one process.

    Raises:
        GbeError: it cannot start; the text says why and what to do.
    """
    logs.configure(settings.log)
    if shared is not None:
        SharedLedger.create(shared / _LEDGER, workers=settings.workers)
    run(_serve(settings, shared))


async def _serve(settings: Settings, shared: Path | None) -> None:
    started = time.monotonic()
    for warning in settings.warnings:
        logger.warning("%s", warning)
    stop = asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS)
    async with AsyncExitStack() as stack:
        # first of all: a port that is taken should not cost the start of an engine
        sockets = await _listen(settings)
        stack.callback(_close_all, sockets)
        port = sockets[0].getsockname()[1]
        if settings.transport_kind == "embedded":
            engine = EmbeddedEngine(settings.data_dir, settings.embedded, listen=f"{settings.host}:{port}")
            await stack.enter_async_context(engine)
            watching = asyncio.create_task(_count_restarts(engine), name="gbe.engine.metrics")
            stack.callback(watching.cancel)
        transport = await stack.enter_async_context(await open_transport(settings))
        await ensure_streams(settings, transport)
        await start_roles(settings, transport, stack)
        await stack.enter_async_context(in_background(follow_file(settings, stop), "gbe.configuration"))
        running = {"roles": list(settings.roles), "workers": settings.workers}
        await stack.enter_async_context(announced(transport, settings.namespace, "serve", running))
        _say_hello(settings, port, time.monotonic() - started)
        if shared is not None:
            # the parent only owns things: workers have connections of their own
            main = functools.partial(worker, settings, shared)
            pool = WorkerPool(main, sockets, stop_timeout=settings.http.shutdown_timeout)
            await pool.run(stop)
        else:
            await _serve_http(settings, transport, sockets, stop)
        print("gbe stops: requests under way are finished", file=sys.stderr)  # noqa: T201 - a program's own words


async def _count_restarts(engine: EmbeddedEngine) -> None:
    while True:
        metrics.engine_restarts.set(engine.restarts)
        await asyncio.sleep(_METRICS_INTERVAL)


async def _measure_queues(tasks: TaskClient) -> None:
    while True:
        try:
            for task_type, (depth, oldest) in (await tasks.queues()).items():
                metrics.task_queue_depth.labels(task_type).set(depth)
                metrics.task_oldest_pending.labels(task_type).set(oldest)
        except (StateError, TransportError) as exc:
            logger.debug("queues not measured: %s", exc)
        await asyncio.sleep(_QUEUES_INTERVAL)


def worker(settings: Settings, shared: Path, number: int, sock: socket.socket) -> None:
    """One HTTP process of several; runs in a process of its own.

    Args:
        shared: the directory of what all workers count together.
        number: which worker this is, from 0.
        sock: listens already.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent tells us when
    logs.configure(settings.log)
    ledger = SharedLedger(shared / _LEDGER, worker=number, workers=settings.workers)
    run(_work(settings, ledger, sock))


async def _work(settings: Settings, ledger: SharedLedger, sock: socket.socket) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop, (signal.SIGTERM,))
    stop_with_parent(stop)
    following = in_background(follow_file(settings, stop), "gbe.configuration")
    async with await open_transport(settings) as transport, following:
        await _serve_http(settings, transport, [sock], stop, ledger)


async def _serve_http(
    settings: Settings,
    transport: Transport,
    sockets: list[socket.socket],
    stop: asyncio.Event,
    ledger: Ledger | None = None,
) -> None:
    ledger = LocalLedger() if ledger is None else ledger  # an empty ledger is false
    if "http" not in settings.roles:
        await stop.wait()
        return
    letters: DeadLetters | None = None
    async with task_client(settings, transport) as tasks, AsyncExitStack() as stack:
        if tasks is not None:
            tasks.on_submit, tasks.on_cancel = metrics.submitted, metrics.cancelled
            measuring = asyncio.create_task(_measure_queues(tasks), name="gbe.queues.metrics")
            stack.callback(measuring.cancel)
            letters = dead_letters(
                settings, tasks, on_letter=metrics.count_letter, on_outcome=metrics.count_letter_move
            )
        store = None if tasks is None else tasks.backend.state
        shared, files = await stack.enter_async_context(open_notify(settings, tasks))
        if settings.notify.visitor_limits == "shared":
            ledger = shared_limits = SharedLimits(shared, settings.namespace)
            await stack.enter_async_context(in_background(shared_limits.run(), "gbe.limits"))
        if settings.notify.upstream_base_url:
            upstream = Upstream(transport, settings.notify, settings.namespace, gbe.__version__)
            await stack.enter_async_context(in_background(upstream.run(), "gbe.upstream"))
        if files is not None:
            await stack.enter_async_context(in_background(files.run(now_ms), "gbe.files"))
        access = await stack.enter_async_context(open_access(settings, shared, ledger))
        subscriptions = push_subscriptions(settings, shared)
        live_pusher: LivePusher | None = None
        if subscriptions is not None:
            courier = push_courier(settings, subscriptions, access)
            live_pusher = LivePusher(courier)
            await stack.enter_async_context(in_background(live_pusher.run(), "gbe.push.live"))
            if tasks is None and "webpush" in settings.roles:  # all is in this process, and so is the role
                pusher = Pusher(
                    transport, push_courier(settings, subscriptions, access), settings.namespace, settings.notify
                )
                await stack.enter_async_context(in_background(pusher.run(), "gbe.webpush"))
        application = build_application(
            transport,
            namespace=settings.namespace,
            http=settings.http,
            notify=await _with_known_proxies(settings.notify),
            exempt=await networks_of(
                settings.notify.visitor_request_limit_exempt_hosts, "notify.visitor_request_limit_exempt_hosts"
            ),
            ledger=ledger,
            files=files,
            state=shared,
            access=access,
            tasks=tasks,
            dead_letters=letters,
            schedules=None if tasks is None else schedule_client(settings, tasks, metrics.ScheduleMetrics()),
            jobs=None if tasks is None else job_client(settings, tasks),
            events=event_registry(settings.events),
            streams=streams_of(settings, transport, store),
            push_subscriptions=subscriptions,
            live_pusher=live_pusher,
        )
        if settings.notify.smtp_server_listen:
            sock = _listen_for_mail(settings)
            stack.callback(sock.close)
            await stack.enter_async_context(mail_server(application, settings.notify, sock))
        settle()
        await stack.enter_async_context(in_background(application.services.stats.run(), "gbe.stats"))
        await serve(application, sockets, stop)


async def _listen(settings: Settings) -> list[socket.socket]:
    """One socket for each worker.

    Sockets that share an address would share it with another server's too: so first one that does not share finds out
    whether the address is free.
    """
    backlog = settings.http.backlog
    if settings.workers == 1:
        return [listen(settings.host, settings.port, backlog=backlog)]
    deadline = time.monotonic() + _PORT_PATIENCE
    while True:
        try:
            probe = listen(settings.host, settings.port, backlog=1)
            break
        except ConfigError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)  # the workers of a server that was killed notice within a moment
    port = probe.getsockname()[1]
    probe.close()
    return [listen(settings.host, port, backlog=backlog, share=True) for _ in range(settings.workers)]


def _listen_for_mail(settings: Settings) -> socket.socket:
    """A socket for mails; each worker has one of its own on the same address."""
    host, port = parse_address("smtp_server_listen", settings.notify.smtp_server_listen, host_needed=False)
    return listen(host or "0.0.0.0", port, backlog=100, share=settings.workers > 1)  # noqa: S104 - as ntfy reads ":25"


def _close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


async def _with_known_proxies(notify: NotifyConfig) -> NotifyConfig:
    """Names of trusted proxies as addresses, which are what a forwarded header holds."""
    trusted = await networks_of(notify.proxy_trusted_hosts, "notify.proxy_trusted_hosts")
    return dataclasses.replace(notify, proxy_trusted_hosts=tuple(map(str, trusted)))


def _say_hello(settings: Settings, port: int, seconds: float) -> None:
    """What was started, and where to go next."""
    host = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else settings.host  # noqa: S104
    url = settings.notify.base_url or f"http://{host}:{port}"
    match settings.transport_kind:
        case "embedded":
            engine = (
                f"embedded nats-server, durability {settings.embedded.durability}, "
                f"data in {_shown_path(settings.data_dir)}"
            )
        case "memory":
            engine = "memory: nothing outlives this process"
        case _:
            engine = without_secrets(settings.transport)
    workers = f", {settings.workers} workers" if settings.workers > 1 else ""
    lines = (
        f"gbe {gbe.__version__} started in {seconds:.2f} s",
        f"  engine    {engine}",
        f"  streams   {', '.join(stream.name for stream in settings.streams)}",
        f"  listening {url}{workers}",
        "",
        f"  subscribe  curl -sN {url}/mytopic/json",
        f"  publish    curl -d 'hello' {url}/mytopic",
        "  stop       Ctrl-C",
    )
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - a program's own words


def _shown_path(path: Path) -> str:
    return str(path if path.is_absolute() else Path("./") / path)
