"""A span for each attempt, where the program uses OpenTelemetry (``gbe.tracing``)."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from gbe.envelope import is_traceparent


def is_tracing() -> bool:
    """Whether the program has loaded OpenTelemetry."""
    return "opentelemetry.trace" in sys.modules


class AttemptSpan:
    """The span of one attempt: a child of the submit's, and of a retry with a link to the first attempt.

    Only where ``is_tracing``: OpenTelemetry is looked for, not imported. It begins before the claim, which writes it
    down for the retries to link to; one that is never made ``current`` is not reported.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Any) -> None:
        self._span = span

    @classmethod
    def start(cls, name: str, submit: str | None, first: str | None, attributes: Mapping[str, Any]) -> Self:
        """Begin a span.

        Args:
            name: of the span.
            submit: the ``traceparent`` of the submit.
            first: that of the first attempt, if this is not the first.
            attributes: of the span.
        """
        trace = _trace()
        parent, link = _context_of(submit), _context_of(first)
        context = None if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent))
        links = [] if link is None else [trace.Link(link, {"gbe.link": "first attempt"})]
        tracer = trace.get_tracer("gbe.tasks")
        return cls(tracer.start_span(name, context=context, links=links, attributes=attributes))

    @property
    def traceparent(self) -> str | None:
        """What a retry links to; ``None`` for a span that nobody records."""
        if not self._span.is_recording():
            return None
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @contextmanager
    def current(self) -> Iterator[None]:
        """Run a block within the span, and end the span with it; what the block raises is recorded."""
        with _trace().use_span(self._span, end_on_exit=True):
            yield


def _trace() -> Any:
    return sys.modules["opentelemetry.trace"]


def _context_of(traceparent: str | None) -> Any:
    """What a ``traceparent`` names; ``None`` for none, and for one that is none: it may be another program's."""
    if traceparent is None or not is_traceparent(traceparent):
        return None
    trace = _trace()
    _, trace_id, span_id, flags = traceparent.split("-")[:4]
    return trace.SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
    )
