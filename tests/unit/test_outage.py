"""What the log says of an engine that a watch waits for."""

import logging

import pytest

from gbe.clock import ManualClock
from gbe.outage import PAUSE, Outage

LOGGER = logging.getLogger("gbe.test.outage")


def test_an_outage_is_told_at_once_then_now_and_then_and_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand failures in a minute are seven lines; the second outage within a moment is not told anew."""
    caplog.set_level("INFO", LOGGER.name)
    clock = ManualClock()
    outage = Outage(LOGGER, "watch waits", "it goes on", clock=clock.monotonic)
    outage.over()
    assert caplog.records == []
    for _ in range(1000):
        outage.failed(OSError("gone"))
        clock.advance(0.0625)
    waits = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [vars(record)["failures"] for record in waits] == [1, *[int(PAUSE / 0.0625)] * 6]
    assert waits[0].getMessage() == "watch waits: gone"
    caplog.clear()
    outage.over()
    outage.over()
    outage.failed(OSError("gone again"))
    outage.over()
    assert [record.getMessage() for record in caplog.records] == ["it goes on"]
    clock.advance(PAUSE)
    outage.failed(OSError("and again"))
    assert "and again" in caplog.text
