"""gbe: notifications, events and durable tasks over one swappable message transport."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gbe.app import App
    from gbe.schemas.events.base import Event
    from gbe.tasks.context import TaskContext
    from gbe.tasks.handle import Task
    from gbe.tasks.runner import DoNotRetryError

__all__ = ["App", "DoNotRetryError", "Event", "Task", "TaskContext", "__version__"]
__version__ = "0.1.0"

_HOMES = {
    "App": "gbe.app",
    "DoNotRetryError": "gbe.tasks.runner",
    "Event": "gbe.schemas.events.base",
    "Task": "gbe.tasks.handle",
    "TaskContext": "gbe.tasks.context",
}


def __getattr__(name: str) -> Any:
    """Load a part of the public surface when it is asked for: ``import gbe`` alone costs next to nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'gbe' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
