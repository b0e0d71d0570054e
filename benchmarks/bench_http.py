"""HTTP publish: requests per second, latency and CPU, against an application that only echoes the body."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.servers import Server, ServerError, gbe_server, reference_server
from gbe.transport.embedded import Durability

NAME: Final = "http"
CONNECTIONS: Final = 64


class Result(msgspec.Struct):
    """What the load generator reports; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    first_error: str
    cpu: float


async def run(options: Options) -> list[Row]:
    """One and two workers, both durabilities."""
    rows: list[Row] = []
    durabilities: tuple[Durability, ...] = ("fsync", "interval")
    for workers in (1, 2):
        for durability in durabilities:
            say(f"http: {workers} workers, {durability}")
            rows.append(await _compare(options, workers, durability))
    return rows


async def _compare(options: Options, workers: int, durability: Durability) -> Row:
    directory = options.directory / f"http-{workers}-{durability}"
    seconds = options.pick(5.0, 1.5)
    async with contextlib.AsyncExitStack() as stack:
        gbe = await stack.enter_async_context(gbe_server(directory / "gbe", durability=durability, workers=workers))
        reference = await stack.enter_async_context(reference_server(directory / "reference", workers=workers))

        async def ours() -> Sample:
            return await publish_load(gbe, "/bench{n}", seconds, CONNECTIONS)

        async def theirs() -> Sample:
            return await publish_load(reference, "/echo", seconds, CONNECTIONS)

        mine, others = await alternate(options.runs, ours, theirs)
    return Row(
        benchmark=NAME,
        case=f"publish, {workers} worker{'s' if workers > 1 else ''}, {durability}, {CONNECTIONS} connections, 256 B",
        unit="requests/s",
        ours=mine,
        reference=others,
        reference_name="uvicorn echo",
    )


async def publish_load(
    server: Server, path: str, seconds: float, connections: int, *, body: Path | None = None
) -> Sample:
    """Load one server; only the time after the warm-up counts, for the servers' CPU too.

    Args:
        body: a file with the JSON to send; without it, some text.
    """
    more = [] if body is None else ["--json", str(body)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", str(server.port), path, "--seconds", str(seconds),
        "--connections", str(connections), *more,
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(seconds + 30):
        await process.stdout.readline()
        before = server.usage()
        line = await process.stdout.readline()
        after = server.usage()
        await process.wait()
    result = msgspec.json.decode(line, type=Result)
    if result.errors or not result.requests:
        raise ServerError(f"{result.errors} failed, the first: {result.first_error}\n{server.tail()}")
    per_request = 1e6 / result.requests
    return Sample(
        result.requests / result.seconds,
        {
            "p50 ms": result.p50 * 1e3,
            "p99 ms": result.p99 * 1e3,
            "server µs": (after.server_cpu - before.server_cpu) * per_request,
            "engine µs": (after.engine_cpu - before.engine_cpu) * per_request,
            "load µs": result.cpu * per_request,
        },
    )
