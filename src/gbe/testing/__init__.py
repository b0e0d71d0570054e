"""What users need to test their own handlers and tasks: real back ends in memory, and a clock moved by hand."""

from gbe.clock import ManualClock
from gbe.testing.tasks import TaskBench, task_bench
from gbe.transport.memory import MemoryTransport

__all__ = ["ManualClock", "MemoryTransport", "TaskBench", "task_bench"]
