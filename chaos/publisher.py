"""Publishes at a steady rate and remembers what was confirmed: ``python -m chaos.publisher PORT …``.

Each connection owns some topics and has one request under way, so the messages of a topic are numbered 0, 1, 2, … in
the order in which they were stored. It ends at the end of its input, with one line of JSON.
"""

import argparse
import array
import asyncio
import json
import sys
import time
from typing import Final, cast

import uvloop

HOST: Final = "127.0.0.1"
FILLING: Final = "m" * 120
_RECONNECT: Final = 0.2


class Ledger:
    """What was published, over all connections."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.unknown: list[tuple[str, int]] = []
        self.failures: dict[str, int] = {}
        self.latencies = array.array("f")
        self.stopping = False

    def next_number(self, topic: str) -> int:
        """The number of the topic's next message."""
        number = self.counts.get(topic, 0)
        self.counts[topic] = number + 1
        return number

    def fail(self, topic: str, number: int, why: str) -> None:
        """A publish without a confirmation: it may have been stored or not."""
        self.unknown.append((topic, number))
        self.failures[why] = self.failures.get(why, 0) + 1


class Publisher(asyncio.Protocol):
    """One connection: publishes to its topics in turn, at fixed intervals, one request at a time."""

    def __init__(self, ledger: Ledger, port: int, topics: list[str], interval: float) -> None:
        self._ledger, self._port, self._topics, self._interval = ledger, port, topics, interval
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._turn = 0
        self._due = self._loop.time()
        self._waiting: tuple[str, int] | None = None
        self._buffer = b""
        self._sent = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        """Connect; again later if that fails."""
        try:
            await self._loop.create_connection(lambda: self, HOST, self._port)
        except OSError:
            self._loop.call_later(_RECONNECT, self._reconnect)

    def _reconnect(self) -> None:
        if not self._ledger.stopping:
            self._task = self._loop.create_task(self.connect())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Go on where the last connection ended."""
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self._due = max(self._due, self._loop.time())
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        """What was under way has an unknown outcome."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        if self._waiting is not None:
            self._ledger.fail(*self._waiting, f"connection lost: {exc}")
            self._waiting = None
        if not self._ledger.stopping:
            self._loop.call_later(_RECONNECT, self._reconnect)

    def _schedule(self) -> None:
        self._due += self._interval
        now = self._loop.time()
        if self._due < now - 1.0:  # far behind: the rate is lower than wanted, which is reported
            self._due = now
        self._timer = self._loop.call_at(self._due, self._publish)

    def _publish(self) -> None:
        if self._transport is None or self._ledger.stopping:
            return
        topic = self._topics[self._turn % len(self._topics)]
        self._turn += 1
        number = self._ledger.next_number(topic)
        body = f"{number} {FILLING}".encode()
        head = f"POST /{topic} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._waiting = (topic, number)
        self._sent = time.perf_counter()
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        """Wait for the whole answer."""
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        start = data.find(b"content-length: ", 0, end) + 16
        if end < 0 or len(data) < end + 4 + int(data[start : data.index(b"\r", start)]):
            self._buffer = data
            return
        self._buffer = b""
        if self._waiting is None:
            return
        status = data[9:12].decode()
        if status == "200":
            self._ledger.latencies.append(time.perf_counter() - self._sent)
        else:
            self._ledger.fail(*self._waiting, f"status {status}")
        self._waiting = None
        self._schedule()

    def close(self) -> None:
        """The end."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._waiting is None


async def publish(arguments: argparse.Namespace) -> dict[str, object]:
    """Publish until the input ends."""
    ledger = Ledger()
    topics = [f"soak{number}" for number in range(arguments.topics)]
    share = arguments.connections
    interval = share / arguments.rate
    publishers = [Publisher(ledger, arguments.port, topics[number::share], interval) for number in range(share)]
    for publisher in publishers:
        await publisher.connect()
        await asyncio.sleep(interval / share)
    started = time.perf_counter()
    await asyncio.to_thread(sys.stdin.read)
    elapsed = time.perf_counter() - started
    ledger.stopping = True
    for _ in range(300):
        if all(publisher.is_idle for publisher in publishers):
            break
        await asyncio.sleep(0.05)
    for publisher in publishers:
        publisher.close()
    await asyncio.sleep(0.1)
    latencies = sorted(ledger.latencies)
    confirmed = len(latencies)
    return {
        "confirmed": confirmed,
        "rate": confirmed / elapsed,
        "p50": latencies[confirmed // 2] if confirmed else 0.0,
        "p99": latencies[confirmed * 99 // 100] if confirmed else 0.0,
        "worst": latencies[-1] if confirmed else 0.0,
        "counts": ledger.counts,
        "unknown": ledger.unknown,
        "failures": ledger.failures,
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m chaos.publisher", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, required=True, help="messages per second, over all topics")
    parser.add_argument("--topics", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    print(json.dumps(uvloop.run(publish(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
