"""Random operations of several concurrent clients, with crashes of the engine in between and in the middle.

After each round, every record is in a state that some order of the round's operations explains: an order that respects
each client's own, and in which every operation returns what it did (linearisability, as Wing and Gong check it; rounds
are short, so all orders are tried). Then nothing runs, and ``get``, ``scan`` and ``due`` must all show that state.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.conformance.state.engines import ENGINES, Engine

from gbe.errors import StateUnavailableError
from gbe.state.base import Changes, Expected, StateStore, matches

CLIENTS = 3
NAMES = ("a", "b")
NOW = 1_790_000_000_000

State = frozenset[tuple[str, bytes]]
ABSENT: State = frozenset()
UNKNOWN = object()


@dataclass
class Operation:
    """One call, and what came of it."""

    kind: str
    name: str
    changes: Changes = field(default_factory=dict)
    expected: Expected = field(default_factory=dict)
    result: object = None

    async def run(self, store: StateStore, prefix: str) -> None:
        key = f"{prefix}.{self.name}"
        try:
            match self.kind:
                case "put":
                    await store.put(key, {f: v for f, v in self.changes.items() if v is not None} or {"x": b""})
                case "set_fields":
                    await store.set_fields(key, self.changes)
                case "update_if":
                    self.result = await store.update_if(key, self.expected, self.changes)
                case "delete":
                    self.result = await store.delete(key)
                case "get":
                    fields = await store.get(key)
                    self.result = ABSENT if fields is None else frozenset(fields.items())
        except StateUnavailableError:
            self.result = UNKNOWN

    def after(self, before: State) -> tuple[State, object]:
        """What the contract says: the state after, and the result."""
        fields = dict(before)
        match self.kind:
            case "put":
                put = {f: v for f, v in self.changes.items() if v is not None} or {"x": b""}
                return frozenset(put.items()), None
            case "set_fields":
                return _changed(fields, self.changes), None
            case "update_if":
                applies = matches(fields, self.expected)
                return (_changed(fields, self.changes) if applies else before), applies
            case "delete":
                return ABSENT, bool(before)
            case _:
                return before, before


def _changed(fields: dict[str, bytes], changes: Changes) -> State:
    return frozenset((f, v) for f, v in {**fields, **changes}.items() if v is not None)


def outcomes(before: State, programs: Sequence[Sequence[Operation]]) -> set[State]:
    """The states that some order explains, in which all results are what they were."""
    found: set[State] = set()
    seen: set[tuple[State, tuple[int, ...]]] = set()
    stack = [(before, (0,) * len(programs))]
    while stack:
        state, places = stack.pop()
        if (state, places) in seen:
            continue
        seen.add((state, places))
        if all(place == len(program) for place, program in zip(places, programs, strict=True)):
            found.add(state)
        for client, program in enumerate(programs):
            place = places[client]
            if place == len(program):
                continue
            step = (*places[:client], place + 1, *places[client + 1 :])
            after, result = program[place].after(state)
            if program[place].result is UNKNOWN:
                stack.append((state, step))
                stack.append((after, step))
            elif program[place].result == result:
                stack.append((after, step))
    return found


values = st.sampled_from([b"0", b"1", b"2"])
deadlines = st.integers(0, 9).map(lambda n: b"%d" % (NOW + n))
changes = st.fixed_dictionaries(
    {},
    optional={"s": values | st.none(), "t": values | st.none(), "timeout_at": deadlines | st.none()},
)
expectations = st.fixed_dictionaries({}, optional={"s": values | st.none(), "t": values | st.none()})
operations = st.builds(
    Operation,
    kind=st.sampled_from(["put", "set_fields", "update_if", "update_if", "update_if", "delete", "get"]),
    name=st.sampled_from(NAMES),
    changes=changes,
    expected=expectations,
)
programs = st.lists(st.lists(operations, min_size=1, max_size=3), min_size=CLIENTS, max_size=CLIENTS)

_prefixes = (f"m{os.getpid()}-{number}" for number in itertools.count(1))


class StateMachine(RuleBasedStateMachine):
    """Clients, an engine, and what the model knows of the records."""

    engine: Engine
    runner: asyncio.Runner
    stores: Sequence[StateStore]

    @initialize()
    def begin(self) -> None:
        self.prefix = next(_prefixes)
        self.possible: dict[str, set[State]] = {name: {ABSENT} for name in NAMES}

    @rule(program=programs)
    def round(self, program: list[list[Operation]]) -> None:
        """All clients at once, each one operation after the other."""
        self.runner.run(self._round(program, crash=False))

    @rule(program=programs)
    def round_with_a_crash(self, program: list[list[Operation]]) -> None:
        """The same, while the engine dies and comes back."""
        self.runner.run(self._round(program, crash=True))

    @rule()
    def crash(self) -> None:
        """Between rounds."""
        self.engine.crash()

    async def _round(self, program: list[list[Operation]], *, crash: bool) -> None:
        async def client(store: StateStore, own: Sequence[Operation]) -> None:
            for operation in own:
                await operation.run(store, self.prefix)

        work = [client(store, own) for store, own in zip(self.stores, program, strict=True)]
        if crash:
            work.append(asyncio.to_thread(self.engine.crash))
        await asyncio.gather(*work)
        for name in NAMES:
            parts = [[operation for operation in own if operation.name == name] for own in program]
            after = {state for before in self.possible[name] for state in outcomes(before, parts)}
            assert after, f"no order explains {name}: {parts} from {self.possible[name]}"
            self.possible[name] = after

    @invariant()
    def everything_shows_the_same(self) -> None:
        """Quiet: what one client gets, another scans, and a third finds by its deadline."""
        self.runner.run(self._look())

    async def _look(self) -> None:
        scanned = {record.key: record.fields async for record in self.stores[1].scan(self.prefix)}
        for name in NAMES:
            key = f"{self.prefix}.{name}"
            fields = await self.stores[0].get(key)
            state = ABSENT if fields is None else frozenset(fields.items())
            assert state in self.possible[name], f"{name} is {state}, expected one of {self.possible[name]}"
            self.possible[name] = {state}
            assert scanned.get(key) == fields
            deadline = (fields or {}).get("timeout_at")
            for moment in range(NOW - 1, NOW + 10, 5):
                found = {r.key: r.fields for r in await self.stores[2].due("timeout_at", moment, limit=10_000)}
                is_due = deadline is not None and int(deadline) <= moment
                assert found.get(key) == (fields if is_due else None)

    def teardown(self) -> None:
        self.runner.run(self._clear())

    async def _clear(self) -> None:
        for name in NAMES:
            await self.stores[0].delete(f"{self.prefix}.{name}")


@asynccontextmanager
async def clients(engine: Engine) -> AsyncIterator[Sequence[StateStore]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(await engine.open()) for _ in range(CLIENTS)]


@pytest.fixture(params=list(ENGINES))
def own_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine that may be killed."""
    with ENGINES[request.param](tmp_path) as engine:
        yield engine


@pytest.mark.timeout(300)
def test_each_record_is_linearisable(own_engine: Engine) -> None:
    """See the module's docstring."""
    with asyncio.Runner() as loop:
        opened = clients(own_engine)
        opened_stores = loop.run(opened.__aenter__())

        class Machine(StateMachine):
            engine = own_engine
            runner = loop
            stores = opened_stores

        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=own_engine.examples,
                    stateful_step_count=8,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            loop.run(opened.__aexit__(None, None, None))
