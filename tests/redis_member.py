"""A member of a group in a process of its own, to be frozen or killed: ``python -m tests.redis_member URL …``.

It says ``ready`` once it has joined. A line on its input is an order (``nak``: refuse everything in hand); at the
input's end it leaves in peace.
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tests.engines import _stands
from tests.total_queue import Journal

from gbe.redis.config import RedisConfig
from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery
from gbe.transport.redis.transport import RedisTransport

_ROOT = Path(__file__).parent.parent


class Member:
    """The process, from outside.

    Args:
        journal: the file in which it writes down what it gets.
        holds: so many deliveries it answers, and no more of its own accord.
        work: seconds that it takes for each.
        concurrency: how many it has in hand at most.
        ready: return once it has joined.
    """

    def __init__(
        self,
        url: str,
        pattern: str,
        group: str,
        journal: Path,
        *,
        ack_timeout: float,
        holds: int | None = None,
        work: float = 0.0,
        concurrency: int = 20,
        ready: bool = True,
    ) -> None:
        self.journal = journal
        arguments = [url, pattern, group, str(journal), f"--ack-timeout={ack_timeout}", f"--work={work}"]
        arguments += [f"--concurrency={concurrency}", *([f"--holds={holds}"] if holds is not None else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.redis_member", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
        )
        if ready:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return once it has joined."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the member did not join"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def order(self, word: str) -> None:
        """Tell it to do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def freeze(self) -> None:
        """SIGSTOP; returns when it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        while not _stands(self.pid):
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def leave(self) -> None:
        """Let it leave in peace; returns when it is gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(60)
        self.kill()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Safe to repeat."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def handed(self) -> list[str]:
        """The ids of what it has got so far."""
        return [id for what, id, *_ in self._lines() if what == "handed"]

    def ended(self) -> list[str]:
        """The ids of what it has acknowledged so far."""
        return [id for what, id, *_ in self._lines() if what == "ended"]

    def attempts(self) -> dict[str, list[int]]:
        """As which delivery it has got each message."""
        found: dict[str, list[int]] = {}
        for what, id, attempt, _ in self._lines():
            if what == "handed":
                found.setdefault(id, []).append(int(attempt))
        return found

    def _lines(self) -> Iterator[Sequence[str]]:
        if self.journal.exists():
            for line in self.journal.read_text().splitlines():
                yield line.split(" ")


async def serve(arguments: argparse.Namespace) -> None:
    """Be a member until the input ends."""
    journal = Journal(Path(arguments.journal))
    held: list[tuple[Delivery, asyncio.Event]] = []
    numbers = itertools.count()

    async def handle(delivery: Delivery) -> None:
        journal.handed(delivery)
        if arguments.holds is not None and next(numbers) >= arguments.holds:
            released = asyncio.Event()
            held.append((delivery, released))
            await released.wait()
            return
        await asyncio.sleep(arguments.work)
        await delivery.ack()
        journal.ended(delivery)

    config = RedisConfig(
        url=arguments.url, publish_timeout=30.0, request_timeout=20.0, poll_interval=0.3, stall_timeout=1.0
    )
    options = ConsumeOptions(
        start=EARLIEST,
        ack_timeout=arguments.ack_timeout,
        max_deliver=1000,
        max_inflight=max(100, arguments.concurrency),
    )
    async with (
        await RedisTransport.open(config) as transport,
        transport.consume(arguments.pattern, arguments.group, options) as deliveries,
    ):
        running = asyncio.create_task(deliveries.run(handle, concurrency=arguments.concurrency))
        print("ready", flush=True)  # noqa: T201  to whoever has started us
        while order := await asyncio.to_thread(sys.stdin.readline):
            assert order == "nak\n"
            for delivery, released in held:
                await delivery.nak()
                released.set()
            held.clear()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.redis_member", description=__doc__)
    for name in ("url", "pattern", "group", "journal"):
        parser.add_argument(name)
    parser.add_argument("--ack-timeout", type=float, default=2.0)
    parser.add_argument("--work", type=float, default=0.0)
    parser.add_argument("--concurrency", type=int, default=20)
    parser.add_argument("--holds", type=int)
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
