"""Fan-outs: one task for each item of a list, their states in records of some hundred items each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from gbe.errors import StateUnavailableError
from gbe.graph.names import CHUNK
from gbe.graph.record import Chunk, ChunkCode, JobRecord
from gbe.jobs.store import JobStore

_TRIES: Final = 50
_AT_ONCE: Final = 64

S = TypeVar("S")
T = TypeVar("T")

Change = Callable[[Chunk], None]
Ended = Callable[[int, int], Awaitable[str | None]]
"""How the task of an item in a run has ended, as a code; ``None`` if it has not."""


async def each(call: Callable[[S], Awaitable[T]], values: Iterable[S]) -> list[T]:
    """What a call gives for each value, some of them at a time."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(value: S) -> T:
        async with slots:
            return await call(value)

    return await asyncio.gather(*map(one, values))


class FanOuts:
    """The items of jobs in the state store."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    def begin(self, job: JobRecord, number: int, size: int) -> None:
        """Note that a fan-out starts; a retried one keeps its chunks that are done."""
        known = job.chunks.get(number, "")
        count = -(-size // CHUNK)
        if len(known) != count or job.sizes.get(number) != size:
            known = ChunkCode.FRESH.value * count
        kept = (ChunkCode.COMPLETED.value, ChunkCode.FRESH.value)
        job.chunks[number] = "".join(code if code in kept else ChunkCode.STARTING.value for code in known)
        job.sizes[number] = size

    def note(self, job: JobRecord, number: int, chunk: int, found: Chunk) -> None:
        """How far a chunk is, in the job's own record."""
        job.set_chunk(number, chunk, found.summary())

    async def opened(self, job: JobRecord, number: int, chunk: int, life: float) -> Chunk:
        """The items of a chunk that starts, made if they are not there; what is to be done in this run is open."""
        is_fresh = job.chunks[number][chunk] == ChunkCode.FRESH.value
        size = self._size(job, number, chunk)

        def again(found: Chunk) -> None:
            if is_fresh and len(found.codes) != size:
                found.codes, found.runs = "s" * size, bytes([job.run]) * size
            for item, code in enumerate(found.codes):
                if (is_fresh or code in "fx") and found.runs[item] < job.run:
                    _set(found, item, "s", job.run)

        return await self._change(job, number, chunk, life, again)

    async def started(self, job: JobRecord, number: int, chunk: int, life: float) -> Chunk:
        """All items of a chunk are submitted."""

        def run(found: Chunk) -> None:
            found.codes = found.codes.replace("s", "r")

        return await self._change(job, number, chunk, life, run)

    async def ended(
        self, job: JobRecord, number: int, chunk: int, life: float, codes: dict[int, tuple[str, int]]
    ) -> Chunk:
        """Some items have ended: by place in the chunk a code and the run that ended so."""

        def end(found: Chunk) -> None:
            for item, (code, run) in codes.items():
                if item < len(found.codes) and found.codes[item] in "sr" and found.runs[item] == run:
                    _set(found, item, code, run)

        return await self._change(job, number, chunk, life, end)

    async def look(self, job: JobRecord, number: int, chunk: int, life: float, ended: Ended) -> Chunk:
        """Ask of every open item of a chunk whether it has ended."""
        found = await self.opened(job, number, chunk, life)

        async def one(item: int) -> tuple[int, str | None]:
            return item, await ended(chunk * CHUNK + item, found.runs[item])

        answers = await each(one, (item for item, code in enumerate(found.codes) if code in "sr"))
        codes = {item: (code, found.runs[item]) for item, code in answers if code is not None}
        return await self.ended(job, number, chunk, life, codes) if codes else found

    async def completed(self, job: JobRecord, number: int) -> dict[int, int]:
        """The items that are done, with the run in which they were."""
        done: dict[int, int] = {}
        for chunk in range(len(job.chunks.get(number, ""))):
            found = await self._store.chunk(job.job_id, number, chunk)
            if found is not None:
                done |= {chunk * CHUNK + item: found.runs[item] for item, code in enumerate(found.codes) if code == "c"}
        return done

    def _size(self, job: JobRecord, number: int, chunk: int) -> int:
        return min(CHUNK, job.sizes[number] - chunk * CHUNK)

    async def _change(self, job: JobRecord, number: int, chunk: int, life: float, change: Change) -> Chunk:
        for _ in range(_TRIES):
            found = await self._store.chunk(job.job_id, number, chunk)
            if found is None:
                size = self._size(job, number, chunk)
                found = Chunk(0, "s" * size, bytes([job.run]) * size)
            before = (found.rev, found.codes, found.runs)
            change(found)
            if found.rev and before == (found.rev, found.codes, found.runs):
                return found
            if await self._store.update_chunk(job.job_id, number, chunk, found, life):
                found.rev += 1
                return found
        raise StateUnavailableError(f"the items of job {job.job_id} change too fast; looked at again later")


def _set(found: Chunk, item: int, code: str, run: int) -> None:
    found.codes = f"{found.codes[:item]}{code}{found.codes[item + 1 :]}"
    found.runs = found.runs[:item] + bytes([run]) + found.runs[item + 1 :]
