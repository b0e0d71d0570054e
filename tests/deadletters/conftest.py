"""Dead letters on every back end: one engine a run, one namespace a test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest
from tests.engines import NatsProcess
from tests.naming import unique
from tests.redis_engines import RedisCluster, RedisProcess

from gbe.clock import Clock
from gbe.config import default_streams
from gbe.deadletters.audit import Audit
from gbe.deadletters.index import Indexer
from gbe.deadletters.letters import DeadLetters, RedriveOptions
from gbe.deadletters.names import LetterNames
from gbe.deadletters.query import LetterFilter
from gbe.deadletters.redrive import Outcome, Redrive
from gbe.lifecycle.names import TaskNames
from gbe.notify.config import NotifyConfig
from gbe.redis.config import RedisConfig
from gbe.schemas.events.audit import AuditChange
from gbe.state.base import StateConfig, StateStore
from gbe.state.memory import MemoryRecords, MemoryStateStore
from gbe.state.nats.store import NatsStateStore
from gbe.state.redis.store import RedisStateStore
from gbe.tasks.backend import Backend
from gbe.transport.base import Transport
from gbe.transport.memory import MemoryTransport
from gbe.transport.memory_engine import MemoryEngine
from gbe.transport.nats.config import NatsConfig
from gbe.transport.nats.transport import NatsTransport
from gbe.transport.redis.transport import RedisTransport

Mechanisms = tuple[Callable[[], Awaitable[Transport]], Callable[[], Awaitable[StateStore]]]


@pytest.fixture(scope="session")
def nats_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsProcess]:
    with NatsProcess(tmp_path_factory.mktemp("letters") / "nats") as engine:
        yield engine


@pytest.fixture(params=["memory", "nats", "redis", "redis-cluster"])
def mechanisms(request: pytest.FixtureRequest) -> Mechanisms:
    """What opens one more client of transport and state store."""
    match request.param:
        case "memory":
            return _memory()
        case "nats":
            return _nats(request.getfixturevalue("nats_engine"))
        case "redis":
            return _redis(request.getfixturevalue("redis_engine"))
        case _:
            return _redis(request.getfixturevalue("redis_cluster"))


def _memory() -> Mechanisms:
    engine, records = MemoryEngine(), MemoryRecords()

    async def transport() -> Transport:
        return MemoryTransport(engine)

    async def state() -> StateStore:
        return MemoryStateStore(records, StateConfig())

    return transport, state


def _nats(engine: NatsProcess) -> Mechanisms:
    config = NatsConfig(urls=(engine.url,), publish_timeout=30.0, request_timeout=20.0)

    async def transport() -> Transport:
        return await NatsTransport.open(config)

    async def state() -> StateStore:
        return await NatsStateStore.open(config, StateConfig(bucket="letters"))

    return transport, state


def _redis(engine: RedisProcess | RedisCluster) -> Mechanisms:
    config = RedisConfig(url=engine.user_url, publish_timeout=30.0, request_timeout=20.0)

    async def transport() -> Transport:
        return await RedisTransport.open(config)

    async def state() -> StateStore:
        return await RedisStateStore.open(config, StateConfig(bucket="letters"))

    return transport, state


@dataclass
class Desk:
    """One operator's connections, and the namespace of the test."""

    transport: Transport
    state: StateStore
    names: LetterNames
    letters: DeadLetters
    audit: Audit

    @property
    def ns(self) -> str:
        return self.names.namespace

    def backend(self) -> Backend:
        return Backend(self.transport, self.state, TaskNames(self.ns))

    async def redrive(self, wanted: LetterFilter | list[str], **options: object) -> list[Outcome]:
        chosen = RedriveOptions(rate=10_000.0, actor="test", **options)  # type: ignore[arg-type]
        return [outcome async for outcome in self.letters.redrive(wanted, chosen)]

    async def discard(self, wanted: LetterFilter | list[str]) -> list[Outcome]:
        return [outcome async for outcome in self.letters.discard(wanted, actor="test")]

    async def audited(self) -> list[AuditChange]:
        """Every audit event of the namespace."""
        stored = await self.transport.read(self.names.audit)
        return [msgspec.json.decode(message.envelope.payload, type=AuditChange) for message in stored]


OpenDesk = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def open_desk(mechanisms: Mechanisms) -> AsyncIterator[OpenDesk]:
    """Opens one more operator of this test's namespace; closed after the test."""
    names = LetterNames(unique("letters"))
    open_transport, open_state = mechanisms
    async with AsyncExitStack() as stack:

        async def open_one(
            *,
            clock: Clock | None = None,
            transport: Callable[[Transport], Transport] = lambda one: one,
            retry_task: Callable[[str, str, str], Awaitable[str]] | None = None,
        ) -> Desk:
            opened = await stack.enter_async_context(await open_transport())
            state = await stack.enter_async_context(await open_state())
            for stream in default_streams(names.namespace, NotifyConfig()):
                await opened.ensure_stream(stream)
            audit_log = Audit(opened, names)
            redrive = Redrive(transport(opened), state, names, audit_log, retry_task=retry_task, clock=clock)
            letters = DeadLetters(state, Indexer(opened, state, names, retention=7 * 86_400.0), redrive)
            return Desk(opened, state, names, letters, audit_log)

        yield open_one


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """An operator."""
    return await open_desk()
