"""A lean HTTP load generator, a process of its own: ``python -m benchmarks.load PORT PATH …``.

Each connection is kept alive and has one request under way at a time. It prints ``start`` when the warm-up is over,
and at the end one line of JSON.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final, cast

import uvloop

HOST: Final = "127.0.0.1"


class Load:
    """The count of all connections."""

    def __init__(self) -> None:
        self.measuring = False
        self.stopped = False
        self.latencies: list[float] = []
        self.errors = 0
        self.first_error = b""


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as the answer is here."""

    def __init__(self, load: Load, request: bytes) -> None:
        self._load, self._request = load, request
        self._buffer = b""
        self._expected = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Wait for the end of the answer, then ask again."""
        if self._buffer:
            data = self._buffer + data
        if not self._expected:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            start = data.index(b"content-length: ", 0, end) + 16
            self._expected = end + 4 + int(data[start : data.index(b"\r", start)])
        if len(data) < self._expected:
            self._buffer = data
            return
        self._buffer, self._expected = b"", 0
        load = self._load
        if data[9:10] != b"2":
            load.errors += 1
            load.first_error = load.first_error or data[:400]
        elif load.measuring:
            load.latencies.append(time.perf_counter() - self._sent)
        if not load.stopped:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody should hang up on us."""
        if not self._load.stopped:
            self._load.errors += 1
            self._load.first_error = self._load.first_error or f"connection lost: {exc}".encode()


def request(path: str, body: bytes, content_type: str | None = None) -> bytes:
    """The bytes of one request, as a lean client writes them."""
    kind = "" if content_type is None else f"content-type: {content_type}\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\n{kind}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def generate(arguments: argparse.Namespace) -> dict[str, float | str]:
    """Run the load."""
    load = Load()
    loop = asyncio.get_running_loop()
    document: Path | None = arguments.json
    body, kind = (b"m" * arguments.body, None) if document is None else (document.read_bytes(), "application/json")
    connections = []
    for number in range(arguments.connections):
        path = arguments.path.replace("{n}", str(number % arguments.paths))
        made = await loop.create_connection(
            lambda path=path: Connection(load, request(path, body, kind)),  # type: ignore[misc]
            HOST,
            arguments.port,
        )
        connections.append(made[0])
    await asyncio.sleep(arguments.warm_up)
    print("start", flush=True)
    load.measuring = True
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.sleep(arguments.seconds)
    load.measuring = False
    elapsed = time.perf_counter() - started
    cpu = time.process_time() - cpu
    load.stopped = True
    await asyncio.sleep(0.2)
    for transport in connections:
        transport.close()
    latencies = sorted(load.latencies)
    count = len(latencies)
    return {
        "requests": count,
        "seconds": elapsed,
        "p50": latencies[count // 2] if count else 0.0,
        "p99": latencies[count * 99 // 100] if count else 0.0,
        "errors": load.errors,
        "first_error": load.first_error.decode("latin-1"),
        "cpu": cpu,
    }


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path", help="{n} in it becomes a number below --paths")
    parser.add_argument("--paths", type=int, default=16)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--body", type=int, default=256, help="bytes of each message")
    parser.add_argument("--json", type=Path, metavar="FILE", help="send this JSON instead")
    result = uvloop.run(generate(parser.parse_args()))
    print(json.dumps(result), flush=True)
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
