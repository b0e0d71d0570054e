"""What users need to test their own handlers: the transport in memory, a real back end, and a clock moved by hand."""

from gbe.clock import ManualClock
from gbe.transport.memory import MemoryTransport

__all__ = ["ManualClock", "MemoryTransport"]
