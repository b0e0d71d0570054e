"""gbe: notifications, events and durable tasks over one swappable message transport."""

__version__ = "0.1.0"
