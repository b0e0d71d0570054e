"""The soak: half the maximum rate for a long time, with subscribers coming and going.

``python -m chaos.soak [--minutes 10] [--rate N] [--output DIR]`` starts ``gbe serve``, measures how fast it can
publish, then publishes at half of that to many topics. Some subscribers stay for the whole run, hundreds come and go
and ask for what they missed. It fails (exit 1) if

- a subscriber that stayed misses a message, gets one twice, or is hung up on; or one that came back does,
- memory of the server, or its open descriptors, grow from the second to the last fifth of the run,
- descriptors are left over when everybody is gone.

A publish without confirmation may be missing or not; a confirmed one may never be.
"""

import argparse
import asyncio
import contextlib
import csv
import math
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from benchmarks import plot
from benchmarks.bench_http import publish_load
from benchmarks.harness import console, say
from benchmarks.servers import Server, Usage, gbe_server

_ROOT: Final = Path(__file__).parent.parent
_SAMPLE_INTERVAL: Final = 2.0
_DRAIN: Final = 5.0
_LINGER: Final = 8.0  # the server follows a topic for some seconds after its last subscriber left
_GROWTH: Final = 0.10
_ENGINE_GROWTH: Final = 64.0  # MiB: its runtime collects garbage when memory has doubled, so it saws
_MEGABYTE: Final = 2**20


class Progress(msgspec.Struct):
    """What the subscribers say every second, and (with the lists) at the end."""

    connected: int
    received: int
    connects: int


class Findings(msgspec.Struct):
    """What the subscribers say at the end."""

    received: int
    connects: int
    refused: dict[str, int]
    missing: list[tuple[str, int, bool]]
    repeated: list[tuple[str, int, bool]]
    stayers_dropped: int
    stayers_at: list[tuple[str, int]]


class Published(msgspec.Struct):
    """What the publisher says at the end."""

    confirmed: int
    rate: float
    p50: float
    p99: float
    worst: float
    counts: dict[str, int]
    unknown: list[tuple[str, int]]
    failures: dict[str, int]


@dataclass(frozen=True, slots=True)
class Point:
    """The server at one moment, seconds since the start of the load."""

    seconds: float
    usage: Usage
    connected: int


@dataclass
class Verdict:
    """Lines for people, and what was violated."""

    lines: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def check(self, ok: bool, text: str) -> None:
        """Add a line; a violation if not ``ok``."""
        self.lines.append(f"{'ok  ' if ok else 'FAIL'}  {text}")
        if not ok:
            self.violations.append(text)


