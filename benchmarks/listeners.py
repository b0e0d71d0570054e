"""Many streaming subscribers in one process: ``python -m benchmarks.listeners PORT PATH COUNT``.

It connects COUNT streams, prints ``ready`` when all have been greeted, and then one line for each message that all
of them have received: the moments (CLOCK_MONOTONIC, seconds) of the first and of the last receipt. It ends at the end
of its input.
"""

import argparse
import asyncio
import json
import sys
import time
from typing import Final, cast

import uvloop

HOST: Final = "127.0.0.1"
GREETING: Final = b'"event":"open"'
MESSAGE: Final = b'"event":"message"'
_AT_A_TIME: Final = 100


class Crowd:
    """What all streams have seen together."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.greeted = 0
        self.lost = 0
        self.ready = asyncio.Event()
        self._received = 0
        self._first = 0.0

    def greet(self) -> None:
        """One more stream is open."""
        self.greeted += 1
        if self.greeted == self.count:
            self.ready.set()

    def receive(self, messages: int) -> None:
        """One more stream has the current message."""
        if not self._received:
            self._first = time.monotonic()
        self._received += messages
        if self._received == self.count:
            self._received = 0
            print(json.dumps({"first": self._first, "last": time.monotonic()}), flush=True)


class Listener(asyncio.Protocol):
    """One stream."""

    __slots__ = ("_crowd", "_greeted", "_request", "_rest")

    def __init__(self, crowd: Crowd, request: bytes) -> None:
        self._crowd, self._request = crowd, request
        self._greeted = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count events; one may be cut in two."""
        if self._rest:
            data = self._rest + data
        if not self._greeted:
            at = data.find(GREETING)
            if at < 0:
                self._rest = data
                return
            self._greeted = True
            self._crowd.greet()
        messages = data.count(MESSAGE)
        self._rest = b"" if data.endswith(b"\n") else data[1 - len(MESSAGE) :]
        if messages:
            self._crowd.receive(messages)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Remembered: it must not happen."""
        self._crowd.lost += 1


async def listen(arguments: argparse.Namespace) -> int:
    """Connect, then report until the input ends."""
    loop = asyncio.get_running_loop()
    crowd = Crowd(arguments.count)
    request = f"GET {arguments.path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()
    for start in range(0, arguments.count, _AT_A_TIME):
        number = min(_AT_A_TIME, arguments.count - start)
        await asyncio.gather(
            *(loop.create_connection(lambda: Listener(crowd, request), HOST, arguments.port) for _ in range(number))
        )
    async with asyncio.timeout(60):
        await crowd.ready.wait()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    return 1 if crowd.lost else 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listeners", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("count", type=int)
    return uvloop.run(listen(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
