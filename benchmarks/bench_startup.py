"""Start-up: from exec of ``gbe serve`` to the first 200 on ``/v1/health``."""

import time
from dataclasses import replace
from typing import Final

from benchmarks.harness import Options, Row, Sample, say
from benchmarks.notifications import fill, open_transport
from benchmarks.servers import gbe_server, start_gbe

NAME: Final = "startup"
MOST_SECONDS: Final = 1.5
LEAST_RUNS: Final = 5


async def run(options: Options) -> list[Row]:
    """With an empty data directory, and with one that has seen use."""
    runs = max(LEAST_RUNS, options.runs)
    messages = options.count(100_000, 5_000)
    used = options.directory / "startup-used"
    async with gbe_server(used, durability="fsync") as server, await open_transport(server.data_dir) as transport:
        say(f"startup: storing {messages:,} messages")
        await fill(transport, [f"t{number}" for number in range(100)], messages, time.time_ns() // 1_000_000)
    fresh_samples: list[Sample] = []
    used_samples: list[Sample] = []
    say("startup: running")
    for number in range(runs):
        directory = options.directory / f"startup-{number}"
        for target, samples in ((directory, fresh_samples), (used, used_samples)):
            started = time.perf_counter()
            server = await start_gbe(target, durability="fsync")
            try:
                await server.wait_healthy()
                samples.append(Sample(time.perf_counter() - started))
            finally:
                await server.stop()
    rows = [
        Row(
            benchmark=NAME,
            case=case,
            unit="s",
            ours=samples,
            more_is_better=False,
            target=f"< {MOST_SECONDS} s",
        )
        for case, samples in (
            ("exec to first 200, fresh directory", fresh_samples),
            (f"exec to first 200, {messages:,} messages stored", used_samples),
        )
    ]
    return [replace(row, met=row.median < MOST_SECONDS) for row in rows]
