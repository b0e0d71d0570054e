"""What handles a connection's messages is called while they are read; nothing it does may end the reading."""

from pathlib import Path

import pytest
from nats.aio.msg import Msg
from tests.engines import NatsProcess
from tests.waiting import eventually

from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.connection import NatsConnection
from gbe.transport.nats.wire import plain_frame

pytestmark = pytest.mark.fault


async def test_a_handler_that_raises_ends_neither_the_reading_nor_its_subscription(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def handle(msg: Msg) -> None:
        heard.append(msg.data)
        if msg.data == b"bad":
            raise ValueError("a defect of ours")

    with NatsProcess(tmp_path / "engine") as engine:
        connection = NatsConnection(NatsConfig(urls=(engine.url,)))
        await connection.open()
        try:
            await connection.subscribe("t.a", handle)
            for body in (b"one", b"bad", b"two"):
                connection.write(plain_frame("t.a", "", body))
            await eventually(lambda: len(heard) == 3, "all three are heard")
            assert heard == [b"one", b"bad", b"two"]
            await connection.flush()  # answered by the one who reads
        finally:
            await connection.close()


async def test_nothing_is_handled_after_a_subscription_is_given_up(tmp_path: Path) -> None:
    heard: list[bytes] = []
    with NatsProcess(tmp_path / "engine") as engine:
        connection = NatsConnection(NatsConfig(urls=(engine.url,)))
        await connection.open()
        try:
            subscription = await connection.subscribe("t.a", lambda msg: heard.append(msg.data))
            connection.write(plain_frame("t.a", "", b"one"))
            await connection.flush()
            assert heard == [b"one"]
            await connection.unsubscribe([subscription])
            connection.write(plain_frame("t.a", "", b"two"))
            await connection.flush()
            assert heard == [b"one"]
        finally:
            await connection.close()
