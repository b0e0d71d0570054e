"""``html``, ``js`` and ``urlquery``, as Go escapes."""

from typing import Final
from urllib.parse import quote_plus

_HTML: Final = str.maketrans({"<": "&lt;", ">": "&gt;", "&": "&amp;", "'": "&#39;", '"': "&#34;", "\0": "\ufffd"})
_JS: Final[dict[int, str]] = {
    **{code: f"\\u{code:04X}" for code in (*range(0x20), 0x7F, *map(ord, "<>&="))},
    ord("\\"): "\\\\",
    ord("'"): "\\'",
    ord('"'): '\\"',
}


def html(text: str) -> str:
    """Text within HTML, attributes included."""
    return text.translate(_HTML)


def js(text: str) -> str:
    """Text within a JavaScript string."""
    return text.translate(_JS)


def urlquery(text: str) -> str:
    """Text within the query of a URL."""
    return quote_plus(text)
