"""CloudEvents 1.0 as events and back, without loss (github.com/cloudevents/spec, v1.0.2: core, JSON format, HTTP
protocol binding).

The members of an object in ``data`` become the fields of the event, where its schema checks them. Beside them the
field ``cloudevent`` keeps the attributes as they came, data that is no JSON object, and which of ``v``, ``ts`` and
``id`` were not part of the data. An event of a CloudEvent has an id made of ``source`` and ``id``, which together name
it: two sources may use one id.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from gbe.errors import InvalidEventError

FIELD: Final = "cloudevent"
PREFIX: Final = "ce-"
STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
_REQUIRED: Final = ("id", "source", "specversion", "type")
_TEXTS: Final = (*_REQUIRED, "datacontenttype", "dataschema", "subject", "time")
_NAME: Final = re.compile(r"[a-z0-9]+\Z")
_MEDIA_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+ *(?:;.*)?\Z", re.DOTALL)
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+\Z")
_REFERENCE: Final = re.compile(r"[^\s<>\"{}|\\^`]+\Z")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z")
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]")
_JSON: Final = re.compile(r"(?:application|text)/(?:[^;\s]*\+)?json\s*(?:;|\Z)", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_INT32: Final = range(-(2**31), 2**31)

_encode: Final = msgspec.json.Encoder().encode
_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def from_structured(subject: str, document: bytes) -> bytes:
    """A CloudEvent in the JSON format, as the document of an event. Raises ``InvalidEventError``."""
    try:
        members = _objects.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidEventError(subject, "", f"not a CloudEvent in JSON: {exc}") from None
    data, data_base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes: dict[str, Any] = {}
    for name, raw in members.items():
        value = msgspec.json.decode(raw)
        if value is not None:  # null is an attribute that is not there
            attributes[name] = value
    _check(subject, attributes)
    if data is not None and data_base64 is not None:
        raise InvalidEventError(subject, "data_base64", "beside data; a CloudEvent has one of them")
    if data_base64 is not None:
        _check_base64(subject, data_base64)
        return _document(subject, attributes, {"data_base64": data_base64})
    if data is None:
        return _document(subject, attributes, {})
    return _document(subject, attributes, {"data": data})


def from_binary(subject: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """A CloudEvent whose attributes are headers, as the document of an event. Raises ``InvalidEventError``.

    Args:
        headers: of the request, names in lower case, values as latin-1 text.
    """
    attributes: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            attribute = name[len(PREFIX) :]
            if attribute in attributes or attribute == "datacontenttype":
                raise InvalidEventError(subject, attribute, "given twice, or not by Content-Type")
            attributes[attribute] = decode_header(subject, attribute, value)
        elif name == "content-type":
            attributes["datacontenttype"] = value
    _check(subject, attributes)
    if not body:
        return _document(subject, attributes, {})
    kind = attributes.get("datacontenttype")
    if kind is not None and _JSON.match(kind):
        try:
            return _document(subject, attributes, {"data": msgspec.json.decode(body, type=msgspec.Raw)})
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidEventError(subject, "data", f"not JSON, as Content-Type says: {exc}") from None
    return _document(subject, attributes, {"data_base64": msgspec.Raw(_encode(base64.b64encode(body).decode()))})


def to_structured(subject: str, payload: bytes) -> dict[str, Any]:
    """An event as a CloudEvent of the JSON format: what it came as, or a new one for what never was one.

    Args:
        subject: of the event, without the namespace; the ``type`` of an event that never was a CloudEvent.
    """
    fields = _objects.decode(payload)
    kept = fields.pop(FIELD, None)
    if kept is None:
        head = {name: msgspec.json.decode(fields[name]) for name in ("ts", "id")}
        moment = datetime.fromtimestamp(head["ts"] / 1000, tz=_UTC).isoformat(timespec="milliseconds")
        return {
            "specversion": "1.0",
            "id": head["id"],
            "source": "/gbe",
            "type": subject,
            "time": moment.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": fields,
        }
    record = _objects.decode(kept)
    event: dict[str, Any] = dict(_objects.decode(record["attributes"]))
    for name in ("data", "data_base64"):
        if name in record:
            event[name] = record[name]
    if "added" in record:
        added = msgspec.json.decode(record["added"])
        event["data"] = {name: value for name, value in fields.items() if name not in added}
    return event


def decode_header(subject: str, name: str, value: str) -> str:
    """The value of an attribute's header: quotes first, then one round of percent-decoding (HTTP binding, 3.1.3.2)."""
    text = value.strip(" \t")
    text = _QUOTED.sub(lambda found: re.sub(r"\\(.)", r"\1", found[1]), text) if text.startswith('"') else text
    raw = bytearray()
    position = 0
    encoded = text.encode("latin-1", "replace")
    while position < len(encoded):
        pair = encoded[position + 1 : position + 3]
        if encoded[position] == 0x25 and re.fullmatch(rb"[0-9A-Fa-f]{2}", pair):
            raw.append(int(pair, 16))
            position += 3
        else:
            raw.append(encoded[position])
            position += 1
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidEventError(subject, name, "its header is not percent-encoded UTF-8") from None


