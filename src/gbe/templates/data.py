"""JSON as Go reads it into ``interface{}``: every number is a ``float64``."""

import json
import math
import re
from typing import Any, Final

from gbe.errors import TemplateFailedError
from gbe.templates.nodes import Value

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode_json(text: str) -> Value:
    """The one JSON value that ``text`` is. Raises ``TemplateFailedError``."""
    try:
        value: Value = _decoder.decode(text)
    except (ValueError, RecursionError) as exc:
        raise TemplateFailedError(f"not JSON: {exc}") from None
    return _without_surrogates(value) if "\\u" in text else value


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _without_surrogates(value: Value) -> Value:
    """Half of a surrogate pair becomes U+FFFD."""
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", value)
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {_SURROGATE.sub("\ufffd", key): _without_surrogates(item) for key, item in value.items()}
    return value


_decoder: Final = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=_no_constant)
