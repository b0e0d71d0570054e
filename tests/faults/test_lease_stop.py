"""Leases among real processes, whose holder is stopped, killed, or cut off with the engine."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.engines import NatsProcess, die_with_parent
from tests.waiting import eventually

from gbe.state.base import StateStore
from gbe.state.nats.store import NatsStateStore
from gbe.transport.nats.config import NatsConfig

pytestmark = pytest.mark.fault

KEY = "gbe.leases.sweeper"
TERM = 1.5
NAMES = ("a", "b", "c")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[NatsProcess]:
    with NatsProcess(tmp_path / "nats") as process:
        yield process


@pytest.fixture
def holders(process: NatsProcess) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Three contenders, each a process."""
    script = Path(__file__).with_name("lease_holder.py")
    with ExitStack() as stack:
        children: dict[str, subprocess.Popen[bytes]] = {}
        for name in NAMES:
            child = children[name] = subprocess.Popen(
                [sys.executable, script, process.url, KEY, str(TERM), name],
                stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
            stack.callback(child.wait)
            stack.callback(child.kill)
        yield children


async def who_acts(store: StateStore, since: int) -> tuple[int, str]:
    """Wait until a holder with a number of ``since`` or higher has acted; its number and its name."""

    async def acting() -> tuple[int, str] | None:
        done = await store.get(f"{KEY}.done")
        if done is None or int(done["fence"]) < since:
            return None
        return int(done["fence"]), done["by"].decode()

    return await eventually(acting, f"somebody acts with {since} or higher")  # type: ignore[return-value]


async def assert_one_holder_a_number(store: StateStore) -> None:
    """The proof: each number was acted with by one process only."""
    noted = {record.key: sorted(record.fields) async for record in store.scan(f"{KEY}.noted")}
    assert noted
    assert all(len(names) == 1 for names in noted.values()), noted


async def test_a_stopped_holder_is_replaced_and_never_shares_its_number(
    process: NatsProcess, holders: dict[str, subprocess.Popen[bytes]]
) -> None:
    """SIGSTOP four times, whoever holds it; each wakes up while its successor is at work."""
    async with await NatsStateStore.open(NatsConfig(urls=(process.url,), request_timeout=20.0)) as store:
        fence, name = await who_acts(store, 1)
        for _ in range(4):
            os.kill(holders[name].pid, signal.SIGSTOP)
            successor_fence, successor = await who_acts(store, fence + 1)
            assert successor != name
            os.kill(holders[name].pid, signal.SIGCONT)
            fence, name = successor_fence, successor
            await _works_on(store, fence)
        await assert_one_holder_a_number(store)


async def test_a_killed_holder_is_replaced(process: NatsProcess, holders: dict[str, subprocess.Popen[bytes]]) -> None:
    """Twice; the last one left goes on."""
    async with await NatsStateStore.open(NatsConfig(urls=(process.url,), request_timeout=20.0)) as store:
        fence, name = await who_acts(store, 1)
        for _ in range(2):
            holders[name].kill()
            fence, name = await who_acts(store, fence + 1)
        await assert_one_holder_a_number(store)


async def test_an_engine_that_stands_still_costs_no_safety(
    process: NatsProcess, holders: dict[str, subprocess.Popen[bytes]]
) -> None:
    """For longer than a term: holders give up, and when it goes on, somebody holds the lease with a new number."""
    async with await NatsStateStore.open(NatsConfig(urls=(process.url,), request_timeout=20.0)) as store:
        fence, _ = await who_acts(store, 1)
        process.freeze()
        await asyncio.sleep(1.5 * TERM)  # the length of the outage is what is tested
        process.thaw()
        await who_acts(store, fence + 1)
        await assert_one_holder_a_number(store)


async def _works_on(store: StateStore, fence: int) -> None:
    """The present holder acts again, or has a successor already."""
    before = await store.get(f"{KEY}.done")
    assert before is not None

    async def has_renewed() -> bool:
        lease = await store.get(KEY) or {}
        return int(lease.get("fence", b"0")) > fence or int(lease.get("beat", b"0")) >= 2

    await eventually(has_renewed, "the holder renews")
