"""Where the CPU of a worker goes: ``python -m benchmarks.profile_tasks [--engine redis|nats] [--tasks 20000]``.

Fills a queue with no-op tasks, then works it off in this process while a timer of CPU time (``ITIMER_PROF``) looks, at
every tick of the kernel, which room of gbe runs: that of the innermost frame that is in one. What a room calls in the
standard library or in C counts as its own (the system call that a write to a socket makes too); what the event loop
does in C counts for whom it calls next.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvloop

from benchmarks.harness import say
from benchmarks.task_systems import IN_FLIGHT, Gbe, calm_gc

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.engines import NatsProcess
from tests.redis_engines import RedisProcess

_EVERY: Final = 0.001
_ROOMS: Final = (
    ("/gbe/redis/", "redis: connection, protocol, scripts"),
    ("/site-packages/nats/", "nats-py: connection, protocol"),
    ("/gbe/transport/", "transport: streams, groups, publishing"),
    ("/gbe/state/", "state: records, deadlines"),
    ("/gbe/schemas/", "schemas: signals and outcomes to and from JSON"),
    ("/gbe/envelope.py", "schemas: signals and outcomes to and from JSON"),
    ("/gbe/lifecycle/", "lifecycle: moves, names, types"),
    ("/gbe/tasks/functions.py", "tasks: parameters and results by their annotations"),
    ("/gbe/tasks/", "tasks: worker, runner, attempt, slots"),
    ("/gbe/objects/", "objects: whether a result is large"),
    ("/gbe/", "the rest of gbe: subjects, ids, clock, tracing"),
    ("/benchmarks/", "the function, and the benchmark's count"),
)
_LOOP: Final = "event loop (uvloop, asyncio), system calls"


class Sampler:
    """Counts samples by room while ``running``."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()

    def _look(self, _number: int, frame: FrameType | None) -> None:
        self.samples[_room_of(frame)] += 1

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Sample this process's main thread."""
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _room_of(frame: FrameType | None) -> str:
    while frame is not None:
        path = frame.f_code.co_filename
        if "/profile_tasks.py" not in path:
            for part, room in _ROOMS:
                if part in path:
                    return room
        frame = frame.f_back
    return _LOOP


async def _profile(url: str, tasks: int, sampler: Sampler) -> float:
    """Fill and work off; CPU in µs per task."""
    system = Gbe(url)
    await system.open()
    for start in range(0, tasks, IN_FLIGHT):
        await asyncio.gather(*(system.submit(number) for number in range(start, min(start + IN_FLIGHT, tasks))))
    done, left = asyncio.Event(), tasks

    def on_done() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    calm_gc()
    before = time.process_time()
    with sampler.running():
        working = asyncio.create_task(system.work(on_done))
        await done.wait()
    spent = time.process_time() - before
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await system.close()
    return 1e6 * spent / tasks


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_tasks", description=__doc__)
    parser.add_argument("--engine", choices=("redis", "nats"), default="redis")
    parser.add_argument("--tasks", type=int, default=20_000)
    arguments = parser.parse_args()
    sampler = Sampler()
    with tempfile.TemporaryDirectory(prefix="gbe-profile-") as name:
        folder = Path(name)
        engine: Any = RedisProcess(folder / "e") if arguments.engine == "redis" else NatsProcess(folder / "e")
        with engine, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            cost = runner.run(_profile(engine.url, arguments.tasks, sampler))
    total = sampler.samples.total()
    say(f"{arguments.engine}: {cost:.0f} µs of CPU a task, {total} samples")
    for room, count in sampler.samples.most_common():
        say(f"| {room} | {100 * count / total:.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
