"""Subscribers that stay and some that come and go, checking what they get: ``python -m chaos.subscribers PORT …``.

Messages are numbered per topic, so each subscriber sees at once what is missing and what comes twice. One that comes
back asks for everything ``since`` the last message it has. A line of JSON is printed every second, and a last one,
with all findings, after the end of the input.
"""

import argparse
import asyncio
import json
import random
import sys
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import msgspec
import uvloop

HOST: Final = "127.0.0.1"
_MOST_FINDINGS: Final = 10_000


class _Event(msgspec.Struct):
    event: str
    id: str = ""
    message: str = ""


_decoder: Final = msgspec.json.Decoder(_Event)


@dataclass
class Report:
    """What was seen."""

    connected: int = 0
    received: int = 0
    connects: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    missing: list[tuple[str, int, bool]] = field(default_factory=list)  # topic, number, whether by one that stayed
    repeated: list[tuple[str, int, bool]] = field(default_factory=list)
    stayers_dropped: int = 0
    stayers_at: list[tuple[str, int]] = field(default_factory=list)


class Subscriber(asyncio.Protocol):
    """One subscriber over all its connections."""

    def __init__(self, report: Report, port: int, topic: str, *, stays: bool) -> None:
        self.report, self.port, self.topic, self.stays = report, port, topic, stays
        self.last_number: int | None = None
        self.last_id = ""
        self.opened = asyncio.Event()
        self.leaving = False
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._checked = False

    async def connect(self) -> None:
        """Subscribe, from the last message on."""
        self.leaving = False
        self._buffer, self._checked = b"", False
        self.opened.clear()
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self.port)
        self.report.connects += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.report.connected += 1
        since = f"?since={self.last_id}" if self.last_id else ""
        self.transport.write(f"GET /{self.topic}/json{since} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """A subscriber that stays must never see this."""
        self.report.connected -= 1
        self.transport = None
        if self.stays and not self.leaving:
            self.report.stayers_dropped += 1

    def data_received(self, data: bytes) -> None:
        """Take whole lines."""
        if self.leaving:
            return
        if not self._checked:
            self._checked = True
            if data[9:12] != b"200":
                status = data[9:12].decode("latin-1")
                self.report.refused[status] = self.report.refused.get(status, 0) + 1
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._take(line)

    def _take(self, line: bytes) -> None:
        event = _decoder.decode(line)
        if event.event == "open":
            self.opened.set()
        if event.event != "message":
            return
        report = self.report
        report.received += 1
        number = int(event.message.partition(" ")[0])
        expected = number if self.last_number is None else self.last_number + 1
        if number < expected:
            if len(report.repeated) < _MOST_FINDINGS:
                report.repeated.append((self.topic, number, self.stays))
            return
        if number > expected and len(report.missing) < _MOST_FINDINGS:
            report.missing.extend((self.topic, n, self.stays) for n in range(expected, number))
        self.last_number, self.last_id = number, event.id

    def leave(self) -> None:
        """Hang up, properly or not."""
        self.leaving = True
        if self.transport is not None:
            if random.random() < 0.5:
                self.transport.abort()
            else:
                self.transport.close()


async def come_and_go(subscriber: Subscriber, online: float, offline: float) -> None:
    """Connect, stay a while, leave, come back; never ends."""
    # as if it had been doing so for long: so many are here from the start as will be on average
    away = random.random() < offline / (online + offline)
    await asyncio.sleep(random.uniform(0, 2 * offline if away else 2.0))
    while True:
        try:
            await subscriber.connect()
        except OSError as exc:
            name = type(exc).__name__
            subscriber.report.refused[name] = subscriber.report.refused.get(name, 0) + 1
        await asyncio.sleep(random.expovariate(1 / online))
        subscriber.leave()
        await asyncio.sleep(random.uniform(0.05, 2 * offline))


async def run(arguments: argparse.Namespace) -> None:
    """Subscribe until the input ends."""
    report = Report()
    stayers = [
        Subscriber(report, arguments.port, f"soak{number % arguments.topics}", stays=True)
        for number in range(arguments.staying)
    ]
    for stayer in stayers:
        await stayer.connect()
    async with asyncio.timeout(30):
        await asyncio.gather(*(stayer.opened.wait() for stayer in stayers))
    print("ready", flush=True)
    goers = [
        asyncio.create_task(
            come_and_go(
                Subscriber(report, arguments.port, f"soak{random.randrange(arguments.topics)}", stays=False),
                arguments.online,
                arguments.offline,
            )
        )
        for _ in range(arguments.going)
    ]
    reporting = asyncio.create_task(_report(report))
    await asyncio.to_thread(sys.stdin.read)
    reporting.cancel()
    for task in goers:
        task.cancel()
    await asyncio.gather(*goers, reporting, return_exceptions=True)
    report.stayers_at = [(s.topic, -1 if s.last_number is None else s.last_number) for s in stayers]
    for stayer in stayers:
        stayer.leave()
    print(json.dumps(asdict(report)), flush=True)


async def _report(report: Report) -> None:
    while True:
        await asyncio.sleep(1)
        line = {
            "connected": report.connected,
            "received": report.received,
            "connects": report.connects,
            "missing": len(report.missing),
            "repeated": len(report.repeated),
            "stayers_dropped": report.stayers_dropped,
        }
        print(json.dumps(line), flush=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m chaos.subscribers", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--topics", type=int, required=True)
    parser.add_argument("--staying", type=int, default=50)
    parser.add_argument("--going", type=int, default=500)
    parser.add_argument("--online", type=float, default=10.0, help="mean seconds of a visit")
    parser.add_argument("--offline", type=float, default=3.0, help="mean seconds between two visits")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
