"""``POST /v1/events/{subject}``: plain, in batches, as CloudEvents; and what is refused."""

from typing import Any

import httpx
import msgspec
import pytest

from gbe.events.cloudevents import encode_header, to_structured
from gbe.transport.memory import MemoryTransport

CHANGE = {"actor": "ann", "action": "update", "target": "invoice/17"}
PATH = "/v1/events/events.audit.change"
ATTRIBUTES = {"specversion": "1.0", "id": "A-1", "source": "/billing", "type": "com.example.change"}


async def stored(transport: MemoryTransport, subject: str = "audit.change") -> list[bytes]:
    return [message.envelope.payload for message in await transport.read(f"gbe.events.{subject}")]


async def test_one_event(transport: MemoryTransport, http: httpx.AsyncClient) -> None:
    """The answer names the message and the event."""
    answer = await http.post(PATH, json=CHANGE)
    assert answer.status_code == 201, answer.text
    (payload,) = await stored(transport)
    event = msgspec.json.decode(payload)
    assert event["id"] == answer.json()["event_id"]
    assert event | CHANGE == event
    assert answer.json()["subject"] == "gbe.events.audit.change"


async def test_a_batch_has_a_result_for_each(transport: MemoryTransport, http: httpx.AsyncClient) -> None:
    """And a repetition of events that name themselves is stored once."""
    batch = [CHANGE | {"id": f"c{number}"} for number in range(3)]
    first = await http.post(PATH, json=batch)
    again = await http.post(PATH, json=batch)
    assert (first.status_code, again.json()) == (201, first.json())
    assert [one["event_id"] for one in first.json()["results"]] == ["c0", "c1", "c2"]
    assert len(await stored(transport)) == 3


async def test_a_batch_with_one_bad_event_stores_nothing(transport: MemoryTransport, http: httpx.AsyncClient) -> None:
    """The index and the field are in the error."""
    answer = await http.post(PATH, json=[CHANGE, CHANGE | {"actor": 7}, {}])
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "[1].actor")
    assert "1 more" in answer.json()["error"]["message"]
    assert await stored(transport) == []


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "field"),
    [
        (PATH, b"{", "application/json", 400, None),
        (PATH, b"7", "application/json", 400, None),
        (PATH, b"[]", "application/json", 400, None),
        (PATH, b"[", "application/json", 400, None),
        (PATH, b"\xff", "application/json", 400, None),
        (PATH, b"{}", "text/plain", 415, None),
        (PATH, b"{}", "application/json", 400, "actor"),
        (PATH, b'{"actor":"a","action":"x","target":"t","ts":-1}', "application/json", 400, "ts"),
        (PATH, b" " * 9_000_000, "application/json", 413, None),
        (PATH, b'{"actor":"a","action":"x","target":"t","after":"' + b"y" * 1_100_000 + b'"}', "application/json", 413,
         None),
        (PATH, b"{}", "application/cloudevents+json", 400, "id"),
        (PATH, b"{}", "application/cloudevents-batch+json", 400, None),
        ("/v1/events/events.nonsense.x", b"{}", "application/json", 404, None),
        ("/v1/events/tasks.mail.queue", b"{}", "application/json", 404, None),
        ("/v1/events/events.audit.*", b"{}", "application/json", 400, None),
        ("/v1/events/a%20b", b"{}", "application/json", 400, None),
    ],
)  # fmt: skip
async def test_bad_requests_have_their_own_status_and_store_nothing(
    transport: MemoryTransport,
    http: httpx.AsyncClient,
    path: str,
    body: bytes,
    kind: str,
    status: int,
    field: str | None,
) -> None:
    """What does not validate is never stored."""
    answer = await http.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    if field is not None:
        assert answer.json()["error"]["field"] == field
    assert await stored(transport) == []


async def test_an_engine_that_is_away_is_a_503(transport: MemoryTransport, http: httpx.AsyncClient) -> None:
    """One event or all of a batch."""
    await transport.close()
    assert (await http.post(PATH, json=CHANGE)).status_code == 503
    answer = await http.post(PATH, json=[CHANGE])
    assert (answer.status_code, answer.json()["results"][0]["error"]["code"]) == (503, "unavailable")


@pytest.mark.parametrize("mode", ["binary", "structured", "batched"])
async def test_cloudevents_of_every_mode_keep_all_they_have(
    transport: MemoryTransport, http: httpx.AsyncClient, mode: str
) -> None:
    """Attributes, extensions and data come back as they were."""
    more = {"subject": 'é ü%"', "time": "2026-01-31T12:00:00.5+01:00", "myextension": "x y"}
    event: dict[str, Any] = {**ATTRIBUTES, **more, "datacontenttype": "application/json", "data": CHANGE}
    match mode:
        case "binary":
            headers = {f"ce-{name}": encode_header(value) for name, value in (ATTRIBUTES | more).items()}
            answer = await http.post(PATH, json=CHANGE, headers=headers)
        case "structured":
            headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
            answer = await http.post(PATH, content=msgspec.json.encode(event), headers=headers)
        case _:
            headers = {"content-type": "application/cloudevents-batch+json"}
            answer = await http.post(PATH, content=msgspec.json.encode([event]), headers=headers)
    assert answer.status_code == 201, answer.text
    (payload,) = await stored(transport)
    back = msgspec.json.decode(msgspec.json.encode(to_structured("events.audit.change", payload)))
    assert back == event
    assert msgspec.json.decode(payload)["ts"] == 1_769_857_200_500


async def test_the_same_cloudevent_twice_is_one_and_another_source_is_another(
    transport: MemoryTransport, http: httpx.AsyncClient
) -> None:
    """Source and id together name a CloudEvent."""
    headers = {"content-type": "application/cloudevents+json"}
    for source in ("/a", "/a", "/b"):
        event = ATTRIBUTES | {"source": source, "data": CHANGE}
        assert (await http.post(PATH, content=msgspec.json.encode(event), headers=headers)).status_code == 201
    assert len(await stored(transport)) == 2


async def test_binary_data_is_kept_where_the_schema_lets_it(
    transport: MemoryTransport, http: httpx.AsyncClient
) -> None:
    """As bytes."""
    headers = {f"ce-{name}": value for name, value in ATTRIBUTES.items()} | {"content-type": "image/png"}
    answer = await http.post("/v1/events/events.system.picture", content=b"\x89PNG\x00", headers=headers)
    assert answer.status_code == 201, answer.text
    (payload,) = await stored(transport, "system.picture")
    assert to_structured("x", payload) | {"data_base64": None} == {
        **{name: msgspec.Raw(msgspec.json.encode(value)) for name, value in ATTRIBUTES.items()},
        "datacontenttype": msgspec.Raw(b'"image/png"'),
        "data_base64": None,
    }
    assert (await http.post(PATH, content=b"x", headers=headers)).status_code == 400
