"""One timer calls all streams at the rate of each."""

import asyncio

from gbe.http.keepalive import Keepalive


async def test_each_call_keeps_its_own_rhythm() -> None:
    """Who joined first is called first, again and again."""
    calls: list[str] = []
    enough = asyncio.Event()

    def call(name: str) -> None:
        calls.append(name)
        if len(calls) >= 6:
            enough.set()

    keepalive = Keepalive(0.02)
    first, second = (lambda: call("first")), (lambda: call("second"))
    keepalive.add(first)
    await asyncio.sleep(0)
    keepalive.add(second)
    async with asyncio.timeout(10):
        await enough.wait()
    keepalive.discard(first)
    keepalive.discard(second)

    assert calls[:6] == ["first", "second"] * 3


async def test_who_has_left_is_not_called() -> None:
    """Also one that leaves while the others are being called."""
    calls: list[str] = []
    done = asyncio.Event()
    keepalive = Keepalive(0.01)

    def leaving() -> None:
        calls.append("leaving")
        keepalive.discard(leaving)

    def staying() -> None:
        calls.append("staying")
        if calls.count("staying") == 3:
            done.set()

    keepalive.add(leaving)
    keepalive.add(staying)
    async with asyncio.timeout(10):
        await done.wait()
    keepalive.discard(staying)

    assert calls.count("leaving") == 1


async def test_nobody_left_means_no_timer() -> None:
    """An idle server does not wake up for nothing."""
    keepalive = Keepalive(0.01)
    called = asyncio.Event()
    keepalive.add(called.set)
    keepalive.discard(called.set)
    again = asyncio.Event()
    keepalive.add(again.set)
    async with asyncio.timeout(10):
        await again.wait()
    keepalive.discard(again.set)
    assert not called.is_set()
