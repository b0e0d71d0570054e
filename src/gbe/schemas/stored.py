"""Values of a record's fields, which the state store holds as bytes: ``x-stored`` of the schemas.

What cannot be read has the same class here as in ``schemas/README.md``: a value that is no text, no digits or no JSON
is of another ``type``, one that is too large is out of ``bound``, one that is not in a list of words is no ``enum``.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from gbe.errors import BrokenRecordError
from gbe.schemas.documents import fault_of
from gbe.schemas.fields import MAX_INTEGER

Decoders = Mapping[str, Callable[[bytes], Any]]
"""By the name of the field. One that cannot read a value raises ``ValueError`` or ``KeyError``."""

_tables: Final = msgspec.json.Decoder(dict[str, str])
_LONGEST: Final = len(str(MAX_INTEGER))


class _TypeError(ValueError):
    """Other bytes than the field's kind has."""


class _BoundError(ValueError):
    """Too large a number."""


def read(what: str, fields: Mapping[str, bytes], decoders: Decoders, required: Collection[str]) -> dict[str, Any]:
    """The values of the fields that are known; others are left alone.

    Args:
        what: whose record it should be, for the error: ``a task's record``.

    Raises:
        BrokenRecordError: the first field that is not what it should be, or is not there.
    """
    values: dict[str, Any] = {}
    name = ""
    try:
        for name, value in fields.items():
            decode = decoders.get(name)
            if decode is not None:
                values[name] = decode(value)
    except (_TypeError, UnicodeDecodeError) as exc:
        raise BrokenRecordError(what, name, "type", str(exc)) from exc
    except _BoundError as exc:
        raise BrokenRecordError(what, name, "bound", str(exc)) from exc
    except (ValueError, KeyError) as exc:
        raise BrokenRecordError(what, name, "enum", str(exc)) from exc
    for name in required:
        if name not in values:
            raise BrokenRecordError(what, name, "missing", "it is required")
    return values


def decimal(value: bytes) -> int:
    """ASCII digits and nothing else, at most 63 bits."""
    if not value.isdigit():
        raise _TypeError(f"expected decimal digits, got {value[:40]!r}")
    if len(value.lstrip(b"0")) > _LONGEST or (number := int(value)) > MAX_INTEGER:
        raise _BoundError(f"expected at most {MAX_INTEGER}")
    return number


def one_of(words: Mapping[str, Any]) -> Callable[[bytes], Any]:
    """One of a list of words, as what it stands for."""
    known = {text.encode(): value for text, value in words.items()}

    def read_word(value: bytes) -> Any:
        found = known.get(value)
        if found is None:
            raise ValueError(f"{value.decode()[:40]!r}; expected one of {', '.join(words)}")
        return found

    return read_word


def table(value_of: Callable[[str], Any]) -> Callable[[bytes], dict[int, Any]]:
    """A JSON object by number, whose values are texts; ``value_of`` makes something of each."""

    def read_table(value: bytes) -> dict[int, Any]:
        fault = fault_of(value)
        if fault is not None:
            raise _TypeError(fault)
        try:
            return {int(key): value_of(item) for key, item in _tables.decode(value).items()}
        except ValueError as exc:
            raise _TypeError(str(exc)) from exc

    return read_table


def check_json(what: str, name: str, value: bytes) -> bytes:
    """A field that holds any JSON, as it is, for who needs its meaning.

    Raises:
        BrokenRecordError: it is not one JSON document.
    """
    fault = fault_of(value)
    if fault is not None:
        raise BrokenRecordError(what, name, "type", fault)
    return value
