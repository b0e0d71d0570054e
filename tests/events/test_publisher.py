"""The typed publisher: checks first, then stores."""

import msgspec
import pytest

from gbe.errors import InvalidEventError, InvalidSubjectError, PayloadTooLargeError, UnknownEventError
from gbe.events.publisher import EventPublisher
from gbe.transport.memory import MemoryTransport


@pytest.fixture
def events(transport: MemoryTransport) -> EventPublisher:
    return EventPublisher(transport, "gbe")


async def test_a_change_is_stored_with_all_it_needs(transport: MemoryTransport, events: EventPublisher) -> None:
    """``v``, ``ts`` and ``id`` are there without being named."""
    message_id = await events.audit.change(actor="ann", action="update", target="invoice/17", after={"paid": True})
    (stored,) = await transport.read("gbe.events.audit.change")
    assert stored.envelope.id == message_id
    event = msgspec.json.decode(stored.envelope.payload)
    assert event["v"] == 1
    assert event["ts"] > 1_700_000_000_000
    assert (event["actor"], event["after"], len(event["id"])) == ("ann", {"paid": True}, 26)


async def test_every_method_publishes_what_its_schema_takes(transport: MemoryTransport, events: EventPublisher) -> None:
    """One of each."""
    await events.audit.access(actor="ann", target="payroll")
    await events.audit.record("export", actor="ann", action="export", details={"rows": 3})
    await events.auth.login(actor="ann", method="token")
    await events.auth.logout(actor="ann")
    await events.auth.failure(reason="wrong token", client="10.0.0.1")
    await events.api.request(method="GET", path="/v1", status=200, duration_ms=1.5)
    await events.api.error(method="GET", path="/v1", error="boom")
    await events.system.health(component="db", status="ok")
    await events.system.deploy(service="api", version="1.2.3")
    await events.system.error(source="api", error="disk full")
    await events.system.record("backup", source="cron", message="done")
    await events.lifecycle.started("worker", instance="host-1")
    await events.lifecycle.stopped("worker", instance="host-1")
    await events.lifecycle.heartbeat("worker", instance="host-1", uptime_ms=5)
    await events.lifecycle.degraded("worker", instance="host-1", message="slow")
    for subject in (
        "audit.access", "audit.export", "auth.login", "auth.logout", "auth.failure", "api.request", "api.error",
        "system.health", "system.deploy", "system.error", "system.backup", "lifecycle.worker.started",
        "lifecycle.worker.stopped", "lifecycle.worker.heartbeat", "lifecycle.worker.degraded",
    ):  # fmt: skip
        assert len(await transport.read(f"gbe.events.{subject}")) == 1


async def test_an_event_that_names_itself_is_stored_once(transport: MemoryTransport, events: EventPublisher) -> None:
    """A repetition gives the first message's id."""
    event = {"id": "change-1", "actor": "ann", "action": "update", "target": "x"}
    first = await events.publish("events.audit.change", event)
    assert await events.publish("gbe.events.audit.change", event) == first
    assert len(await transport.read("gbe.events.audit.change")) == 1


@pytest.mark.parametrize(
    ("subject", "event", "error"),
    [
        ("events.audit.change", {"actor": "ann"}, InvalidEventError),
        ("events.audit.change", {"actor": "", "action": "a", "target": "t"}, InvalidEventError),
        ("events.audit.change", {"actor": object(), "action": "a", "target": "t"}, InvalidEventError),
        ("events.audit.change", ["ann"], InvalidEventError),
        ("events.audit.*", {"actor": "ann"}, InvalidSubjectError),
        ("events.nonsense.x", {}, UnknownEventError),
        ("tasks.mail.queue", {}, UnknownEventError),
        ("gbe.notify.topic.x", {}, UnknownEventError),
        ("events.system.x", {"message": "y" * 8000, "details": {"z": "z" * 1_100_000}}, PayloadTooLargeError),
    ],
)
async def test_what_does_not_validate_is_never_stored(
    transport: MemoryTransport, events: EventPublisher, subject: str, event: object, error: type[Exception]
) -> None:
    """Each has its own error."""
    with pytest.raises(error):
        await events.publish(subject, event)
    assert await transport.read("gbe.events.audit.change") == []


async def test_a_lenient_publisher_logs_what_the_engine_did_not_take(
    transport: MemoryTransport, events: EventPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The work that it tells of is done anyway; the strict one raises."""
    await transport.close()
    lenient = events.lenient()
    assert await lenient.audit.change(actor="ann", action="a", target="t") == ""
    assert "event not published" in caplog.text
