"""Frames are made once for all subscribers: they must be what the protocols' own parsers read."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from gbe.http.formats import chunk, text_frame


def parsed(data: bytes) -> Frame:
    reader = StreamReader()
    reader.feed_data(data)
    steps = Frame.parse(reader.read_exact, mask=False)
    try:
        next(steps)
    except StopIteration as done:
        frame: Frame = done.value
        assert not len(reader.buffer)
        return frame
    raise AssertionError("the frame is not complete")


@given(
    st.one_of(
        st.text(max_size=300), st.integers(120, 130).map("x".__mul__), st.integers(65_530, 65_540).map("ü".__mul__)
    )
)
def test_a_text_frame_is_read_back_by_the_websocket_library(text: str) -> None:
    """Whole, unmasked and final, in each of the three forms of the length (RFC 6455, section 5.2)."""
    text = text.encode("utf-8", "replace").decode()
    frame = parsed(text_frame(text))
    assert (frame.opcode, frame.fin, bytes(frame.data).decode()) == (Opcode.TEXT, True, text)


@given(st.binary(min_size=1, max_size=5000))
def test_a_chunk_says_its_length_and_ends_with_a_line_break(data: bytes) -> None:
    size, _, rest = chunk(data).partition(b"\r\n")
    assert int(size, 16) == len(data)
    assert rest == data + b"\r\n"
