"""Looking up a request's options in its headers and its query string (section 3.1)."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from gbe.notify.options import ALL, BY_NAME, PRIORITY, Option
from gbe.notify.text import decode_words, from_bytes, trim

MAX_QUERY_PARAMETERS: Final = 200  # more than all options with all their names; what follows is ignored

_NOTHING: Final = dict.fromkeys(ALL, "")
_TRUE: Final = frozenset({"1", "yes", "true"})
# RFC 9218, sent by browsers and content networks: not about notifications
_URGENCY: Final = re.compile(r"u=[0-9]+(?:,[ \t]*[id])?")


class Parameters:
    """The options of one request. Nothing is read before the first question.

    Args:
        headers: names in lower case, as ASGI has them; any header beats the query string.
        query: the raw query string, without the question mark. Names in it are case-sensitive.
    """

    __slots__ = ("_found", "_headers", "_query")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]] = (), query: bytes = b"") -> None:
        self._headers = headers if isinstance(headers, (list, tuple)) else list(headers)
        self._query = query
        self._found: dict[Option, str] | None = None

    def get(self, option: Option) -> str:
        """The value, trimmed; an empty string if it is not given or is empty."""
        if self._found is None:
            self._found = self._read()
        return self._found[option]

    def getter(self) -> Callable[[Option], str]:
        """``get`` for many questions in a row."""
        if self._found is None:
            self._found = self._read()
        return self._found.__getitem__

    def flag(self, option: Option, *, default: bool) -> bool:
        """The value as a boolean: ``1``, ``yes`` and ``true`` in any case are true, every other word is false."""
        value = self.get(option)
        return is_true(value) if value else default

    def query_value(self, *names: str) -> str:
        """The first non-empty query parameter of these names, for what is read from the query string alone."""
        values: dict[bytes, str] = {}
        for name, value in _query_pairs(self._query):
            values.setdefault(name, value)
        return next(filter(None, (values.get(name.encode("ascii"), "") for name in names)), "")

    def with_headers(self, values: Mapping[Option, str]) -> "Parameters":
        """These parameters as if the first-named header of each given option had been sent."""
        # of equals the first one wins, so what is put in front replaces what was there
        added = [(option.names[0].encode("ascii"), value.encode("utf-8")) for option, value in values.items()]
        return Parameters([*added, *self._headers], self._query)

    def _read(self) -> dict[Option, str]:
        best: dict[Option, tuple[int, str]] = {}
        for name, raw in self._headers:
            known = BY_NAME.get(name)
            if known is None:
                continue
            option, rank = known
            value = _header_value(raw, option)
            if value and (option not in best or rank < best[option][0]):
                best[option] = known[1], value
        found = _NOTHING.copy()
        for option, (_, value) in best.items():
            found[option] = value
        if self._query:
            self._add_query(found)
        return found

    def _add_query(self, found: dict[Option, str]) -> None:
        best: dict[Option, tuple[int, str]] = {}
        for name, value in _query_pairs(self._query):
            known = BY_NAME.get(name)
            if known is None or not value:
                continue
            option, rank = known
            if option not in best or rank < best[option][0]:
                best[option] = rank, value
        for option, (_, value) in best.items():
            if not found[option]:
                found[option] = value


def is_true(word: str) -> bool:
    """Whether a word that is not empty means yes; every other one means no."""
    return word.lower() in _TRUE


def _header_value(raw: bytes, option: Option) -> str:
    text = from_bytes(raw)
    if "=?" in text:
        text = decode_words(text, multiline=option.multiline)
    text = trim(text)
    if option is PRIORITY and text.startswith("u=") and _URGENCY.fullmatch(text):
        return ""
    return text


def _query_pairs(query: bytes) -> Iterable[tuple[bytes, str]]:
    for pair in query.split(b"&", MAX_QUERY_PARAMETERS)[:MAX_QUERY_PARAMETERS]:
        name, _, value = pair.partition(b"=")
        yield _unquote(name), trim(from_bytes(_unquote(value)))


def _unquote(raw: bytes) -> bytes:
    raw = raw.replace(b"+", b" ")
    return unquote_to_bytes(raw) if b"%" in raw else raw