class Companion:
    """One of our own processes beside the server: it ends when its input does."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self.output = process.stdin, process.stdout

    @classmethod
    async def start(cls, module: str, *arguments: object) -> "Companion":
        """Start ``python -m module arguments``."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *map(str, arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=_ROOT, limit=2**28,
        )  # fmt: skip
        return cls(process)

    def finish(self) -> None:
        """Ask it to end."""
        self._input.close()

    async def kill(self) -> None:
        """Make sure that it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


async def soak(arguments: argparse.Namespace, directory: Path) -> Verdict:
    """The whole run."""
    extra = "http:\n  publish_timeout: 10\n"
    async with gbe_server(directory, durability=arguments.durability, workers=arguments.workers, extra=extra) as server:
        rate = arguments.rate or await _half_of_the_maximum(server)
        await asyncio.sleep(_LINGER)
        before = server.usage()
        points, findings, published = await _load(arguments, server, rate)
        await asyncio.sleep(_LINGER)
        after = server.usage()
        verdict = _judge(findings, published, points, before, after, rate)
    _write_csv(arguments.output / "soak.csv", points)
    _draw(arguments.output / "bench-soak.svg", points, published, arguments)
    return verdict


async def _half_of_the_maximum(server: Server) -> float:
    say("soak: measuring the maximum rate")
    samples = [await publish_load(server, "/warmup{n}", 4.0, 64) for _ in range(3)]
    most = statistics.median(sample.value for sample in samples)
    say(f"soak: the maximum is {most:,.0f} messages/s; half of it from now on")
    return most / 2


async def _load(arguments: argparse.Namespace, server: Server, rate: float) -> tuple[list[Point], Findings, Published]:
    async with contextlib.AsyncExitStack() as stack:
        subscribers = await Companion.start(
            "chaos.subscribers", server.port, "--topics", arguments.topics, "--staying", arguments.staying,
            "--going", arguments.going,
        )  # fmt: skip
        stack.push_async_callback(subscribers.kill)
        async with asyncio.timeout(60):
            assert await subscribers.output.readline() == b"ready\n"
        publisher = await Companion.start("chaos.publisher", server.port, "--topics", arguments.topics, "--rate", rate)
        stack.push_async_callback(publisher.kill)
        points = await _sample(arguments.minutes * 60, server, subscribers)
        publisher.finish()
        async with asyncio.timeout(60):
            published = msgspec.json.decode(await publisher.output.readline(), type=Published)
        await asyncio.sleep(_DRAIN)
        subscribers.finish()
        async with asyncio.timeout(60):
            while b'"stayers_at"' not in (line := await subscribers.output.readline()):
                assert line, "the subscribers died"
        return points, msgspec.json.decode(line, type=Findings), published


async def _sample(seconds: float, server: Server, subscribers: Companion) -> list[Point]:
    points: list[Point] = []
    progress = Progress(0, 0, 0)
    started = time.monotonic()
    due = started

    async def follow() -> None:
        nonlocal progress
        while line := await subscribers.output.readline():
            progress = msgspec.json.decode(line, type=Progress)

    following = asyncio.create_task(follow())
    said = started
    while (now := time.monotonic()) - started < seconds:
        points.append(Point(now - started, server.usage(), progress.connected))
        if following.done() or not server.is_running:
            break
        if now - said >= 30:
            said = now
            usage = points[-1].usage
            say(
                f"soak: {now - started:4.0f} s, {progress.received:,} received, {progress.connected} connected, "
                f"{progress.connects:,} connects, server {usage.server_rss / _MEGABYTE:.0f} MiB and "
                f"{usage.server_fds} descriptors, engine {usage.engine_rss / _MEGABYTE:.0f} MiB"
            )
        due += _SAMPLE_INTERVAL
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following
    assert server.is_running, f"the server died:\n{server.tail()}"
    return points


def _judge(
    findings: Findings, published: Published, points: Sequence[Point], before: Usage, after: Usage, rate: float
) -> Verdict:
    verdict = Verdict()
    unknown = set(published.unknown)
    verdict.lines.append(
        f"      published {published.confirmed:,} at {published.rate:,.0f}/s (wanted {rate:,.0f}/s), latency p50 "
        f"{published.p50 * 1e3:.1f} ms, p99 {published.p99 * 1e3:.1f} ms, worst {published.worst * 1e3:.0f} ms"
    )
    verdict.lines.append(
        f"      received {findings.received:,} on {findings.connects:,} connections; "
        f"refused: {findings.refused or 'none'}"
    )
    verdict.check(not published.failures, f"every publish confirmed; failures: {published.failures or 'none'}")
    for who, stayed in (("that stayed", True), ("that came back", False)):
        missing = [(t, n) for t, n, by in findings.missing if by is stayed and (t, n) not in unknown]
        repeated = [(t, n) for t, n, by in findings.repeated if by is stayed]
        verdict.check(not missing, f"messages missed by subscribers {who}: {len(missing)} {missing[:5] or ''}")
        verdict.check(not repeated, f"messages twice for subscribers {who}: {len(repeated)} {repeated[:5] or ''}")
    behind = [
        (topic, at, published.counts[topic] - 1)
        for topic, at in findings.stayers_at
        if not _is_complete(topic, at, published.counts.get(topic, 0), unknown)
    ]
    verdict.check(not behind, f"subscribers that stayed and lack the end: {len(behind)} {behind[:5] or ''}")
    verdict.check(
        findings.stayers_dropped == 0, f"streams of subscribers that stayed broken: {findings.stayers_dropped}"
    )
    for name, values, slack, unit in (
        ("server memory", [p.usage.server_rss / _MEGABYTE for p in points], 0.0, " MiB"),
        ("engine memory", [p.usage.engine_rss / _MEGABYTE for p in points], _ENGINE_GROWTH, " MiB"),
        ("open descriptors", [float(p.usage.server_fds) for p in points], 0.0, ""),
    ):
        early, late = fifth(values, 1), fifth(values, 4)
        verdict.check(
            late - early <= max(slack, early * _GROWTH),
            f"{name}: {early:.1f}{unit} in the second fifth, {late:.1f}{unit} in the last ({late / early - 1:+.1%})",
        )
    left = after.server_fds - before.server_fds
    verdict.check(left <= 3, f"descriptors before {before.server_fds}, after everybody left {after.server_fds}")
    verdict.lines.append(
        f"      server memory before the load {before.server_rss / _MEGABYTE:.1f} MiB, after it "
        f"{after.server_rss / _MEGABYTE:.1f} MiB"
    )
    return verdict


def _is_complete(topic: str, at: int, count: int, unknown: set[tuple[str, int]]) -> bool:
    return all((topic, number) in unknown for number in range(at + 1, count))


def fifth(values: Sequence[float], number: int) -> float:
    """The median of one fifth of a series, 0 to 4."""
    size = len(values) / 5
    part = values[math.floor(number * size) : max(math.floor((number + 1) * size), math.floor(number * size) + 1)]
    return statistics.median(part)


def _write_csv(path: Path, points: Sequence[Point]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seconds", "connected", "server_rss", "server_fds", "server_cpu", "engine_rss", "engine_cpu"])
        for point in points:
            usage = point.usage
            writer.writerow(
                [
                    f"{point.seconds:.1f}", point.connected, usage.server_rss, usage.server_fds,
                    f"{usage.server_cpu:.2f}", usage.engine_rss, f"{usage.engine_cpu:.2f}",
                ]
            )  # fmt: skip


def _draw(path: Path, points: Sequence[Point], published: Published, arguments: argparse.Namespace) -> None:
    subtitle = (
        f"{published.rate:,.0f} messages/s to {arguments.topics} topics, {arguments.staying} subscribers stay, "
        f"{arguments.going} come and go"
    )
    plot.curves(
        path,
        f"Soak, {arguments.minutes:g} minutes",
        subtitle,
        [
            plot.Panel("server memory, MiB", [(p.seconds, p.usage.server_rss / _MEGABYTE) for p in points]),
            plot.Panel(
                "engine memory, MiB", [(p.seconds, p.usage.engine_rss / _MEGABYTE) for p in points], plot.THEIRS
            ),
            plot.Panel("open descriptors", [(p.seconds, float(p.usage.server_fds)) for p in points], plot.BETTER),
            plot.Panel("connected subscribers", [(p.seconds, float(p.connected)) for p in points], plot.WORSE),
        ],
    )


def main() -> int:
    """Run it; non-zero on a violation."""
    parser = argparse.ArgumentParser(prog="python -m chaos.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, help="messages per second; half of the measured maximum if not given")
    parser.add_argument("--topics", type=int, default=500)
    parser.add_argument("--staying", type=int, default=50, help="subscribers for the whole run")
    parser.add_argument("--going", type=int, default=500, help="subscribers that come and go")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--durability", choices=("fsync", "interval"), default="fsync")
    parser.add_argument("--output", type=Path, default=Path("soak"), help="where soak.csv and bench-soak.svg go")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    directory = Path(tempfile.mkdtemp(prefix="gbe-soak-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            verdict = runner.run(soak(arguments, directory))
        log = (directory / "server.log").read_text(errors="replace")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    console.print("\n".join(verdict.lines), highlight=False, markup=False)
    warnings = [line for line in log.splitlines() if "warning" in line or "error" in line]
    console.print(
        f"      {len(warnings)} warnings and errors in the server's log", *warnings[:5], sep="\n      ", markup=False
    )
    console.print("soak failed" if verdict.violations else "soak passed")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
