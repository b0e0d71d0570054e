"""A span for each attempt, where the program uses OpenTelemetry (``gbe.tracing``)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def is_tracing() -> bool:
    """Whether the program has loaded OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


@contextmanager
def attempt_span(name: str, traceparent: str | None, attributes: dict[str, Any]) -> Iterator[None]:
    """Run a block within a span that goes on from the submit's trace; a retry carries the number of its attempt.

    Only where ``is_tracing``: OpenTelemetry is looked for, not imported.
    """
    trace: Any = sys.modules["opentelemetry.trace"]
    context, links = None, []
    if traceparent is not None:
        _, trace_id, span_id, flags = traceparent.split("-")[:4]
        origin = trace.SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
        )
        context = trace.set_span_in_context(trace.NonRecordingSpan(origin))
        if attributes.get("gbe.attempt", 1) > 1:
            links = [trace.Link(origin, {"gbe.link": "first attempt"})]
    tracer = trace.get_tracer("gbe.tasks")
    with tracer.start_as_current_span(name, context=context, links=links, attributes=attributes):
        yield
