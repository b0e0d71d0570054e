"""Every back end in turn, behind one set of fixtures; each test has keys of its own on a shared engine."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from tests.conformance.state.engines import ENGINES, Engine
from tests.naming import unique

from gbe.state.base import StateStore

OpenState = Callable[[], Awaitable[StateStore]]


@pytest.fixture(scope="session", params=list(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that the tests of a run share; each test has keys of its own."""
    with ENGINES[request.param](tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
async def open_state(engine: Engine) -> AsyncIterator[OpenState]:
    """Opens one more client of the back end, as another process would; closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_one() -> StateStore:
            return await stack.enter_async_context(await engine.open())

        yield open_one


@pytest.fixture
async def state(open_state: OpenState) -> StateStore:
    """A client of the back end."""
    return await open_state()


@pytest.fixture
def prefix() -> str:
    """The beginning of keys that no other test has."""
    return unique()


@pytest.fixture
def key(prefix: str) -> str:
    """A key that no other test has."""
    return f"{prefix}.email.1"
