"""What gbe takes of a NATS server's disk and memory, in bytes: `python -m benchmarks.nats_sizes`.

It starts servers of its own in a temporary folder, which sync at intervals as those of a cluster do. The memory is that
of the process and grows in steps: take it for the size of a thing, not for its last digit.
"""

import argparse
import asyncio
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig, Transport
from gbe.transport.embedded import EmbeddedConfig, EmbeddedEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport
from gbe.transport.open import embedded_endpoint

_AT_ONCE: Final = 256
_REST: Final = 5.0


class _State(msgspec.Struct):
    bytes: int


class _Info(msgspec.Struct):
    state: _State


@dataclass(frozen=True, slots=True)
class Growth:
    """What publishing has added, in bytes."""

    memory: int
    disk: int
    group: int


async def publish(transport: Transport, subjects: list[str], payload: bytes) -> None:
    """One message to each of these."""
    for begin in range(0, len(subjects), _AT_ONCE):
        await asyncio.gather(*(transport.publish(one, payload) for one in subjects[begin : begin + _AT_ONCE]))


async def grown(folder: Path, subjects: list[str], payload: bytes, window: float) -> Growth:
    """Publish one message to each of these on a fresh engine, then let a group begin there."""
    async with EmbeddedEngine(folder, EmbeddedConfig(durability="interval")) as engine:
        endpoint = embedded_endpoint(folder)
        process = psutil.Process(engine.pid)
        async with await NatsTransport.open(NatsConfig(**endpoint)) as transport:  # type: ignore[arg-type]
            config = StreamConfig(name="s", subjects=("s.>",), dedup_window=window, max_age=86_400.0)
            await transport.ensure_stream(config)
            memory = [process.memory_info().rss]
            await publish(transport, subjects, payload)
            await asyncio.sleep(_REST)
            memory.append(process.memory_info().rss)
            async with transport.consume("s.>", "group", ConsumeOptions(start=EARLIEST)):
                await asyncio.sleep(1)
                memory.append(process.memory_info().rss)
            reply = await transport._connection.api("STREAM.INFO.s")  # noqa: SLF001  a look behind the scenes
            disk = msgspec.json.decode(reply, type=_Info).state.bytes
            return Growth(memory[1] - memory[0], disk, memory[2] - memory[1])


async def measure(folder: Path, topics: int, messages: int, size: int) -> dict[str, float]:
    """Bytes by what takes them."""
    payload = os.urandom(size // 2).hex().encode()
    short = await grown(folder / "short", ["s.x"] * messages, payload, 1.0)
    long = await grown(folder / "long", ["s.x"] * messages, payload, 3600.0)
    many = await grown(folder / "many", [f"s.{number:06d}" for number in range(topics)], payload, 1.0)
    return {
        f"a message of {size} B, disk": short.disk / messages,
        f"{messages} messages, memory": float(short.memory),
        "a remembered id, memory": (long.memory - short.memory) / messages,
        f"{topics} topics with one message, memory": float(many.memory),
        "a group, memory": float(short.group),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nats_sizes")
    parser.add_argument("--topics", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=256, help="bytes of a payload")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), arguments.topics, arguments.messages, arguments.size))
    for what, size in found.items():
        print(f"{what:46} {size:12,.0f} bytes")


if __name__ == "__main__":
    main()
