"""Programs tell when they start and stop, and nothing depends on it."""

import pytest

from gbe.cli.presence import announced
from gbe.schemas.events.lifecycle import Lifecycle
from gbe.schemas.events.registry import EventRegistry
from gbe.transport.memory import MemoryTransport


async def told(transport: MemoryTransport, what: str) -> list[Lifecycle]:
    subject = f"events.lifecycle.worker.{what}"
    stored = await transport.read(f"gbe.{subject}")
    return [EventRegistry().decode(subject, message.envelope.payload) for message in stored]


async def test_the_start_is_told_before_the_work_and_the_end_after_it(transport: MemoryTransport) -> None:
    """By the same instance."""
    async with announced(transport, "gbe", "worker", {"types": ["mail"]}):
        (started,) = await told(transport, "started")
        assert await told(transport, "stopped") == []
    (stopped,) = await told(transport, "stopped")
    assert (started.instance, started.details) == (stopped.instance, {"types": ["mail"]})
    assert stopped.message is None


async def test_an_error_that_ends_a_program_is_in_the_event(transport: MemoryTransport) -> None:
    """And is raised as before."""
    with pytest.raises(OSError, match="disk full"):
        async with announced(transport, "gbe", "worker"):
            raise OSError("disk full")
    (stopped,) = await told(transport, "stopped")
    assert stopped.message == "OSError: disk full"


async def test_an_engine_that_is_away_stops_no_program(
    transport: MemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""
    ran = False
    async with announced(transport, "gbe", "worker"):
        await transport.close()
        ran = True
    assert ran
    assert "event not published" in caplog.text
