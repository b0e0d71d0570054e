"""Polling a topic: what a million stored messages cost, in the topic itself or in others, against ten."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.bench_topics import repeated
from benchmarks.client import Client
from benchmarks.harness import Options, Row, Sample, alternate, say
from benchmarks.notifications import fill, open_transport
from benchmarks.servers import Server, gbe_server

NAME: Final = "poll"
TOPIC: Final = "polled"
RECENT: Final = 10
OTHER_TOPICS: Final = 1000
_TOLERANCE_S: Final = 6.0  # the server looks a little further back than a time says: the bulk must be older than that


class _Line(msgspec.Struct):
    id: str
    time: int


class _Store:
    """A server with its messages, and the polls to be measured there."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.polls: dict[str, str] = {}

    async def prepare(self, topics: list[str], messages: int) -> None:
        """Store the bulk, then ten messages in the topic; note their ids."""
        if messages:
            async with await open_transport(self.server.data_dir) as transport:
                await fill(transport, topics, messages, time.time_ns() // 1_000_000)
            await asyncio.sleep(_TOLERANCE_S)
        async with Client(self.server.port) as client:
            answers = [await client.request("POST", f"/{TOPIC}", b"m" * 128) for _ in range(RECENT)]
        lines = [msgspec.json.decode(answer, type=_Line) for answer in answers]
        self.polls = {
            "since=ID of the last: 0 messages": lines[-1].id,
            "since=ID near the end: 5 messages": lines[-6].id,
            "since=TIME: 10 messages": str(lines[0].time),
        }

    async def measure(self, case: str, repeat: int) -> Sample:
        """Median latency of one poll, each on the same connection."""
        path = f"/{TOPIC}/json?poll=1&since={self.polls[case]}"
        expected = int(case.rpartition(": ")[2].split()[0])
        async with Client(self.server.port) as client:
            found = (await client.request("GET", path)).count(b"\n")
            assert found == expected, f"{case}: {found} messages"
            return await repeated(repeat, lambda: client.request("GET", path))


async def run(options: Options) -> list[Row]:
    """Three servers: ten messages; a million in the topic; a million in a thousand other topics."""
    many = options.count(1_000_000, 50_000)
    repeat = options.count(200, 30)
    rows: list[Row] = []
    async with contextlib.AsyncExitStack() as stack:

        async def store(name: str, topics: list[str], messages: int) -> _Store:
            directory: Path = options.directory / f"poll-{name}"
            server = await stack.enter_async_context(gbe_server(directory, durability="interval"))
            made = _Store(server)
            say(f"poll: storing {messages + RECENT:,} messages ({name})")
            await made.prepare(topics, messages)
            return made

        ten = await store("ten", [], 0)
        full = {
            f"{many:,} messages in the topic": await store("same", [TOPIC], many),
            f"{many:,} messages in {OTHER_TOPICS:,} others": await store(
                "others", [f"other{number}" for number in range(OTHER_TOPICS)], many
            ),
        }
        for case in ten.polls:
            for name, big in full.items():
                say(f"poll: {case}, {name}")

                async def on_big(big: _Store = big, case: str = case) -> Sample:
                    return await big.measure(case, repeat)

                async def on_ten(case: str = case) -> Sample:
                    return await ten.measure(case, repeat)

                mine, theirs = await alternate(options.runs, on_big, on_ten)
                rows.append(
                    Row(
                        benchmark=NAME,
                        case=f"{case}; {name}",
                        unit="ms",
                        ours=mine,
                        reference=theirs,
                        reference_name=f"with {RECENT} messages",
                        more_is_better=False,
                        target="the same",
                    )
                )
    return rows
