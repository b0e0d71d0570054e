"""Handlers of events: typed, retried, and given up without stopping anybody else."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from tests.deployments import Deployment
from tests.waiting import eventually

from gbe import App, Event
from gbe.config import load
from gbe.errors import ConfigError
from gbe.lifecycle.backoff import Backoff
from gbe.schemas import deadletter
from gbe.schemas.deadletter import DeadLetter
from gbe.schemas.events.audit import AuditAccess, AuditChange
from gbe.transport.base import EARLIEST, Delivery, StreamConfig

AT_ONCE = Backoff(kind="none")


class OrderPlaced(Event, frozen=True, kw_only=True):
    number: int
    customer: str = ""


@asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    stop = asyncio.Event()
    running = asyncio.create_task(app.run_worker(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def letters(deployment: Deployment, app: App, domain: str = "events", *, count: int = 1) -> list[DeadLetter]:
    transport = (await app.client()).backend.transport
    stored = await transport.read(f"{deployment.namespace}._deadletter.{domain}")
    return [deadletter.decode(message.envelope.payload) for message in stored] if len(stored) >= count else []


async def test_a_handler_gets_typed_events_and_the_delivery(deployment: Deployment) -> None:
    """Each subject's own type, for async and for plain functions."""
    app = await deployment.app()
    seen: list[object] = []
    plain: list[tuple[str, int]] = []

    @app.on("gbe.events.audit.*", group="mirror", start=EARLIEST)
    async def mirror(event: AuditChange | AuditAccess, delivery: Delivery) -> None:
        seen.append((type(event), event.actor, delivery.envelope.subject))

    @app.on("events.audit.change", group="plain", start=EARLIEST)
    def count(event: Event, delivery: Delivery) -> None:
        plain.append((type(event).__name__, delivery.attempt))

    await app.events.audit.change(actor="ann", action="update", target="invoice/17", before=1, after=2)
    await app.events.audit.access(actor="bob", target="payroll")
    async with working(app):
        await eventually(lambda: len(seen) == 2 and len(plain) == 1, "both groups")
    assert set(map(str, seen)) == {
        str((AuditChange, "ann", f"{deployment.namespace}.events.audit.change")),
        str((AuditAccess, "bob", f"{deployment.namespace}.events.audit.access")),
    }
    assert plain == [("AuditChange", 1)]


async def test_a_failing_handler_is_tried_again_then_its_event_is_a_dead_letter(deployment: Deployment) -> None:
    """The other group and the other events are not held up."""
    app = await deployment.app()
    tries: list[int] = []
    others: list[str] = []

    @app.on("events.audit.change", group="broken", max_deliver=3, backoff=AT_ONCE, start=EARLIEST)
    async def broken(event: AuditChange, delivery: Delivery) -> None:
        if event.actor == "poison":
            tries.append(delivery.attempt)
            if delivery.attempt == 1:
                sys.exit("which ends no worker")
            raise ValueError("cannot digest this")
        others.append(event.actor)

    fine: list[str] = []

    @app.on("events.audit.change", group="fine", start=EARLIEST)
    async def handles(event: AuditChange) -> None:
        fine.append(event.actor)

    for actor in ("poison", "ann"):
        await app.events.audit.change(actor=actor, action="a", target="t")
    async with working(app):
        await eventually(
            lambda: len(tries) == 3 and others == ["ann"] and sorted(fine) == ["ann", "poison"], "all handled"
        )
        found = await eventually(lambda: letters(deployment, app), "a letter")
    (letter,) = found
    assert (letter.group, letter.deliveries, letter.reason) == ("broken", 3, "ValueError: cannot digest this")
    assert msgspec.json.decode(letter.original.payload)["actor"] == "poison"
    assert tries == [1, 2, 3]


