"""Action buttons, as a JSON array or in the short format (section 4.7)."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gbe.errors import NotifyError
from gbe.notify.errors import Refusal
from gbe.notify.ids import random_alphanumerics
from gbe.notify.text import WHITE_SPACE, clean, trim
from gbe.schemas.notify import Action

MAX_ACTIONS: Final = 3
_ID_LENGTH: Final = 10

_TYPES: Final = frozenset({"view", "broadcast", "http", "copy"})
_WITH_URL: Final = frozenset({"view", "http"})
_BODILESS_METHODS: Final = frozenset({"GET", "HEAD"})

_TRUE: Final = frozenset({"true", "yes", "1"})
_FALSE: Final = frozenset({"false", "no", "0"})

_TEXTS: Final = ("action", "label", "url", "method", "body", "intent", "value")
_MAPPINGS: Final = ("headers", "extras")

Fields = dict[str, Any]
"""What is known of an action before it is checked; the values have the right types."""


def parse_actions(text: str) -> tuple[Action, ...]:
    """Read the actions option: a JSON array if it starts with ``[``, else the short format.

    Args:
        text: decoded and trimmed; U+FFFD in it stands for bytes that were not UTF-8.

    Raises:
        NotifyError: 40018; the detail says what is wrong.
    """
    return _checked(_from_json(text) if text.startswith("[") else _Scanner(text).scan())


def action_fields(member: object) -> Fields:
    """The fields of one action object out of JSON. Keys ignore case; ``null`` is the same as absent.

    Raises:
        TypeError: not an object, or a member of the wrong type; the text names it.
    """
    fields: Fields = {"action": ""}
    if member is None:
        return fields
    if not isinstance(member, dict):
        raise TypeError("an action is an object")
    for key, value in member.items():
        key = key.lower()
        if value is None:
            continue
        if key == "clear":
            fields[key] = _typed(key, value, bool)
        elif key in _TEXTS:
            fields[key] = clean(_typed(key, value, str))
        elif key in _MAPPINGS:
            fields[key] = {
                clean(name): clean(_typed(key, item, str))
                for name, item in _typed(key, value, dict).items()
                if item is not None
            }
    return fields


def _typed(name: str, value: object, wanted: type) -> Any:
    if not isinstance(value, wanted):
        raise TypeError(f"member '{name}' has the wrong type")
    return value


def _from_json(text: str) -> list[Fields]:
    try:
        array = json.loads(text, parse_constant=_no_constant)
        return [action_fields(member) for member in array]
    except (ValueError, TypeError, RecursionError) as exc:
        raise _invalid(f"JSON error: {exc}") from exc


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON does not have them."""
    raise ValueError(f"{name} is not JSON")


def _checked(found: Iterable[Fields]) -> tuple[Action, ...]:
    actions = tuple(found)
    if len(actions) > MAX_ACTIONS:
        raise _invalid(f"only {MAX_ACTIONS} actions allowed")
    return tuple(map(_action, actions))


def _action(fields: Mapping[str, Any]) -> Action:
    """One action, its members checked against its type. Empty members are left out."""
    action = fields["action"].lower()
    label, url, value = fields.get("label", ""), fields.get("url", ""), fields.get("value", "")
    method, body = fields.get("method", "").upper(), fields.get("body", "")
    if action not in _TYPES:
        raise _invalid(
            f"parameter 'action' cannot be '{action}', valid values are 'view', 'broadcast', 'http' and 'copy'"
        )
    if not label:
        raise _invalid("parameter 'label' is required")
    if action in _WITH_URL and not url:
        raise _invalid(f"parameter 'url' is required for action '{action}'")
    if action == "copy" and not value:
        raise _invalid("parameter 'value' is required for action 'copy'")
    if body and method in _BODILESS_METHODS:
        raise _invalid(f"parameter 'body' cannot be set if method is {method}")
    return Action(
        id=random_alphanumerics(_ID_LENGTH),
        action=action,
        label=label,
        clear=fields.get("clear", False),
        url=url or None,
        method=method or None,
        headers=fields.get("headers") or None,
        body=body or None,
        intent=fields.get("intent") or None,
        extras=fields.get("extras") or None,
        value=value or None,
    )


def _invalid(detail: str) -> NotifyError:
    return Refusal.ACTIONS_INVALID.error(detail)


# possessive, so that a long piece without `=` costs one pass
_KEY: Final = re.compile(rf"([-.A-Za-z0-9_]++)[{WHITE_SPACE}]*+=")
_BLANKS: Final = re.compile(rf"[{WHITE_SPACE}]*+")
_PLAIN: Final = re.compile(r"[^,;]*+")
_QUOTED: Final = {
    '"': re.compile(r'((?:[^"\\]++|\\"|\\)*+)"'),
    "'": re.compile(r"((?:[^'\\]++|\\'|\\)*+)'"),
}


class _Scanner:
    """Reads the short format from left to right, each character a bounded number of times.

    ::

        actions   = action *( ";" action ) [ ";" ]
        action    = parameter *( "," parameter )
        parameter = [ key "=" ] ( quoted / plain )
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0  # in characters, from 0, as error texts count too

    def scan(self) -> list[Fields]:
        if "\ufffd" in self._text:
            raise _invalid("invalid utf-8 string")
        actions: list[Fields] = []
        self._skip(_BLANKS)
        # one too many is enough to know that there are too many
        while self._position < len(self._text) and len(actions) <= MAX_ACTIONS:
            actions.append(self._action())
            self._skip(_BLANKS)
        return actions

    def _action(self) -> Fields:
        """One action and the semicolon after it."""
        fields: Fields = {"action": ""}
        number = 0
        ended = False
        while not ended:
            key, value = self._parameter()
            ended = self._next() != ","
            if not (ended and number and not key and not value):  # a trailing comma is as harmless as a semicolon
                _set(fields, number, key, value)
            number += 1
        return fields

    def _next(self) -> str:
        """Step over the separator and return it; an empty string at the end."""
        separator = self._text[self._position : self._position + 1]
        self._position += len(separator)
        return separator

    def _parameter(self) -> tuple[str, str]:
        """The key, empty if there is none, and the value. The position is then at a separator or the end."""
        self._skip(_BLANKS)
        key = ""
        match = _KEY.match(self._text, self._position)
        if match is not None:
            key = match[1]
            self._position = match.end()
            self._skip(_BLANKS)
        quote = self._text[self._position : self._position + 1]
        if quote in _QUOTED:
            return key, self._quoted(quote)
        start = self._position
        self._skip(_PLAIN)
        return key, trim(self._text[start : self._position])

    def _quoted(self, quote: str) -> str:
        match = _QUOTED[quote].match(self._text, self._position + 1)
        if match is None:
            raise _invalid(f"unexpected end of input, quote started at position {self._position}")
        self._position = match.end()
        self._skip(_BLANKS)
        junk = self._text[self._position : self._position + 1]
        if junk not in ("", ",", ";"):
            raise _invalid(f"unexpected character '{junk}' at position {self._position}")
        return match[1].replace("\\" + quote, quote)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        if match is not None:
            self._position = match.end()


def _set(fields: Fields, number: int, key: str, value: str) -> None:
    """Put one parameter of the short format where it belongs; ``number`` counts them from 0."""
    if not key:
        key = _implied_key(fields, number)
        if not key:
            raise _invalid(f"term '{value}' unknown")
    name = key.lower()
    group, _, member = key.partition(".")
    if name == "clear":
        fields[name] = _boolean(value)
    elif name in _TEXTS:
        fields[name] = value
    elif member and group.lower() in _MAPPINGS:
        fields.setdefault(group.lower(), {})[member] = value
    else:
        raise _invalid(f"key '{key}' unknown")


_IMPLIED: Final = ("action", "label")
_IMPLIED_THIRD: Final[Mapping[str, str]] = {"view": "url", "http": "url", "copy": "value"}


def _implied_key(fields: Fields, number: int) -> str:
    """What a parameter without a key means at its place; an empty string if nothing."""
    if number < len(_IMPLIED):
        return _IMPLIED[number]
    return _IMPLIED_THIRD.get(fields["action"].lower(), "") if number == len(_IMPLIED) else ""


def _boolean(value: str) -> bool:
    word = value.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _invalid(f"parameter 'clear' cannot be '{value}', only boolean values are allowed (true/yes/1/false/no/0)")
