"""What gbe takes of a Redis server's memory, in bytes: `python -m benchmarks.redis_memory redis://127.0.0.1:6379`.

The server must be empty, a single one, and nobody else's: what its memory grows by is taken for ours, and what was
stored is deleted in the end.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gbe.redis.client import RedisClient
from gbe.redis.config import RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, StreamConfig
from gbe.transport.redis.transport import RedisTransport

STREAM: Final = StreamConfig(name="memory", subjects=("memory.>",), max_age=86_400.0, dedup_window=2.0)
LONG: Final = StreamConfig(name="memory-ids", subjects=("memory-ids.>",), max_age=86_400.0, dedup_window=3600.0)
_INDEXES: Final = 16  # and some more keys, that are not a topic's
_AT_ONCE: Final = 256
_PATIENCE: Final = 120.0
_STEP: Final = 0.5


class Memory:
    """The server's memory, when it is at rest."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def used(self) -> int:
        """Bytes in use, once they no longer change much: tables grow and shrink in the background."""
        before = -1
        while True:
            await asyncio.sleep(_STEP)
            now = int((await self._info("memory"))["used_memory"])
            if abs(now - before) < 4096:
                return now
            before = now

    async def keys(self) -> int:
        """How many keys there are."""
        return int(await self._client.call_anywhere("DBSIZE"))

    async def expired(self, wanted: int) -> int:
        """``used``, once all but so many keys have expired."""
        async with asyncio.timeout(_PATIENCE):
            while await self.keys() > wanted:  # noqa: ASYNC110  nothing announces that a key has expired
                await asyncio.sleep(_STEP)
        await asyncio.sleep(4 * _STEP)
        return await self.used()

    async def _info(self, section: str) -> dict[str, str]:
        reply: bytes = await self._client.call_anywhere("INFO", section)
        lines = (line.partition(":") for line in reply.decode().splitlines())
        return {key: value for key, colon, value in lines if colon}


async def publish(transport: RedisTransport, subjects: list[str], payload: bytes) -> None:
    """One message to each of these, in this order."""
    for begin in range(0, len(subjects), _AT_ONCE):
        await asyncio.gather(*(transport.publish(one, payload) for one in subjects[begin : begin + _AT_ONCE]))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[RedisTransport, Memory, RedisClient]]:
    """A transport that remembers ids for two seconds only, and a look at the memory."""
    async with AsyncExitStack() as stack:
        config = RedisConfig(url=url, publish_timeout=1.0, request_timeout=60.0)
        client = await RedisClient.open(config)
        stack.push_async_callback(client.close)
        memory = Memory(client)
        if await memory.keys():
            sys.exit("this server is not empty")
        stack.push_async_callback(client.call_anywhere, "FLUSHDB", timeout=_PATIENCE)
        transport = await stack.enter_async_context(await RedisTransport.open(config))
        await transport.ensure_stream(STREAM)
        await transport.ensure_stream(LONG)
        yield transport, memory, client


async def measure(url: str, topics: int, messages: int, size: int) -> dict[str, float]:
    """Bytes by what takes them."""
    payload = os.urandom(size // 2).hex().encode()
    async with opened(url) as (transport, memory, _):
        names = [f"memory.topics.{number:06d}" for number in range(topics)]
        empty = await memory.used()
        await publish(transport, names, payload)
        with_topics = await memory.expired(topics + _INDEXES)

        await publish(transport, ["memory.one"] * messages, payload)
        with_messages = await memory.expired(topics + _INDEXES)
        message = (with_messages - with_topics) / messages

        await publish(transport, ["memory-ids.one"] * messages, payload)
        with_ids = await memory.used()

        options = ConsumeOptions(start=EARLIEST, batch_size=topics, max_inflight=topics, ack_timeout=600.0)
        async with transport.consume("memory.topics.*", "group", options) as deliveries:
            held = 0
            async for _ in deliveries:
                held += 1
                if held == topics:
                    break
            with_group = await memory.used()
        left = await memory.used()
    return {
        "a topic with one message": (with_topics - empty) / topics,
        f"one more message of {size} B": message,
        "a remembered id": (with_ids - with_messages) / messages - message,
        "a group on a topic, one message unanswered": (left - with_ids) / topics,
        "a process that follows a topic": (with_group - left) / topics,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_memory")
    parser.add_argument("url", help="an empty Redis server")
    parser.add_argument("--topics", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=256, help="bytes of a payload")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.url, arguments.topics, arguments.messages, arguments.size))
    for what, size in found.items():
        print(f"{what:46} {size:8.0f} bytes")


if __name__ == "__main__":
    main()
