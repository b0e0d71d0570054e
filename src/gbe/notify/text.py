"""Text as it arrives from strangers: white space, invalid bytes, NULs and RFC 2047 words (sections 2 and 3.1)."""

import binascii
from typing import Final

# what Go's unicode.IsSpace knows; Python's own strip() would also take the separators U+001C to U+001F
WHITE_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)

_CHARSETS: Final = {"utf-8": "utf-8", "iso-8859-1": "latin-1", "us-ascii": "ascii"}
_LONGEST_CHARSET: Final = max(map(len, _CHARSETS))
_WORD_START: Final = "=?"
_WORD_END: Final = "?="

_NO_LINES: Final[dict[int, int | None]] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029), 0x20),
    0: None,
    ord("\t"): ord("\t"),
}
_LINES: Final[dict[int, int | None]] = {**_NO_LINES, ord("\r"): None, ord("\n"): ord("\n")}


def from_bytes(raw: bytes) -> str:
    """``raw`` as text: what is not UTF-8 becomes U+FFFD, NULs vanish."""
    return without_nul(str(raw, "utf-8", "replace"))


def without_nul(text: str) -> str:
    """``text`` without NULs."""
    return text.replace("\0", "") if "\0" in text else text


def clean(text: str) -> str:
    """Text out of JSON: half of a surrogate pair becomes U+FFFD, NULs vanish."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return without_nul(text)


def trim(text: str) -> str:
    """``text`` without white space at both ends."""
    return text.strip(WHITE_SPACE)


def one_line(text: str) -> str:
    """``text`` with blanks for control characters and line breaks, tabs excepted, and without NULs."""
    return text.translate(_NO_LINES)


def split_list(text: str) -> list[str]:
    """The pieces of a comma list, each trimmed, empty ones dropped; order and duplicates kept."""
    return [piece for piece in map(trim, text.split(",")) if piece]


def decode_words(text: str, *, multiline: bool = False) -> str:
    """Replace the RFC 2047 words in ``text``, such as ``=?UTF-8?B?w6RwZmVs?=``.

    Charsets are utf-8, iso-8859-1 and us-ascii; what cannot be decoded stays as written. White space between two
    words disappears. A word can smuggle in what a header cannot hold, so its control characters become blanks, of
    which ``multiline`` spares the newline. Takes time linear in the length of ``text`` and never raises.
    """
    start = text.find(_WORD_START)
    if start < 0:
        return text
    pieces: list[str] = []
    done = 0  # everything before it is in `pieces`
    after_word = False
    while start >= 0:
        charset_end = text.find("?", start + 2, start + 3 + _LONGEST_CHARSET)
        body = charset_end + 3  # charset?e?body
        if charset_end < 0 or text[charset_end + 2 : body] != "?":
            start = text.find(_WORD_START, start + 2)
            continue
        end = text.find(_WORD_END, body)
        if end < 0:
            break  # no word can end any more, so there is none
        word = _decode_word(text[start + 2 : charset_end], text[charset_end + 1], text[body:end])
        if word is not None:
            between = text[done:start]
            if not after_word or between.strip(" \t\r\n"):
                pieces.append(between)
            pieces.append(word.translate(_LINES if multiline else _NO_LINES))
            done = end + 2
            after_word = True
        start = text.find(_WORD_START, end + 2)
    pieces.append(text[done:])
    return "".join(pieces)


def _decode_word(charset: str, encoding: str, body: str) -> str | None:
    """The text of one word, or ``None`` if it cannot be decoded."""
    codec = _CHARSETS.get(charset.lower())
    if codec is None or not body.isascii():
        return None
    try:
        if encoding in "bB":
            raw = binascii.a2b_base64(body, strict_mode=True) if body else b""
        elif encoding in "qQ":
            raw = _decode_q(body)
        else:
            return None
    except ValueError:
        return None
    return raw.decode(codec, "replace")


def _decode_q(body: str) -> bytes:
    """Bytes of the Q encoding: ``_`` is a blank, ``=XX`` a byte. Raises ``ValueError``."""
    head, *escaped = body.replace("_", " ").encode("ascii").split(b"=")
    pieces = [head]
    for piece in escaped:
        pieces += (binascii.unhexlify(piece[:2]), piece[2:])
        if len(piece) < 2:
            raise ValueError("an escape takes two hexadecimal digits")
    return b"".join(pieces)
