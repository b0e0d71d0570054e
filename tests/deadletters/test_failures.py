"""What a letter tells of the failure: type, text, first and last moment, fingerprint."""

import asyncio
from contextlib import suppress

from tests.deadletters.conftest import Desk
from tests.waiting import eventually, first

from gbe.transport.base import EARLIEST, ConsumeOptions, Delivery


async def test_a_letter_names_what_the_handler_raised(desk: Desk) -> None:
    """The last error, and when the first one was."""
    moments: list[int] = []
    subject = f"{desk.ns}.events.api.request"

    async def handle(delivery: Delivery) -> None:
        moments.append(delivery.attempt)
        raise KeyError(f"order-{delivery.attempt}")

    message_id = await desk.transport.publish(subject, b"x")
    async with desk.transport.consume(subject, "g", ConsumeOptions(start=EARLIEST, max_deliver=3)) as deliveries:
        running = asyncio.create_task(deliveries.run(handle))

        async def is_there() -> bool:
            return bool((await desk.letters.page()).letters)

        await eventually(is_there, "the letter", interval=0.05)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    found = await desk.letters.get(f"{message_id}.g")
    assert moments == [1, 2, 3]
    assert (found.error_type, found.deliveries) == ("KeyError", 3)
    assert found.reason == "not acknowledged in 3 deliveries: KeyError: 'order-3'"
    assert found.first_failed_at <= found.last_failed_at


async def test_alike_failures_share_a_fingerprint(desk: Desk) -> None:
    """Ids and numbers in the reason do not matter; the type and the subject do."""
    for subject, reason, kind in (
        ("events.api.request", "order 17 is unknown", "UnknownOrder"),
        ("events.api.request", "order 9981 is unknown", "UnknownOrder"),
        ("events.api.request", "order 17 is unknown", "Timeout"),
        ("events.api.error", "order 17 is unknown", "UnknownOrder"),
    ):
        await desk.transport.publish(f"{desk.ns}.{subject}", b"x")
        options = ConsumeOptions(start=EARLIEST)
        async with desk.transport.consume(f"{desk.ns}.{subject}", "g", options) as deliveries:
            await (await first(aiter(deliveries))).dead_letter(reason, error_type=kind)
    groups = await desk.letters.groups()
    assert sorted(group.count for group in groups) == [1, 1, 2]
    assert {group.error_type for group in groups} == {"UnknownOrder", "Timeout"}
