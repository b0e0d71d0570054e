"""W3C trace context from the current OpenTelemetry span, where the program uses OpenTelemetry."""

import sys


def current_traceparent() -> str | None:
    """The ``traceparent`` of the current span, or ``None`` without a span.

    OpenTelemetry is looked for, not imported: a program that traces has loaded it, and one that does not should not
    pay for it.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
