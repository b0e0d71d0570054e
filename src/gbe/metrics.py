"""The names of all metrics, in one place (Prometheus; ntfy's own names follow ntfy-http-api section 6.1)."""

import os
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client import multiprocess as _multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

MULTIPROCESS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable that lets several worker processes answer for all of them; set before this is imported."""

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

http_requests: Final = Counter("gbe_http_requests", "Answered requests", ["route", "status"])
http_publish_seconds: Final = Histogram(
    "gbe_http_publish_seconds", "From the end of a publish request's body to its answer", buckets=_LATENCY_BUCKETS
)
published: Final = Counter("ntfy_messages_published_success", "Messages published and confirmed by the engine")
publish_failures: Final = Counter("ntfy_messages_published_failure", "Publish requests that were refused or failed")
subscribers: Final = Gauge("ntfy_subscribers_total", "Open streams", multiprocess_mode="livesum")
followed_topics: Final = Gauge(
    "gbe_notify_followed_topics", "Topics received from the engine for live subscribers", multiprocess_mode="livesum"
)
visitors: Final = Gauge("ntfy_visitors_total", "Visitors remembered", multiprocess_mode="livemax")
delivered: Final = Counter("gbe_notify_messages_delivered", "Messages handed to streams, one for each stream")
streams_given_up: Final = Counter(
    "gbe_notify_streams_given_up", "Streams closed by the server, nearly always because their client read too slowly"
)
engine_up: Final = Gauge("gbe_engine_up", "Whether the engine answers", multiprocess_mode="livemostrecent")
engine_restarts: Final = Gauge("gbe_engine_restarts", "Restarts of the embedded engine", multiprocess_mode="max")

tasks_submitted: Final = Counter("gbe_tasks_submitted", "Tasks that this process submitted", ["type"])
task_queue_depth: Final = Gauge(
    "gbe_task_queue_depth", "Signals that wait for a worker", ["type"], multiprocess_mode="livemostrecent"
)
task_oldest_pending: Final = Gauge(
    "gbe_task_oldest_pending_seconds",
    "Age of the oldest signal that waits",
    ["type"],
    multiprocess_mode="livemostrecent",
)
task_starts: Final = Counter("gbe_task_starts", "Attempts that began", ["type"])
task_ends: Final = Counter("gbe_task_ends", "Attempts that are over", ["type", "outcome"])
task_wait_seconds: Final = Histogram(
    "gbe_task_wait_seconds", "From the submit of a task to the start of an attempt", ["type"], buckets=_LATENCY_BUCKETS
)
task_run_seconds: Final = Histogram(
    "gbe_task_run_seconds",
    "How long attempts ran",
    ["type"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800),
)

event_deliveries: Final = Counter(
    "gbe_event_deliveries", "What became of events that handlers were given", ["group", "outcome"]
)
event_handle_seconds: Final = Histogram(
    "gbe_event_handle_seconds", "How long handlers of events took", ["group"], buckets=_LATENCY_BUCKETS
)


def serve_alone(host: str, port: int) -> None:
    """Answer ``/metrics`` on an address of its own, in a thread; for programs without an HTTP server."""
    start_http_server(port, host)


def render() -> bytes:
    """Everything in the Prometheus text format; with several workers, of all of them."""
    if os.environ.get(MULTIPROCESS_DIR):
        registry = CollectorRegistry()
        _multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest()


def worker_ended(pid: int) -> None:
    """Forget the gauges of a worker process that is gone."""
    if os.environ.get(MULTIPROCESS_DIR):
        _multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class TaskMetrics:
    """Counts what a worker does."""

    def started(self, task_type: str, waited: float) -> None:
        """An attempt begins."""
        task_starts.labels(task_type).inc()
        task_wait_seconds.labels(task_type).observe(waited)

    def ended(self, task_type: str, outcome: str, seconds: float) -> None:
        """An attempt is over."""
        task_ends.labels(task_type, outcome).inc()
        task_run_seconds.labels(task_type).observe(seconds)


class EventMetrics:
    """Counts what the handlers of events do."""

    def handled(self, group: str, outcome: str, seconds: float) -> None:
        """A delivery is over: ``ok``, ``failed``, ``dead`` or ``invalid``."""
        event_deliveries.labels(group, outcome).inc()
        event_handle_seconds.labels(group).observe(seconds)
