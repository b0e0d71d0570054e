"""Tasks: a no-op task through its whole life, with state and result, one worker process; beside other task systems.

Ours runs on Redis and on NATS. Taskiq (on both), SAQ, docket and streaq run where ``GBE_TASK_PEERS`` names a Python
that has them. Submitter and worker are processes of their own; the engine syncs its log once a
second for all.
"""

import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.harness import Options, Row, Sample, say

PEERS: Final = "GBE_TASK_PEERS"
"""Names the Python of an environment in which the others are installed (docs/benchmarks.md)."""
_HERE: Final = Path(__file__).parent
_AIM: Final = 6_000.0
_AIM_P50: Final = 2.0
_ROOT: Final = _HERE.parent
_PEERS: Final = (
    ("taskiq", "redis"),
    ("taskiq-nats", "nats"),
    ("saq", "redis"),
    ("docket", "redis"),
    ("streaq", "redis"),
)


async def run(options: Options) -> list[Row]:
    """All of them, each on each engine that it knows."""
    tasks, pings = options.count(10_000, 1_000), options.count(500, 100)
    rows: list[Row] = []
    for engine in ("redis", "nats"):
        measured = [await _measure("gbe", engine, tasks, pings, options, number) for number in range(options.runs)]
        rows += _rows(f"gbe on {engine}", measured, aims=True)
    if PEERS in os.environ:
        for system, engine in _PEERS:
            runs = range(options.runs)
            try:
                measured = [await _measure(system, engine, tasks, pings, options, number) for number in runs]
            except (RuntimeError, TimeoutError) as exc:
                say(f"{system} left out: {exc!r}")
                continue
            rows += _rows(f"{system} on {engine}", measured, aims=False)
    return rows


def _rows(name: str, measured: list[dict[str, float]], *, aims: bool) -> list[Row]:
    def samples(key: str) -> list[Sample]:
        return [Sample(one[key], {}) for one in measured]

    def met(key: str, aim: float, *, more: bool) -> bool | None:
        value = statistics.median(one[key] for one in measured)
        return (value >= aim if more else value <= aim) if aims else None

    return [
        Row(
            benchmark="tasks",
            case=f"{name}: whole lives",
            unit="tasks/s",
            ours=[Sample(one["drain"], {"worker µs": one["worker_us"]}) for one in measured],
            target=f"{_AIM:.0f}" if aims else "",
            met=met("drain", _AIM, more=True),
        ),
        Row(benchmark="tasks", case=f"{name}: submit, one at a time", unit="tasks/s", ours=samples("submit_one")),
        Row(benchmark="tasks", case=f"{name}: submit, 256 in flight", unit="tasks/s", ours=samples("submit_many")),
        Row(
            benchmark="tasks",
            case=f"{name}: submit to result at 100/s, p50",
            unit="ms",
            ours=[Sample(one["p50"], {"p99": one["p99"]}) for one in measured],
            more_is_better=False,
            target=f"{_AIM_P50:g}" if aims else "",
            met=met("p50", _AIM_P50, more=False),
        ),
    ]


async def _measure(system: str, engine: str, tasks: int, pings: int, options: Options, number: int) -> dict[str, float]:
    folder = options.directory / f"{system}-{engine}-{number}"
    folder.mkdir(parents=True)
    with _engine(engine, folder) as url:
        async with _worker(system, url, folder, tasks) as (begin, pid):
            submitting = await _submitter(system, url, folder, "fill", tasks)
            before, started = _cpu(pid), time.perf_counter()
            await begin()
            drain = tasks / (time.perf_counter() - started)
            worker_us = (_cpu(pid) - before) / tasks * 1e6
            answers = await _submitter(system, url, folder, "ping", pings)
    return {**submitting, **answers, "drain": drain, "worker_us": worker_us}


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@contextlib.contextmanager
def _engine(kind: str, folder: Path) -> Iterator[str]:
    sys.path.insert(0, str(_ROOT))
    from tests.engines import NatsProcess
    from tests.redis_engines import RedisProcess

    process: Any = (
        RedisProcess(folder / "redis") if kind == "redis" else NatsProcess(folder / "nats", sync_interval="1s")
    )
    with process:
        yield process.url


async def _submitter(system: str, url: str, folder: Path, what: str, count: int) -> dict[str, float]:
    process = await _start("submit", system, url, str(folder), what, str(count))
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{system}: the submitter ended with {process.returncode}")
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


@contextlib.asynccontextmanager
async def _worker(system: str, url: str, folder: Path, count: int) -> AsyncIterator[tuple[Any, int]]:
    """A worker that waits for a word; the call that is yielded says it, and returns when all tasks are done."""
    process = await _start("work", system, url, str(folder), str(count))

    async def begin() -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go\n")
        await process.stdin.drain()
        async with asyncio.timeout(300):
            while (line := await process.stdout.readline()) != b"done\n":
                if not line:
                    raise RuntimeError(f"{system}: the worker ended")

    try:
        assert process.stdout is not None
        while await process.stdout.readline() not in (b"ready\n", b""):
            pass
        yield begin, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _start(role: str, system: str, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable if system == "gbe" else os.environ[PEERS],
        "-m",
        "benchmarks.task_systems",
        role,
        system,
        *words,
        cwd=_ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
