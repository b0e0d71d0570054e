"""W3C trace context from the current OpenTelemetry span, where the program uses OpenTelemetry, or from a caller."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_caller: ContextVar[str | None] = ContextVar("gbe.caller", default=None)


@contextmanager
def in_trace_of(traceparent: str | None) -> Iterator[None]:
    """What is submitted in the block belongs to a caller's trace, where there is no span of our own.

    Around a submit only: what a longer block starts in the background would keep the trace for good.
    """
    token = _caller.set(traceparent)
    try:
        yield
    finally:
        _caller.reset(token)


def current_traceparent() -> str | None:
    """The ``traceparent`` of the current span, else of the caller (``in_trace_of``), or ``None``.

    OpenTelemetry is looked for, not imported: a program that traces has loaded it, and one that does not should not
    pay for it.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return _caller.get()
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return _caller.get()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
