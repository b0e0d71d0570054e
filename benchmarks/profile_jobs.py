"""CPU time of the orchestrator alone for each step of a chain, by the chain's length, on the memory store.

``python -m benchmarks.profile_jobs [LENGTH …]``. The tasks are ended by writing their records, and that is not counted.
"""

import asyncio
import sys
import time
from typing import Any, Final

from gbe.config import default_streams
from gbe.graph.definition import parse_definition
from gbe.graph.names import child_id
from gbe.jobs.advance import Advancer, Step
from gbe.jobs.client import JobClient
from gbe.jobs.config import OrchestratorConfig
from gbe.lifecycle import moves
from gbe.lifecycle.names import TaskNames
from gbe.notify.config import NotifyConfig
from gbe.state.base import StateConfig
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.tasks.backend import Backend
from gbe.tasks.registry import TypeRegistry
from gbe.transport.memory import MemoryTransport

_LENGTHS: Final = (100, 300, 1000, 2000)


async def cost(length: int) -> float:
    """Microseconds for each step."""
    state = MemoryStateStore(MemoryRecords(), StateConfig(bucket="profile", max_record_size=512 * 1024))
    backend = Backend(MemoryTransport(), state, TaskNames("profile"))
    for stream in default_streams("profile", NotifyConfig()):
        await backend.transport.ensure_stream(stream)
    types = TypeRegistry(state, backend.names, {"noop": {"command": ["/bin/true"]}}, {})
    tasks: dict[str, Any] = {"t0": {"task": "noop"}}
    tasks |= {f"t{number}": {"task": "noop", "depends_on": f"t{number - 1}"} for number in range(1, length)}
    client = JobClient(backend, types, {"chain": parse_definition("chain", {"tasks": tasks})})
    job = await client.start("chain")
    advancer = Advancer(backend, {}, OrchestratorConfig())
    await advancer.step(job.job_id, look=True)
    spent = 0.0
    for number in range(length):
        task_id = child_id(job.job_id, number, 0, 1)
        await _end(backend, task_id)
        before = time.process_time()
        while await advancer.step(job.job_id, [task_id]) is not Step.DONE:
            pass
        spent += time.process_time() - before
    done = await client.get(job.job_id)
    if not done.state.is_terminal:
        raise RuntimeError(f"the chain has not ended: {done}")
    return spent / length * 1e6


async def _end(backend: Backend, task_id: str) -> None:
    key, now = backend.names.task("noop", task_id), backend.clock.now_ms()
    claim = moves.claim(0, worker=b"profile", now=now, timeout_at=now + 60_000)
    end = moves.complete(1, now=now, result={"result": b"1"}, retention=3600.0)
    for move in (claim, end):
        await backend.state.update_if(key, move.expected, move.changes, ttl=move.ttl)


def main() -> int:
    """See the module's docstring."""
    for length in [int(word) for word in sys.argv[1:]] or _LENGTHS:
        print(f"{length:,} tasks: {asyncio.run(cost(length)):.0f} µs of CPU time a step", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
