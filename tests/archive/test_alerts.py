"""What an archiver tells operators: once for each trouble, and everything that has happened."""

import msgspec

from gbe.archive.reports import Reports
from gbe.clock import SystemClock
from gbe.schemas.system import Fault
from gbe.transport.base import StreamConfig
from gbe.transport.memory import MemoryTransport

ERRORS = "gbe.events.system.error"


async def test_a_trouble_is_told_once_until_it_is_over() -> None:
    """However long it takes: a week without S3 is one alert. What is lost is told each time."""
    async with MemoryTransport() as transport:
        reports = Reports(transport, "gbe", "a1", SystemClock())

        async def told() -> list[str]:
            found = await transport.read(ERRORS)
            return [msgspec.json.decode(one.envelope.payload, type=Fault).error for one in found]

        await reports.alert("lag", "nobody hears it: there is no stream yet")
        await transport.ensure_stream(StreamConfig(name="gbe-events", subjects=("gbe.events.system.*",)))
        for number in range(3):
            await reports.alert("lag", f"{number} s behind")
            await reports.tell(f"{number} messages are gone")
        await reports.alert("open", "access is denied")
        assert await told() == [
            "0 s behind",
            "0 messages are gone",
            "1 messages are gone",
            "2 messages are gone",
            "access is denied",
        ]
        reports.is_well("lag")
        for _ in range(2):
            await reports.alert("lag", "behind again")
        assert (await told())[5:] == ["behind again"]
