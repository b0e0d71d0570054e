"""The official SDK as a client: what it publishes is what it reads back, in both modes."""

from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

DATA = {"actor": "ann", "action": "update", "target": "invoice/17", "before": None, "after": {"paid": True}}
ATTRIBUTES = {
    "id": "A 1 \u20ac",
    "source": "/billing?x=1",
    "type": "com.example.change",
    "subject": "invoice 17 100%",
    "time": datetime(2026, 11, 25, 12, 30, 0, 250_000, tzinfo=UTC),
    "dataschema": "https://example.com/schema",
    "datacontenttype": "application/json",
    "comexampleextension": "value",
}


@pytest.mark.parametrize("to_message", [to_binary_event, to_structured_event])
async def test_a_round_trip(http: httpx.AsyncClient, to_message: object) -> None:
    """Attributes, extensions and data, with what has to be percent-encoded in headers."""
    given = CloudEvent(dict(ATTRIBUTES), DATA)
    message = to_message(given)  # type: ignore[operator]
    answer = await http.post("/v1/events/events.audit.change", headers=message.headers, content=message.body)
    assert answer.status_code == 201, answer.text

    page = await http.get("/v1/events/events.audit.change/history?since=all&format=cloudevents")
    assert page.status_code == 200, page.text
    (stored,) = page.json()
    headers = {"content-type": "application/cloudevents+json"}
    back = from_http_event(HTTPMessage(headers, msgspec.json.encode(stored)))
    attributes = back.get_attributes()
    assert {name: attributes[name] for name in ATTRIBUTES} == ATTRIBUTES
    data = back.get_data()
    assert isinstance(data, dict)
    assert {name: data[name] for name in DATA} == DATA


async def test_what_the_schema_refuses_names_the_field(http: httpx.AsyncClient) -> None:
    """The SDK's event is a valid CloudEvent, and no audit change."""
    message = to_structured_event(CloudEvent({"source": "/x", "type": "t"}, {"actor": "ann"}))
    answer = await http.post("/v1/events/events.audit.change", headers=message.headers, content=message.body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "action")
