"""Refused requests are told, a flood of them in few events."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.waiting import eventually

from gbe.events.publisher import EventPublisher
from gbe.http.app import build_application
from gbe.http.config import HttpConfig
from gbe.http.refusals import MOST, Refusals
from gbe.schemas.events.auth import AuthFailure
from gbe.schemas.events.registry import EventRegistry
from gbe.transport.memory import MemoryTransport

SUBJECT = "gbe.events.auth.failure"
TOKEN = "0123456789abcdef"


async def told(transport: MemoryTransport) -> list[AuthFailure]:
    registry = EventRegistry()
    stored = await transport.read(SUBJECT)
    return [registry.decode("events.auth.failure", message.envelope.payload) for message in stored]


@pytest.fixture
async def refusals(transport: MemoryTransport) -> AsyncIterator[Refusals]:
    refusals = Refusals(EventPublisher(transport, "gbe"), pause=3600)
    yield refusals
    await refusals.close()


async def test_the_first_refusal_is_told_at_once(transport: MemoryTransport, refusals: Refusals) -> None:
    """Nobody waits for the next round."""
    refusals.note("10.0.0.1/32", "/v1/tasks", "no valid API token")
    await eventually(lambda: told(transport), "the event")
    (event,) = await told(transport)
    assert (event.client, event.target, event.reason, event.count) == (
        "10.0.0.1/32",
        "/v1/tasks",
        "no valid API token",
        1,
    )


async def test_a_flood_is_a_few_events_that_count_all_of_it(transport: MemoryTransport, refusals: Refusals) -> None:
    """However many clients there are; what still waits is told at the end."""
    refusals.note("10.0.0.1/32", "/first", "no valid API token")
    await eventually(lambda: told(transport), "the first event")
    for number in range(5000):
        refusals.note(f"10.0.{number % 100}.1/32", "/flood", "no valid API token")
        if number % 1000 == 0:
            await asyncio.sleep(0)
    assert len(await told(transport)) == 1
    await refusals.close()
    events = (await told(transport))[1:]
    assert len(events) == MOST + 1
    assert sum(event.count for event in events) == 5000
    assert [event.count for event in events if event.client is None] == [5000 - 50 * MOST]


async def test_what_a_stranger_asked_for_is_always_a_valid_event(
    transport: MemoryTransport, refusals: Refusals
) -> None:
    """Long paths are cut, halves of characters replaced."""
    refusals.note("10.0.0.1/32", "/" + "\ud800" * 10_000, "no valid API token")
    await eventually(lambda: told(transport), "the event")
    assert (await told(transport))[0].target == "/" + "?" * 255


async def test_an_engine_that_is_away_stops_nobody(
    transport: MemoryTransport, refusals: Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""
    await transport.close()
    refusals.note("10.0.0.1/32", "/v1/tasks", "no valid API token")
    await refusals.close()
    assert "event not published" in caplog.text


@pytest.mark.parametrize(
    ("token", "headers", "status", "reason"),
    [
        (TOKEN, {}, 401, "no valid API token"),
        (TOKEN, {"Authorization": "Bearer guess"}, 401, "no valid API token"),
        (None, {"Origin": "https://evil.example"}, 403, "not a program of this machine"),
    ],
)
async def test_refused_requests_of_the_api_are_events_without_what_was_tried(
    transport: MemoryTransport, token: str | None, headers: dict[str, str], status: int, reason: str
) -> None:
    """Who asked, and for what."""
    application = build_application(transport, http=HttpConfig(api_token=token))
    asgi = httpx.ASGITransport(application, client=("10.1.2.3" if token else "127.0.0.1", 1234))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=asgi, base_url="http://gbe") as http:
        answer = await http.get("/v1/openapi.json", headers=headers)
        assert answer.status_code == status
    await application.close()
    (event,) = await told(transport)
    assert (event.reason, event.target, event.count) == (reason, "/v1/openapi.json", 1)
    assert "guess" not in (await transport.read(SUBJECT))[0].envelope.payload.decode()


async def test_requests_that_may_are_not_told(transport: MemoryTransport) -> None:
    application = build_application(transport, http=HttpConfig(api_token=TOKEN))
    asgi = httpx.ASGITransport(application, client=("10.1.2.3", 1234))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=asgi, base_url="http://gbe") as http:
        answer = await http.get("/v1/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
    await application.close()
    assert await told(transport) == []
