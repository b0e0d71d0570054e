"""Every back end in turn, behind one set of fixtures; each test has keys of its own on a shared engine."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from tests.engines import NatsProcess

from gbe.state.base import StateConfig, StateStore
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.state.nats.store import NatsStateStore
from gbe.transport.nats.config import NatsConfig

OpenState = Callable[[], Awaitable[StateStore]]
CONFIG = StateConfig(indexes=("timeout_at", "wake_at"))

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def interval_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A NATS server as it comes: it syncs its disk now and then."""
    with NatsProcess(tmp_path_factory.mktemp("interval") / "nats") as engine:
        yield engine


@pytest.fixture(scope="session")
def fsync_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    """A NATS server that syncs its disk before it confirms."""
    with NatsProcess(tmp_path_factory.mktemp("fsync") / "nats", sync_interval="always") as engine:
        yield engine


@pytest.fixture(params=["memory", "nats", "nats-fsync"])
async def open_state(request: pytest.FixtureRequest) -> AsyncIterator[OpenState]:
    """Opens one more client of the back end, as another process would; closed after the test."""
    opener = _opener(request)
    async with AsyncExitStack() as stack:

        async def open_one() -> StateStore:
            return await stack.enter_async_context(await opener())

        yield open_one


def _opener(request: pytest.FixtureRequest) -> OpenState:
    if request.param == "memory":
        records = MemoryRecords()

        async def open_memory() -> StateStore:
            return MemoryStateStore(records, CONFIG)

        return open_memory
    server: NatsProcess = request.getfixturevalue(
        "fsync_engine" if request.param == "nats-fsync" else "interval_engine"
    )
    config = NatsConfig(urls=(server.url,), request_timeout=30.0)

    async def open_nats() -> StateStore:
        return await NatsStateStore.open(config, CONFIG)

    return open_nats


@pytest.fixture
async def state(open_state: OpenState) -> StateStore:
    """A client of the back end."""
    return await open_state()


@pytest.fixture
def prefix() -> str:
    """The beginning of keys that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def key(prefix: str) -> str:
    """A key that no other test has."""
    return f"{prefix}.email.1"