async def test_what_does_not_validate_is_a_dead_letter_at_once(deployment: Deployment) -> None:
    """With the path of the field; the handler never sees it."""
    app = await deployment.app()
    seen: list[str] = []

    @app.on("events.audit.change", group="strict", start=EARLIEST)
    async def strict(event: AuditChange) -> None:
        seen.append(event.actor)

    transport = (await app.client()).backend.transport
    subject = f"{deployment.namespace}.events.audit.change"
    await transport.publish(subject, b'{"v":1,"ts":1,"id":"a","actor":7,"action":"x","target":"y"}')
    await transport.publish(subject, b"\xff\x00")
    await app.events.audit.change(actor="ann", action="a", target="t")
    async with working(app):
        await eventually(lambda: seen == ["ann"], "the good one")
        found = await eventually(lambda: letters(deployment, app, count=2), "two letters")
    assert all(letter.deliveries == 1 for letter in found)
    assert any("actor: Expected `str`" in letter.reason for letter in found)


async def test_a_domain_of_users_needs_a_stream_and_a_schema(deployment: Deployment) -> None:
    """Published, checked and handled as gbe's own are."""
    app = await deployment.app()
    app.events.register("orders.placed", OrderPlaced)
    transport = (await app.client()).backend.transport
    await transport.ensure_stream(
        StreamConfig(name=f"{deployment.namespace}-orders", subjects=(f"{deployment.namespace}.orders.*",))
    )
    seen: list[OrderPlaced] = []

    @app.on("orders.placed", group="billing", start=EARLIEST)
    async def bill(event: OrderPlaced) -> None:
        seen.append(event)

    await app.events.publish("orders.placed", OrderPlaced(number=17, customer="ann"))
    await app.events.publish("orders.placed", {"number": 18})
    await transport.publish(f"{deployment.namespace}.orders.placed", b"{}")
    async with working(app):
        await eventually(lambda: sorted(event.number for event in seen) == [17, 18], "both orders")
        found = await eventually(lambda: letters(deployment, app, "orders"), "a letter")
    assert found[0].reason.endswith("v: missing")


async def test_a_stop_lets_handlers_finish(deployment: Deployment) -> None:
    """What is under way when a worker stops ends in order, once."""
    app = await deployment.app()
    begun, may_end = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    @app.on("events.system.deploy", group="slow", start=EARLIEST)
    async def slow(event: Event) -> None:
        begun.set()
        await may_end.wait()
        ended.append(event.id)

    await app.events.system.deploy(service="api", version="1")
    stop = asyncio.Event()
    running = asyncio.create_task(app.run_worker(stop))
    await begun.wait()
    stop.set()
    await asyncio.sleep(0)
    assert not running.done()
    may_end.set()
    await running
    assert len(ended) == 1
    lag = await (await app.client()).backend.transport.lag(f"{deployment.namespace}.events.system.deploy", "slow")
    assert (lag.pending, lag.unacknowledged) == (0, 0)


def test_registering_what_cannot_be_a_handler_says_why() -> None:
    """At import, not at the first event."""
    app = App()

    def none() -> None: ...

    def odd(event: Event, other: int) -> None: ...

    def good(event: Event) -> None: ...

    for function in (none, odd):
        with pytest.raises(ConfigError, match=function.__name__):
            app.on("events.audit.*", group="g")(function)
    with pytest.raises(ConfigError, match="group"):
        app.on("events.audit.*", group="a b")(good)
    with pytest.raises(ConfigError, match="concurrency"):
        app.on("events.audit.*", group="g", concurrency=0)(good)
    app.on("events.audit.*", group="g")(good)
    with pytest.raises(ConfigError, match="has one already"):
        app.on("events.audit.*", group="g")(good)


def test_events_of_the_configuration(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A pattern with a type, or with none; what cannot be is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders_of_test.py").write_text(
        "import gbe\nclass Placed(gbe.Event, frozen=True, kw_only=True):\n    number: int\n"
    )
    (tmp_path / "gbe.yaml").write_text("events:\n  orders.placed: orders_of_test:Placed\n  orders.*:\n")
    registry = App(settings=load()).events.registry
    assert registry.schema_of("orders.placed").type.__name__ == "Placed"
    assert registry.schema_of("orders.other").type is Event
    for text in ("orders.x: orders_of_test:Nope", "orders.x: nope:Nope", "tasks.x:", "orders.x: noColon"):
        (tmp_path / "gbe.yaml").write_text(f"events:\n  {text}\n")
        with pytest.raises(ConfigError):
            assert App(settings=load()).events.registry
    (tmp_path / "gbe.yaml").write_text("events: [a]\n")
    with pytest.raises(ConfigError, match="events: expected patterns"):
        load()
