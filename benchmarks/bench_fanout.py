"""Fan-out: one message to many streams, until the last has it; and the memory that an idle stream costs."""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.client import Client
from benchmarks.harness import Options, Row, Sample, say
from benchmarks.servers import Server, gbe_server, reference_server

NAME: Final = "fanout"
MOST_KIB: Final = 12.0
_TEXT: Final = b"m" * 128
_REFERENCE_EVENT: Final = (
    b'{"id":"bRef12345678","time":1700000000,"event":"message","topic":"fan","message":"' + _TEXT + b'"}\n'
)
_SETTLE: Final = 2.0


class Receipt(msgspec.Struct):
    """What the listeners say about a message: moments of CLOCK_MONOTONIC."""

    first: float
    last: float


async def run(options: Options) -> list[Row]:
    """1,000 and 5,000 streams; each run has new servers, because memory counts too."""
    rows: list[Row] = []
    for count in (1000, 5000):
        mine: list[Sample] = []
        theirs: list[Sample] = []
        for number in range(options.runs):
            say(f"fanout: {count} streams, run {number + 1}")
            directory = options.directory / f"fanout-{count}-{number}"
            messages = options.count(15, 5)
            async with gbe_server(directory / "gbe", durability="fsync") as server:
                mine.append(await _fan_out(server, "/fan/json", "/fan", _TEXT, count, messages))
            async with reference_server(directory / "reference") as server:
                theirs.append(await _fan_out(server, "/stream", "/publish", _REFERENCE_EVENT, count, messages))
        rows += _rows(count, mine, theirs)
    return rows


def _rows(count: int, mine: list[Sample], theirs: list[Sample]) -> list[Row]:
    time_row = Row(
        benchmark=NAME,
        case=f"one message to the last of {count:,} streams, fsync",
        unit="ms",
        ours=mine,
        reference=theirs,
        reference_name="bare uvicorn, nothing stored",
        more_is_better=False,
    )
    memory_row = Row(
        benchmark=NAME,
        case=f"memory of an idle stream, {count:,} open",
        unit="KiB",
        ours=[Sample(s.details["KiB/stream"]) for s in mine],
        reference=[Sample(s.details["KiB/stream"]) for s in theirs],
        reference_name="bare uvicorn",
        more_is_better=False,
        target=f"≤ {MOST_KIB:g} KiB",
    )
    return [time_row, replace(memory_row, met=memory_row.median <= MOST_KIB)]


async def _fan_out(
    server: Server, subscribe_path: str, publish_path: str, body: bytes, count: int, messages: int
) -> Sample:
    async with Client(server.port) as publisher:
        async with listeners(server.port, subscribe_path, 10):  # whatever is made once is made now
            for _ in range(20):
                await publisher.request("POST", publish_path, body)
        await asyncio.sleep(_SETTLE)
        before = server.usage()
        async with listeners(server.port, subscribe_path, count) as receipts:
            await asyncio.sleep(_SETTLE)
            idle = server.usage()
            cpu_before = server.usage().server_cpu
            lasts: list[float] = []
            firsts: list[float] = []
            for number in range(messages + 3):
                published = time.monotonic()
                await publisher.request("POST", publish_path, body)
                async with asyncio.timeout(20):
                    receipt = msgspec.json.decode(await receipts.readline(), type=Receipt)
                if number >= 3:
                    firsts.append((receipt.first - published) * 1e3)
                    lasts.append((receipt.last - published) * 1e3)
                await asyncio.sleep(0.1)
            cpu = server.usage().server_cpu - cpu_before
    return Sample(
        statistics.median(lasts),
        {
            "first ms": statistics.median(firsts),
            "worst ms": max(lasts),
            "server µs/stream": cpu / (messages + 3) / count * 1e6,
            "KiB/stream": (idle.server_rss - before.server_rss) / count / 1024,
        },
    )


@contextlib.asynccontextmanager
async def listeners(port: int, path: str, count: int) -> AsyncIterator[asyncio.StreamReader]:
    """``count`` streams in a process of their own; yields what it reports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.listeners", str(port), path, str(count),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            line = await process.stdout.readline()
        assert line == b"ready\n", line
        yield process.stdout
    finally:
        process.stdin.close()
        await process.wait()
