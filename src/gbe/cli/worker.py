"""``gbe worker``."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Final

import gbe
from gbe import logs
from gbe.app import App
from gbe.cli.presence import announced
from gbe.cli.reload import follow_file, on_hangup
from gbe.cli.runtime import in_background, run, settle, stop_on_signals
from gbe.config import Settings
from gbe.errors import ConfigError
from gbe.imports import imported
from gbe.metrics import EventMetrics, TaskMetrics, serve_alone, worker_ended
from gbe.tasks.config import WorkerConfig
from gbe.workforce import Workforce

logger = logging.getLogger(__name__)

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_RESTART_PAUSE: Final = 1.0
_POLL: Final = 0.1


def load_app(target: str) -> App:
    """Import ``module:attribute``, from the working directory too.

    Raises:
        ConfigError: there is no such module or attribute, or it is no ``gbe.App``.
    """
    app = imported(target, "expected MODULE:APP, such as myproject.tasks:app")
    if not isinstance(app, App):
        raise ConfigError(f"{target} is no gbe.App")
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
    stop, hurry = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop, _STOP_SIGNALS, hurry)
    async with app:
        backend = (await app.client()).backend
        workforce = await app.workforce(config, TaskMetrics(), EventMetrics())
        print(_greeting(app, workforce, config), file=sys.stderr, flush=True)  # noqa: T201  a program's own words
        settle()
        async with (
            in_background(follow_file(app.settings, stop), "gbe.configuration"),
            announced(backend.transport, backend.names.namespace, "worker", _work_of(app, workforce)),
        ):
            await workforce.run(stop, hurry)


def _work_of(app: App, workforce: Workforce) -> dict[str, object]:
    types = [] if workforce.tasks is None else list(workforce.tasks.types)
    return {"types": types, "handlers": [f"{one.pattern} ({one.group})" for one in app.handlers]}


def _greeting(app: App, workforce: Workforce, config: WorkerConfig) -> str:
    lines = [f"gbe {gbe.__version__} worker" + (f" {workforce.tasks.name}" if workforce.tasks is not None else "")]
    if workforce.tasks is not None:
        lines += [f"  types        {', '.join(workforce.tasks.types)}", f"  concurrency  {config.concurrency}"]
    if app.handlers:
        lines.append(f"  handlers     {', '.join(f'{one.pattern} ({one.group})' for one in app.handlers)}")
    return "\n".join([*lines, "  stop         Ctrl-C; once more: at once"])


def supervise(arguments: list[str], processes: int, grace: float, metrics_at: str | None = None) -> int:
    """Run several workers, each a process of its own; one that dies is started again. Returns the exit code.

    Args:
        arguments: of each ``gbe worker``.
        processes: how many.
        grace: seconds that they have to stop.
        metrics_at: where to answer for all of them, in an environment in which they count together.

    Raises:
        ConfigError: nobody can answer there.
    """
    if metrics_at is not None:
        _serve_metrics(metrics_at)
    command = [sys.executable, "-m", "gbe.cli.main", "worker", *arguments]
    children = [subprocess.Popen(command) for _ in range(processes)]  # noqa: S603  our own program
    stopping = False

    def stop(number: int, _frame: object) -> None:
        nonlocal stopping
        if stopping and number == signal.SIGTERM:  # once more; a second Ctrl-C reaches them without us
            for child in children:
                child.send_signal(number)
        stopping = True

    def reload() -> None:
        for child in children:
            child.send_signal(signal.SIGHUP)

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)
    hang_up = on_hangup(reload, lambda: stop(signal.SIGHUP, None))
    signal.signal(signal.SIGHUP, lambda _number, _frame: hang_up())
    started = time.monotonic()
    while not stopping:
        time.sleep(_POLL)
        for index in range(processes):
            code = children[index].poll()
            if code is None or stopping:
                continue
            if time.monotonic() - started < 2 * _RESTART_PAUSE and code == 1:
                stopping = True  # it cannot start at all, and has said why
                break
            children[index] = _replaced(children[index], code, command)
    return 0 if all(code in (0, -signal.SIGTERM) for code in _ended(children, grace + 15.0)) else 1


def _replaced(child: "subprocess.Popen[bytes]", code: int, command: list[str]) -> "subprocess.Popen[bytes]":
    """Another process in place of one that has ended."""
    logger.warning("worker process ended, starting another", extra={"pid": child.pid, "code": code})
    worker_ended(child.pid)
    time.sleep(_RESTART_PAUSE)
    return subprocess.Popen(command)  # noqa: S603


def _ended(children: "list[subprocess.Popen[bytes]]", seconds: float) -> list[int]:
    """Stop them all, the late ones by force; their exit codes."""
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + seconds
    codes: list[int] = []
    for child in children:
        try:
            codes.append(child.wait(max(0.1, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            child.kill()
            codes.append(child.wait())
    return codes
