"""``gbe worker`` and ``gbe sweeper``."""

import asyncio
import importlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import gbe
from gbe import logs
from gbe.app import App
from gbe.cli.runtime import run, settle, stop_on_signals
from gbe.config import Settings
from gbe.connect import Connections, retention
from gbe.errors import ConfigError
from gbe.metrics import TaskMetrics, serve_alone
from gbe.sweeper.sweeper import Sweeper
from gbe.tasks.config import WorkerConfig

logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_RESTART_PAUSE: Final = 1.0
_POLL: Final = 0.1


def load_app(target: str) -> App:
    """Import ``module:attribute``, from the working directory too.

    Raises:
        ConfigError: there is no such module or attribute, or it is no ``gbe.App``.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"{target!r}: expected MODULE:APP, such as myproject.tasks:app")
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and not module_name.startswith(exc.name):
            raise  # found, and it imports something that is not there: its traceback says where
        raise ConfigError(f"there is no module {module_name} in {directory} or where Python looks") from None
    app = getattr(module, attribute, None)
    if not isinstance(app, App):
        raise ConfigError(f"{target}: {attribute} is no gbe.App")
    return app


def work(target: str | None, settings: Settings, metrics_at: str | None = None) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Raises:
        GbeError: it cannot start; the text says why and what to do.
    """
    logs.configure(settings.log)
    app = App() if target is None else load_app(target)
    app.configure(settings)
    if metrics_at is not None:
        _serve_metrics(metrics_at)
    run(_work(app, settings.worker))
    # threads of plain functions that were handed back may go on: they must not hold up the exit
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _serve_metrics(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigError(f"--metrics is {address!r}; expected ADDRESS:PORT, such as 127.0.0.1:9100")
    try:
        serve_alone(host or "127.0.0.1", int(port))
    except OSError as exc:
        raise ConfigError(f"--metrics {address}: {exc}") from exc


async def _work(app: App, config: WorkerConfig) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS)
    async with app:
        worker = await app.worker(config, TaskMetrics())
        names = ", ".join(worker.types)
        print(  # noqa: T201  a program's own words
            f"gbe {gbe.__version__} worker {worker.name}\n"
            f"  types        {names}\n"
            f"  concurrency  {config.concurrency}\n"
            "  stop         Ctrl-C",
            file=sys.stderr,
            flush=True,
        )
        settle()
        await worker.run(stop)


def supervise(arguments: list[str], processes: int, grace: float) -> int:
    """Run several workers, each a process of its own; one that dies is started again. Returns the exit code."""
    command = [sys.executable, "-m", "gbe.cli.main", "worker", *arguments]
    children = [subprocess.Popen(command) for _ in range(processes)]  # noqa: S603  our own program
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    started = time.monotonic()
    while not stopping:
        time.sleep(_POLL)
        for index, child in enumerate(children):
            code = child.poll()
            if code is None or stopping:
                continue
            if time.monotonic() - started < 2 * _RESTART_PAUSE and code == 1:
                stopping = True  # it cannot start at all, and has said why
                break
            logger.warning("worker process ended, starting another", extra={"pid": child.pid, "code": code})
            time.sleep(_RESTART_PAUSE)
            children[index] = subprocess.Popen(command)  # noqa: S603
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace + 15.0
    codes: list[int] = []
    for child in children:
        try:
            codes.append(child.wait(max(0.1, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            child.kill()
            codes.append(child.wait())
    return 0 if all(code in (0, -signal.SIGTERM) for code in codes) else 1


def sweep(settings: Settings) -> None:
    """Run a sweeper alone until SIGTERM or Ctrl-C."""
    logs.configure(settings.log)
    run(_sweep(settings))


async def _sweep(settings: Settings) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS)
    async with Connections(settings) as connections:
        backend = connections.backend
        sweeper = Sweeper(
            backend.transport,
            backend.state,
            backend.names,
            settings.tasks,
            settings.sweeper,
            claims=backend.claims,
            retention=retention(settings, backend),
        )
        sweeping = asyncio.create_task(sweeper.run(), name="gbe.sweeper")
        print(f"gbe {gbe.__version__} sweeper {sweeper.name}; stop: Ctrl-C", file=sys.stderr, flush=True)  # noqa: T201
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({sweeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        sweeping.cancel()
        for result in await asyncio.gather(sweeping, stopped, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
