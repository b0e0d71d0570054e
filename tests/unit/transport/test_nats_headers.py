"""Our reading of header lines says the same as nats-py's own."""

from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from gbe.transport.nats.client import CorrectedClient

NAMES = st.sampled_from([b"Gbe-Id", b" a ", b"a b", b"\xc3\xa4", b"", b"X\t"])
VALUES = st.sampled_from([b" 1", b"\t2 ", b"a:b", b"\xff", b"\xc2\xa0", b""])
ANYTHING = st.binary(max_size=20).filter(lambda line: b"\r" not in line and b"\n" not in line)
LINES = st.lists(ANYTHING | st.tuples(NAMES, VALUES).map(b":".join), max_size=6)


@given(LINES)
def test_header_lines_are_read_as_nats_py_reads_them(lines: list[bytes]) -> None:
    """Whatever another program writes into them."""
    raw = b"\r\n".join(lines) + b"\r\n\r\n"
    ours, theirs = CorrectedClient._parse_header_lines(raw), Client._parse_header_lines(raw)
    printable = {name for name in theirs if name.isprintable() and name}
    assert {name: ours[name] for name in printable} == {name: theirs[name] for name in printable}
    assert set(ours) >= printable
