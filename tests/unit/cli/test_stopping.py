"""What signals mean to a program that runs until it is told to stop."""

import asyncio
import os
import signal

import pytest
from tests.waiting import eventually

from gbe.cli import runtime


async def test_a_signal_that_comes_again_means_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one stops; another kind is no second one; the same once more, a while later, is in a hurry."""
    monkeypatch.setattr(runtime, "ECHO", 0.0)
    stop, hurry = asyncio.Event(), asyncio.Event()
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    runtime.stop_on_signals(stop, numbers, hurry)
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        await eventually(stop.is_set, "the first signal stops")
        os.kill(os.getpid(), signal.SIGUSR2)
        await asyncio.sleep(0.05)
        assert not hurry.is_set()
        os.kill(os.getpid(), signal.SIGUSR2)
        await eventually(hurry.is_set, "the second one hurries")
    finally:
        for number in numbers:
            asyncio.get_running_loop().remove_signal_handler(number)


async def test_an_echo_is_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service manager tells a child, and so does its parent: that is no hurry."""
    monkeypatch.setattr(runtime, "ECHO", 600.0)
    stop, hurry = asyncio.Event(), asyncio.Event()
    runtime.stop_on_signals(stop, (signal.SIGUSR1,), hurry)
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0.05)
        assert (stop.is_set(), hurry.is_set()) == (True, False)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
