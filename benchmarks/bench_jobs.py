"""Jobs: a chain of tasks and a fan-out with its fan-in, by size; beside as many plain tasks on the same engine.

A chain is compared with plain tasks that are submitted one after the other, each when the result of the one before is
there; a fan-out with plain tasks of which 256 are in flight, until every result is there. One orchestrator and one
worker, each a process of its own; the tasks do nothing. The rate of a job goes by its record: from start to end.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.harness import Options, Row, Sample, alternate, say
from gbe.app import App
from gbe.config import load

_ROOT: Final = Path(__file__).parent.parent
_CHAINS: Final = (100, 300, 1000, 2000)
_FAN_OUTS: Final = (100, 300, 1000, 3000, 10_000)
_IN_FLIGHT: Final = 256
_NAMESPACE: Final = "bench"


@dataclass(frozen=True, slots=True)
class _Scene:
    app: App
    orchestrator: psutil.Process
    worker: psutil.Process

    async def chain(self, size: int) -> Sample:
        """Each task is given the result of the one before."""
        tasks: dict[str, Any] = {"t0": {"task": "noop", "params": {"number": 0}}}
        for number in range(1, size):
            tasks[f"t{number}"] = {"task": "noop", "input_from": {"number": f"t{number - 1}"}}
        return await self._job(tasks, size)

    async def fan_out(self, size: int) -> Sample:
        """So many items, and a fan-in that is given all results."""
        return await self._job(
            {
                "numbers": {"params": {"count": size}},
                "items": {"task": "noop", "for_each": "numbers", "input_from": {"number": "item"}},
                "gather": {"input_from": {"found": "items"}},
            },
            size,
        )

    async def _job(self, tasks: dict[str, Any], size: int) -> Sample:
        before = _cpu(self.orchestrator)
        self.app.job("bench", tasks)
        job = await self.app.start_job("bench")
        done = await (await self.app.jobs()).wait(job.job_id, 600)
        if done.state.value != "completed" or done.finished_at is None:
            raise RuntimeError(f"the job has not completed: {done.error}")
        seconds = (done.finished_at - done.created_at) / 1000
        return Sample(size / seconds, {"orchestrator µs": (_cpu(self.orchestrator) - before) / size * 1e6})

    async def one_by_one(self, size: int) -> Sample:
        """Plain tasks, each when the one before has ended."""
        started = time.perf_counter()
        for number in range(size):
            await (await self.app.submit("noop", number=number)).result(timeout=30)
        return Sample(size / (time.perf_counter() - started))

    async def at_once(self, size: int) -> Sample:
        """Plain tasks, many at a time."""
        slots = asyncio.Semaphore(_IN_FLIGHT)

        async def one(number: int) -> None:
            async with slots:
                await (await self.app.submit("noop", number=number)).result(timeout=60)

        started = time.perf_counter()
        await asyncio.gather(*map(one, range(size)))
        return Sample(size / (time.perf_counter() - started))


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def run(options: Options) -> list[Row]:
    """Both shapes in all sizes on both engines."""
    rows: list[Row] = []
    for engine in ("redis", "nats"):
        async with _scene(engine, options.directory / engine) as scene:
            shapes: tuple[tuple[str, tuple[int, ...], Callable[[int], Any], Callable[[int], Any]], ...] = (
                ("chain", _CHAINS, scene.chain, scene.one_by_one),
                ("fan-out", _FAN_OUTS, scene.fan_out, scene.at_once),
            )
            for shape, sizes, ours, plain in shapes:
                await ours(30)
                for size in sizes[:2] if options.quick else sizes:
                    say(f"{shape} of {size:,} on {engine}")
                    rows.append(await _measure(f"{shape} of {size:,} on {engine}", options, size, ours, plain))
    return rows


async def _measure(
    case: str, options: Options, size: int, ours: Callable[[int], Any], plain: Callable[[int], Any]
) -> Row:
    jobs, tasks = await alternate(options.runs, lambda: ours(size), lambda: plain(size), warm_up=False)
    return Row(benchmark="jobs", case=case, unit="tasks/s", ours=jobs, reference=tasks, reference_name="plain tasks")


@contextlib.asynccontextmanager
async def _scene(kind: str, folder: Path) -> AsyncIterator[_Scene]:
    folder.mkdir(parents=True)
    sys.path.insert(0, str(_ROOT))
    from tests.engines import NatsProcess
    from tests.redis_engines import RedisProcess
    from tests.tasks.processes import GbeProcess

    engine: Any = (
        RedisProcess(folder / "redis") if kind == "redis" else NatsProcess(folder / "nats", sync_interval="1s")
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine)

        def start(*words: str) -> psutil.Process:
            process = GbeProcess(list(words), engine.url, _NAMESPACE, folder / "log", quick=False)
            return psutil.Process(stack.enter_context(process).pid)

        orchestrator = start("orchestrator")
        worker = start("worker", "benchmarks.jobs_program:app", "--concurrency", str(_IN_FLIGHT))
        flags = {"transport": engine.url, "namespace": _NAMESPACE, "state.bucket": _NAMESPACE, "data_dir": str(folder)}
        async with App(settings=load(None, environment={}, flags=flags)) as app:
            from benchmarks.jobs_program import app as program

            app.functions.update(program.functions)
            yield _Scene(app, orchestrator, worker)