def encode_header(value: str) -> str:
    """The value of an attribute as a header: printable ASCII but space, quote and percent stays as it is."""
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E and byte not in b'"%' else f"%{byte:02X}" for byte in value.encode("utf-8")
    )


_UTC: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00").tzinfo


def _check(subject: str, attributes: Mapping[str, Any]) -> None:
    for name in _REQUIRED:
        if attributes.get(name) in (None, ""):
            raise InvalidEventError(subject, name, "missing; a CloudEvent has id, source, specversion and type")
    if attributes["specversion"] != "1.0":
        raise InvalidEventError(subject, "specversion", f"{str(attributes['specversion'])[:20]!r}; expected '1.0'")
    for name, value in attributes.items():
        _check_one(subject, name, value)


def _check_one(subject: str, name: str, value: Any) -> None:
    shown = name[:40]
    if not _NAME.match(name) or name in ("data", "data_base64"):
        raise InvalidEventError(subject, shown, "no name of an attribute: lower-case letters and digits")
    if isinstance(value, str):
        if _FORBIDDEN.search(value) or any(ord(one) & 0xFFFE == 0xFFFE for one in value):
            raise InvalidEventError(subject, shown, "holds a control character or what is no character")
    elif name in _TEXTS:
        raise InvalidEventError(subject, shown, "expected a string")
    elif not isinstance(value, bool) and not (isinstance(value, int) and value in _INT32):
        raise InvalidEventError(subject, shown, "expected a string, a boolean or an integer of 32 bits")
    rule = _RULES.get(name)
    if rule is not None and not rule[0].match(value):
        raise InvalidEventError(subject, shown, f"expected {rule[1]}")


_RULES: Final[Mapping[str, tuple[re.Pattern[str], str]]] = {
    "source": (_REFERENCE, "a URI reference"),
    "datacontenttype": (_MEDIA_TYPE, "a media type, such as application/json"),
    "dataschema": (_ABSOLUTE, "an absolute URI"),
    "subject": (re.compile("."), "at least one character"),
    "time": (_TIME, "a time of RFC 3339, such as 2026-01-31T12:00:00Z"),
}


def _check_base64(subject: str, raw: msgspec.Raw) -> None:
    try:
        base64.b64decode(msgspec.json.decode(raw, type=str), validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise InvalidEventError(subject, "data_base64", "expected base64 in a string") from None


def _document(subject: str, attributes: Mapping[str, Any], data: Mapping[str, msgspec.Raw]) -> bytes:
    kept: dict[str, Any] = {"attributes": attributes}
    fields: dict[str, msgspec.Raw] = {}
    raw = data.get("data")
    if raw is not None and bytes(raw).lstrip()[:1] == b"{":
        fields = _objects.decode(raw)
        if FIELD in fields:
            raise InvalidEventError(subject, f"data.{FIELD}", "this name is taken")
        defaults = {"v": 1, "ts": _milliseconds(subject, attributes.get("time")), "id": _identity(attributes)}
        added = [name for name, value in defaults.items() if name not in fields and value is not None]
        kept["added"] = sorted({"v", "ts", "id"} - fields.keys())
        fields |= {name: msgspec.Raw(_encode(defaults[name])) for name in added}
    else:
        kept |= data
        moment = _milliseconds(subject, attributes.get("time"))
        fields = {"v": msgspec.Raw(b"1"), "id": msgspec.Raw(_encode(_identity(attributes)))}
        if moment is not None:
            fields["ts"] = msgspec.Raw(_encode(moment))
    return _encode({**fields, FIELD: kept})


def _identity(attributes: Mapping[str, Any]) -> str:
    """Equal for repetitions of one event, and for nothing else."""
    name = f"{attributes['source']}\0{attributes['id']}".encode("utf-8", "surrogatepass")
    return f"ce-{hashlib.sha256(name).hexdigest()[:32]}"


def _milliseconds(subject: str, time: str | None) -> int | None:
    if time is None:
        return None
    try:
        # Python knows six digits of a second, and no leap second
        text = re.sub(r"(\.\d{6})\d+", r"\1", time.upper()).replace(":60", ":59")
        return max(0, round(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise InvalidEventError(subject, "time", "there is no such moment") from None
