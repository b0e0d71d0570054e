"""Publishing as JSON: how a JSON object stands for an ordinary publish request (section 4.8)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gbe.errors import NotifyError
from gbe.notify import options
from gbe.notify.actions import action_fields
from gbe.notify.errors import Refusal
from gbe.notify.options import Option
from gbe.notify.parameters import Parameters
from gbe.notify.text import clean
from gbe.notify.topics import is_topic_name

EMPTY_MESSAGE: Final = "triggered"  # what a message without text says
MAX_BODY_FACTOR: Final = 2  # how much larger than a message the JSON around it may be

_JSON_SPACE: Final = " \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonRequest:
    """An ordinary publish request that means the same as the JSON did.

    Attributes:
        topic: has the form of a topic name; whether it is reserved has not been looked at.
        parameters: those of the request with the keys of the object put before them.
        message: what plays the part of the body, never empty.
    """

    topic: str
    parameters: Parameters
    message: bytes


def read_json(body: bytes, parameters: Parameters, *, message_size_limit: int) -> JsonRequest:
    """Read the body of ``POST /``. Costs the visitor nothing if it fails: that is before any limit is looked at.

    Args:
        parameters: of the request itself; what the object does not name still applies.
        message_size_limit: bytes; the body must be smaller than twice that.

    Raises:
        NotifyError: 41303, too large; 40024, not JSON or a value of the wrong type; 40009, no usable topic.
    """
    if len(body) >= MAX_BODY_FACTOR * message_size_limit:
        raise Refusal.JSON_TOO_LARGE.error()
    members = _members(_first_value(body))
    topic = members.pop("topic", "")
    message = members.pop("message", "")
    if not is_topic_name(topic):
        raise Refusal.TOPIC_INVALID.error()
    values = {option: members[name] for name, option in _OPTIONS.items() if members.get(name)}
    return JsonRequest(
        topic=topic,
        parameters=parameters.with_headers(values),
        message=(message or EMPTY_MESSAGE).encode("utf-8"),
    )


def _first_value(body: bytes) -> object:
    """The first JSON value in ``body``; what follows it is ignored."""
    text = str(body, "utf-8", "replace").lstrip(_JSON_SPACE)
    try:
        return _decoder.raw_decode(text)[0]
    except (ValueError, RecursionError) as exc:
        raise _invalid("not JSON") from exc


def _members(value: object) -> dict[str, str]:
    """The object's known members as the header values that they stand for."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid("not an object")
    members: dict[str, str] = {}
    for key, member in value.items():
        key = key.lower()
        read = _READERS.get(key)
        if read is not None and member is not None:
            try:
                members[key] = read(member)
            except TypeError as exc:
                raise _invalid(f"key '{key}': {exc}") from exc
    return members


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    return clean(value)


def _integer(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("expected an integer")
    return str(value) if value else ""


def _boolean(value: object) -> str:
    if not isinstance(value, bool):
        raise TypeError("expected a boolean")
    return "yes" if value else ""


def _presence(_value: object) -> str:
    """Of what has no meaning here only that it is there counts, whatever its type."""
    return "yes"


def _strings(value: object) -> str:
    if not isinstance(value, list):
        raise TypeError("expected an array of strings")
    return ",".join(_string(item) for item in value if item is not None)


def _actions(value: object) -> str:
    if not isinstance(value, list):
        raise TypeError("expected an array of objects")
    return json.dumps([action_fields(item) for item in value], ensure_ascii=False)


_READERS: Final[Mapping[str, Callable[[object], str]]] = {
    "topic": _string,
    "message": _string,
    "title": _string,
    "click": _string,
    "icon": _string,
    "attach": _string,
    "filename": _string,
    "email": _string,
    "call": _string,
    "delay": _string,
    "sequence_id": _string,
    "cache": _string,
    "firebase": _string,
    "priority": _integer,
    "tags": _strings,
    "actions": _actions,
    "markdown": _boolean,
    "timezone": _presence,
    "apple": _presence,
}

_OPTIONS: Final[Mapping[str, Option]] = {
    "title": options.TITLE,
    "click": options.CLICK,
    "icon": options.ICON,
    "attach": options.ATTACH,
    "filename": options.FILENAME,
    "email": options.EMAIL,
    "call": options.CALL,
    "delay": options.DELAY,
    "sequence_id": options.SEQUENCE,
    "cache": options.CACHE,
    "firebase": options.FIREBASE,
    "priority": options.PRIORITY,
    "tags": options.TAGS,
    "actions": options.ACTIONS,
    "markdown": options.MARKDOWN,
    "timezone": options.LATER,
    "apple": options.LATER,
}


def _invalid(detail: str) -> NotifyError:
    return Refusal.JSON_INVALID.error(detail)


def _no_constant(name: str) -> Any:
    """Python reads NaN and Infinity, JSON does not have them."""
    raise ValueError(f"{name} is not JSON")


_decoder: Final = json.JSONDecoder(parse_constant=_no_constant)
