"""The names of all metrics, in one place (Prometheus; ntfy's own names follow ntfy-http-api section 6.1)."""

import os
from typing import Final

from prometheus_client import (
    REGISTRY,
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


def _count(name: str, meaning: str) -> Gauge:
    """What only grows, under ntfy's name: a counter's name would end in ``_total`` here."""
    return Gauge(name, meaning, multiprocess_mode="sum")


published: Final = _count("ntfy_messages_published_success", "Messages published and confirmed by the engine")
publish_failures: Final = _count("ntfy_messages_published_failure", "Publish requests that were refused or failed")
unified_push_published: Final = _count("ntfy_unifiedpush_published_success", "UnifiedPush messages published")
matrix_published: Final = _count("ntfy_matrix_published_success", "Messages that the Matrix gateway published")
matrix_failures: Final = _count("ntfy_matrix_published_failure", "Requests to the Matrix gateway that failed")
calls_failed: Final = _count("ntfy_calls_made_failure", "Phone calls that messages asked for: none is made here")
_count("ntfy_calls_made_success", "Phone calls made: none, ever")
_count("ntfy_firebase_published_success", "Messages forwarded to Firebase: none, ever")
_count("ntfy_firebase_published_failure", "Messages that Firebase did not take: none, as none are forwarded")
publish_milliseconds: Final = Gauge(
    "ntfy_message_publish_duration_ms", "How long the last publish took", multiprocess_mode="livemostrecent"
)
ntfy_requests: Final = Counter("ntfy_http_requests", "Answered requests", ["http_code", "ntfy_code", "http_method"])
cached_messages: Final = Gauge(
    "ntfy_messages_cached_total", "Messages that are stored, about a minute ago", multiprocess_mode="livemostrecent"
)
topics: Final = Gauge("ntfy_topics_total", "Topics in use", multiprocess_mode="livemax")
subscribers: Final = Gauge("ntfy_subscribers_total", "Open streams", multiprocess_mode="livesum")
followed_topics: Final = Gauge(
    "gbe_notify_followed_topics", "Topics received from the engine for live subscribers", multiprocess_mode="livesum"
)
visitors: Final = Gauge("ntfy_visitors_total", "Visitors remembered", multiprocess_mode="livemax")
users: Final = Gauge("ntfy_users_total", "Users of notifications", multiprocess_mode="livemax")
auth_failures: Final = Counter(
    "gbe_notify_auth_failures", "Requests refused for wrong credentials, or too many of them"
)
emails_sent: Final = Gauge("ntfy_emails_sent_success", "Mails handed to the mail server", multiprocess_mode="sum")
emails_failed: Final = Gauge("ntfy_emails_sent_failure", "Mails that were given up", multiprocess_mode="sum")
emails_received: Final = Gauge("ntfy_emails_received_success", "Mails that became messages", multiprocess_mode="sum")
emails_refused: Final = Gauge("ntfy_emails_received_failure", "Mails that were refused", multiprocess_mode="sum")
pushes_sent: Final = Counter("gbe_notify_web_pushes_sent", "Messages that push services took for browsers")
pushes_failed: Final = Counter("gbe_notify_web_pushes_failed", "Messages for browsers that were given up")
delivered: Final = Counter("gbe_notify_messages_delivered", "Messages handed to streams, one for each stream")
streams_given_up: Final = Counter(
    "gbe_notify_streams_given_up", "Streams closed by the server, nearly always because their client read too slowly"
)
files_expired: Final = Counter("gbe_notify_files_expired", "Attachments removed by this process because they expired")
files_size: Final = Gauge(
    "ntfy_attachments_total_size", "Bytes of attachments that have not expired", multiprocess_mode="livemostrecent"
)
engine_up: Final = Gauge("gbe_engine_up", "Whether the engine answers", multiprocess_mode="livemostrecent")
engine_restarts: Final = Gauge("gbe_engine_restarts", "Restarts of the embedded engine", multiprocess_mode="max")

task_retries: Final = Counter(
    "gbe_task_retries", "Tasks returned to their queue after an attempt that failed, timed out or was lost", ["type"]
)
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
task_ends: Final = Counter(
    "gbe_task_ends", "Attempts that are over, and tasks that a sweeper or a cancel ended", ["type", "outcome"]
)
task_wait_seconds: Final = Histogram(
    "gbe_task_wait_seconds", "From the submit of a task to the start of an attempt", ["type"], buckets=_LATENCY_BUCKETS
)
task_run_seconds: Final = Histogram(
    "gbe_task_run_seconds",
    "How long attempts ran",
    ["type"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800),
)

dead_letters: Final = Counter("gbe_dead_letters", "Failures for good that were indexed", ["domain"])
dead_letter_moves: Final = Counter(
    "gbe_dead_letter_moves",
    "Dead letters that operators redrove or discarded through this process, and those where it failed",
    ["domain", "result"],
)
schedule_fires: Final = Counter(
    "gbe_schedule_fires", "Starts of schedules, by what brought them about and what came of it", ["trigger", "outcome"]
)
schedule_misses: Final = Counter("gbe_schedule_misses", "Due times that passed without a start, by policy")
schedule_late_seconds: Final = Histogram(
    "gbe_schedule_late_seconds",
    "From a due time to its start",
    buckets=(0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86_400),
)


archive_messages: Final = Counter("gbe_archive_messages", "Messages confirmed in the archive", ["domain"])
archive_bytes: Final = Counter("gbe_archive_payload_bytes", "Their payload", ["domain"])
archive_batches: Final = Counter("gbe_archive_batches", "Batches confirmed in the archive", ["domain"])
archive_failures: Final = Counter(
    "gbe_archive_failures", "Batches that could not be written, and are retried", ["domain"]
)
retention_removed: Final = Counter(
    "gbe_retention_removed", "Messages that the sweeper removed because their stream keeps them no longer", ["stream"]
)
archive_waiting: Final = Gauge(
    "gbe_archive_waiting", "Messages handed to the archiver, not archived yet", multiprocess_mode="livemostrecent"
)
archive_oldest: Final = Gauge(
    "gbe_archive_oldest_waiting_seconds", "Age of the oldest of them", multiprocess_mode="livemostrecent"
)
event_deliveries: Final = Counter(
    "gbe_event_deliveries", "What became of events that handlers were given", ["group", "outcome"]
)
event_handle_seconds: Final = Histogram(
    "gbe_event_handle_seconds", "How long handlers of events took", ["group"], buckets=_LATENCY_BUCKETS
)


def serve_alone(host: str, port: int) -> None:
    """Answer ``/metrics`` on an address of its own, in a thread; for programs without an HTTP server."""
    start_http_server(port, host, _registry())


def render() -> bytes:
    """Everything in the Prometheus text format; with several workers, of all of them."""
    return generate_latest(_registry())


def _registry() -> CollectorRegistry:
    if not os.environ.get(MULTIPROCESS_DIR):
        return REGISTRY
    registry = CollectorRegistry()
    _multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def worker_ended(pid: int) -> None:
    """Forget the gauges of a worker process that is gone."""
    if os.environ.get(MULTIPROCESS_DIR):
        _multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def count_letter(domain: str) -> None:
    """A dead letter was indexed."""
    dead_letters.labels(domain).inc()


def count_letter_move(domain: str, result: str) -> None:
    """A dead letter was redriven or discarded, or could not be."""
    dead_letter_moves.labels(domain, result).inc()


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
        if outcome == "retried":
            task_retries.labels(task_type).inc()


class SweepMetrics:
    """Counts what a sweeper does to tasks whose worker could not."""

    def returned(self, task_type: str) -> None:
        """A lost task is tried once more."""
        task_retries.labels(task_type).inc()

    def failed(self, task_type: str) -> None:
        """A lost or late task has failed."""
        task_ends.labels(task_type, "failed").inc()


class ScheduleMetrics:
    """Counts what schedules do."""

    def fired(self, trigger: str, outcome: str, late: float) -> None:
        """Something was started, or could not be."""
        schedule_fires.labels(trigger, outcome).inc()
        if trigger == "time":
            schedule_late_seconds.observe(late)

    def missed(self, count: int) -> None:
        """Due times passed without a start."""
        schedule_misses.inc(count)


def submitted(task_type: str) -> None:
    """A task is stored."""
    tasks_submitted.labels(task_type).inc()


def cancelled(task_type: str) -> None:
    """A task is cancelled."""
    task_ends.labels(task_type, "cancelled").inc()


class ArchiveMetrics:
    """Counts what an archiver does."""

    def archived(self, domain: str, messages: int, payload_bytes: int) -> None:
        """A batch is confirmed."""
        archive_messages.labels(domain).inc(messages)
        archive_bytes.labels(domain).inc(payload_bytes)
        archive_batches.labels(domain).inc()

    def failed(self, domain: str) -> None:
        """A batch could not be written."""
        archive_failures.labels(domain).inc()

    def waiting(self, messages: int, oldest_seconds: float) -> None:
        """So much was handed out and is not archived yet."""
        archive_waiting.set(messages)
        archive_oldest.set(oldest_seconds)


class EventMetrics:
    """Counts what the handlers of events do."""

    def handled(self, group: str, outcome: str, seconds: float) -> None:
        """A delivery is over: ``ok``, ``failed``, ``dead`` or ``invalid``."""
        event_deliveries.labels(group, outcome).inc()
        event_handle_seconds.labels(group).observe(seconds)


def count_mail(sent: bool) -> None:
    """One mail more that was handed over, or given up."""
    (emails_sent if sent else emails_failed).inc()


def count_incoming_mail(accepted: bool) -> None:
    """One mail more that became a message, or was refused."""
    (emails_received if accepted else emails_refused).inc()


def count_push(sent: bool) -> None:
    """One message more for a browser that was taken, or given up."""
    (pushes_sent if sent else pushes_failed).inc()
