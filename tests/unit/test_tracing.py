"""The current OpenTelemetry span is found without importing OpenTelemetry."""

import subprocess
import sys

from opentelemetry.sdk.trace import TracerProvider

from gbe.envelope import is_traceparent
from gbe.tracing import current_traceparent


def test_the_current_span_becomes_a_traceparent() -> None:
    """Trace id, span id and flags are those of the span, in the format of W3C Trace Context."""
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("publish") as span:
        found = current_traceparent()
    context = span.get_span_context()
    assert found is not None
    assert is_traceparent(found)
    assert found.split("-")[1:3] == [f"{context.trace_id:032x}", f"{context.span_id:016x}"]


def test_without_a_span_there_is_none() -> None:
    assert current_traceparent() is None


def test_a_program_without_opentelemetry_does_not_load_it() -> None:
    """Nothing of gbe imports it: who does not trace does not pay."""
    code = (
        "import sys, gbe.http.app, gbe.transport.open; from gbe.tracing import current_traceparent; "
        "assert current_traceparent() is None; assert not any(m.startswith('opentelemetry') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
