"""Schemas of events: which one a subject has, and what is said about an event that does not fit."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbe import Event
from gbe.errors import ConfigError, InvalidEventError, UnknownEventError
from gbe.events.names import EventNames
from gbe.schemas.events.audit import AuditAccess, AuditChange, AuditRecord
from gbe.schemas.events.lifecycle import Lifecycle
from gbe.schemas.events.registry import EventRegistry
from gbe.schemas.system import Fault, SweepReport


class Order(Event, frozen=True, kw_only=True):
    number: int
    lines: tuple[dict[str, int], ...] = ()


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("events.audit.change", AuditChange),
        ("events.audit.access", AuditAccess),
        ("events.audit.export", AuditRecord),
        ("events.lifecycle.worker.started", Lifecycle),
        ("events.system.sweep", SweepReport),
    ],
)
def test_the_most_exact_schema_counts(subject: str, kind: type) -> None:
    """A subject of its own beats a wildcard."""
    assert EventRegistry().schema_of(subject).type is kind


@pytest.mark.parametrize("subject", ["events.auth.odd", "events", "orders.placed", "events.lifecycle.worker.born"])
def test_a_subject_without_a_schema_is_unknown(subject: str) -> None:
    """And the text says where to name it."""
    with pytest.raises(UnknownEventError, match="register it"):
        EventRegistry().schema_of(subject)


@pytest.mark.parametrize(
    "pattern", ["tasks.mail.queue", "notify.topic.*", "_deadletter.x", "jobs.>", ">", "*.a", "a b"]
)
def test_other_domains_cannot_be_registered(pattern: str) -> None:
    """Their messages are no events."""
    with pytest.raises(ConfigError):
        EventRegistry().register(pattern, Order)


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        (b'{"ts":1,"id":"a","number":1}', "v", "missing"),
        (b'{"v":1,"id":"a","number":1}', "ts", "missing"),
        (b'{"v":1,"ts":1,"number":1}', "id", "missing"),
        (b'{"v":0,"ts":1,"id":"a","number":1}', "v", ">= 1"),
        (b'{"v":1,"ts":1,"id":"","number":1}', "id", "length"),
        (b'{"v":1,"ts":1,"id":"a"}', "number", "missing"),
        (b'{"v":1,"ts":1,"id":"a","number":"x"}', "number", "Expected `int`"),
        (b'{"v":1,"ts":1,"id":"a","number":1,"lines":[{"a":"b"}]}', "lines", "Expected `int`"),
        (b"[]", "", "Expected `object`"),
        (b"{", "", "truncated"),
        (b"\xff", "", ""),
    ],
)
def test_what_does_not_fit_names_its_field(payload: bytes, field: str, reason: str) -> None:
    """The field path and the reason are in the error."""
    registry = EventRegistry()
    registry.register("orders.placed", Order)
    with pytest.raises(InvalidEventError) as caught:
        registry.decode("orders.placed", payload)
    assert caught.value.field.startswith(field)
    assert reason in caught.value.reason


def test_fields_that_are_not_known_are_skipped() -> None:
    """A newer producer may add optional ones."""
    payload = b'{"v":1,"ts":1,"id":"a","actor":"ann","action":"x","target":"y","later":true}'
    assert EventRegistry().decode("events.audit.change", payload).actor == "ann"


def test_what_gbe_itself_publishes_fits() -> None:
    """Reports and faults of the sweeper are events like others."""
    registry = EventRegistry()
    fault = msgspec.json.encode(Fault(ts=1, id="a", source="sweeper", error="x"))
    assert registry.decode("events.system.error", fault).source == "sweeper"
    report = msgspec.json.encode(SweepReport(ts=1, id="a", sweeper="me"))
    assert registry.decode("events.system.sweep", report).sweeper == "me"


@given(st.binary(max_size=200))
def test_no_payload_breaks_the_decoder(payload: bytes) -> None:
    """Whatever comes in, it is an event or a clear error."""
    registry = EventRegistry()
    try:
        event = registry.decode("events.audit.change", payload)
    except InvalidEventError:
        return
    assert isinstance(event, AuditChange)


class Versioned(Order, frozen=True, kw_only=True):
    v: int = 2  # type: ignore[assignment]  # any version at all, its author says; every event's rules still count


@pytest.mark.parametrize("kind", [Order, Versioned])
def test_what_is_about_to_be_published_is_checked_like_what_was_received(kind: type[Order]) -> None:
    """Also where the type leaves out what every event must have."""
    registry = EventRegistry({"orders.placed": kind})
    schema = registry.schema_of("orders.placed")
    schema.check("orders.placed", msgspec.json.encode(kind(number=1)))
    for changes in ({"number": "x"}, {"v": 0}, {"ts": -1}, {"id": ""}):
        (field,) = changes
        event = msgspec.structs.replace(kind(number=1), **changes)
        with pytest.raises(InvalidEventError) as refusal:
            schema.check("orders.placed", msgspec.json.encode(event))
        assert refusal.value.field == field


def test_an_event_is_resolved_anew_once_its_schema_was_replaced() -> None:
    """What was looked up before does not count."""
    registry = EventRegistry({"orders.placed": Order})
    names = EventNames("gbe", registry)
    assert names.of("gbe.orders.placed").schema.type is Order
    registry.register("orders.placed", Versioned)
    assert names.of("gbe.orders.placed").schema.type is Versioned
    assert names.of("orders.placed").subject == "gbe.orders.placed"
