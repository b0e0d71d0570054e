"""Parameters from events. A place is ``subject``, ``id``, ``timestamp`` (unix ms), ``payload``, or a path into it such
as ``payload.host.name``; what an event does not have there is left out."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gbe.envelope import Envelope

MAX_PATH: Final = 200
_WORDS: Final = ("subject", "id", "timestamp", "payload")


def check_path(value: object) -> str:
    """Return a place in an event; raise ``ValueError`` for what is none."""
    path = str(value)
    first, _, rest = path.partition(".")
    if len(path) > MAX_PATH or first not in _WORDS or (rest and first != "payload") or "" in path.split("."):
        raise ValueError("subject, id, timestamp, payload, or a path into it such as payload.host.name")
    return path


def content_of(payload: bytes) -> object:
    """A payload as JSON, or as text if it is none.

    Raises:
        ValueError: it is neither.
    """
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return payload.decode()
        except UnicodeDecodeError:
            raise ValueError("the payload is neither JSON nor text") from None


def params_of(envelope: Envelope, content: object, places: Mapping[str, str]) -> dict[str, Any]:
    """What an event gives of the parameters."""
    whole = {"subject": envelope.subject, "id": envelope.id, "timestamp": envelope.timestamp, "payload": content}
    found: dict[str, Any] = {}
    for name, path in places.items():
        value: object = whole
        for token in path.split("."):
            value = value.get(token, _NOTHING) if isinstance(value, Mapping) else _NOTHING
        if value is not _NOTHING:
            found[name] = value
    return found


def event_id(envelope: Envelope, content: object) -> str:
    """What an event is recognised by when it comes twice: the id of its payload, or of its message."""
    own = content.get("id") if isinstance(content, Mapping) else None
    return own if isinstance(own, str) and 0 < len(own) <= 100 and own.isprintable() else envelope.id


_NOTHING: Final = object()
