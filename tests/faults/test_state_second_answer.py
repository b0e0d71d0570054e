"""A question that two leaders answer, the old one beside the new one, as happens around an election."""

import asyncio
import json
import threading
import time
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from tests.engines import NatsProcess

from gbe.state.nats.store import NatsStateStore
from gbe.transport.nats.config import NatsConfig

pytestmark = pytest.mark.fault

KEYS = {f"gbe.record.{number}" for number in range(3)}


class OldLeader:
    """Answers what the leader of a stream is asked, and knows of nothing; on a thread of its own."""

    def __init__(self, url: str) -> None:
        self.url, self.answers = url, 0
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "OldLeader":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        client = await nats.connect(self.url)

        async def answer(msg: Msg) -> None:
            await client.publish(msg.reply, json.dumps({"state": {"subjects": {}}}).encode())
            await client.flush()
            self.answers += 1

        await client.subscribe("$JS.API.STREAM.INFO.>", cb=answer)
        await client.flush()
        self._ready.set()
        await asyncio.to_thread(self._stop.wait)
        await client.close()


async def busy() -> None:
    """Keep the loop from its connections, so that answers arrive together."""
    for _ in range(20):
        await asyncio.sleep(0)
        time.sleep(0.01)


async def test_two_answers_at_once_are_both_looked_at(tmp_path: Path) -> None:
    with NatsProcess(tmp_path) as engine, OldLeader(engine.url) as old:
        async with await NatsStateStore.open(NatsConfig(urls=(engine.url,))) as state:
            for key in KEYS:
                await state.put(key, {"timeout_at": b"1000"})
            found: list[set[str]] = []
            while not old.answers or KEYS not in found:
                due, _ = await asyncio.gather(state.due("timeout_at", 2000, limit=10), busy())
                found.append({record.key for record in due})
            assert all(keys <= KEYS for keys in found)
