"""JSON, Base64, Base32 and checksums."""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Callable
from typing import Any, Final

from gbe.errors import TemplateFailedError
from gbe.templates.data import decode_json
from gbe.templates.functions.signature import Function
from gbe.templates.limits import Budget
from gbe.templates.nodes import Value
from gbe.templates.values import check_depth

_UNSAFE: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_EXPONENT: Final = re.compile(r"e([-+])0+(?=\d)")


def _plain(value: Value, budget: Budget, depth: int = 0) -> Any:
    """A value as JSON has it: keys sorted, whole numbers without a point; what it holds is counted."""
    check_depth(depth)
    budget.spend()
    match value:
        case dict():
            return {key: _plain(value[key], budget, depth + 1) for key in sorted(value)}
        case list():
            return [_plain(item, budget, depth + 1) for item in value]
        case float() if value.is_integer() and abs(value) < 1e21:
            return int(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            raise TemplateFailedError("a number that JSON does not have")
        case str():
            budget.string(len(value))
    return value


def _to_json(budget: Budget, value: Value, *, indent: int | None = None, safe: bool = True) -> str:
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(_plain(value, budget), ensure_ascii=False, separators=separators, indent=indent)
    if safe:
        text = re.sub("[<>&\u2028\u2029]", lambda match: _UNSAFE[match[0]], text)
    budget.string(len(text))
    return text


def _from_json(budget: Budget, text: str) -> Value:
    budget.items(text.count(",") + text.count("[") + text.count("{"))
    return decode_json(text)


def _decoded(decode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    def decoded(text: str) -> str:
        try:
            return decode(text.encode("ascii")).decode("utf-8", "replace")
        except (binascii.Error, UnicodeEncodeError) as exc:
            return str(exc)  # as in Sprig, the error is the text

    return decoded


def _checksum(name: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(name, text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


TABLE: Final = (
    *(Function(name, "a", _to_json, charges=True) for name in ("toJson", "toJSON")),
    *(
        Function(name, "a", lambda budget, value: _to_json(budget, value, indent=2), charges=True)
        for name in ("toPrettyJson", "toPrettyJSON")
    ),
    *(
        Function(name, "a", lambda budget, value: _to_json(budget, value, safe=False), charges=True)
        for name in ("toRawJson", "toRawJSON")
    ),
    *(Function(name, "s", _from_json, charges=True) for name in ("fromJson", "fromJSON")),
    Function("b64enc", "s", lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode()),
    Function("b64dec", "s", _decoded(lambda raw: base64.b64decode(raw, validate=True))),
    Function("b32enc", "s", lambda text: base64.b32encode(text.encode("utf-8", "replace")).decode()),
    Function("b32dec", "s", _decoded(base64.b32decode)),
    Function("sha1sum", "s", _checksum("sha1")),
    Function("sha256sum", "s", _checksum("sha256")),
    Function("sha512sum", "s", _checksum("sha512")),
    Function("adler32sum", "s", lambda text: str(zlib.adler32(text.encode("utf-8", "replace")))),
)
