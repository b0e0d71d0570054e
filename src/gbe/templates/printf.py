"""``printf`` (https://pkg.go.dev/fmt), for the values that a template has. A wrong verb shows in the text, as in Go."""

import json
import math
import re
from dataclasses import dataclass
from typing import Final

from gbe.errors import TemplateFailedError
from gbe.templates.limits import MAX_WIDTH, Budget
from gbe.templates.nodes import Value
from gbe.templates.values import format_float, shortest, to_text, type_name

_VERB: Final = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?(.)?", re.DOTALL)
_BASES: Final = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}


@dataclass(frozen=True, slots=True)
class _Spec:
    flags: str
    width: int | None
    precision: int | None
    verb: str


def printf(template: str, arguments: list[Value], budget: Budget) -> str:
    """Text with verbs replaced. Raises ``TemplateError`` for a width of 1000 or more, or for too long a result."""
    budget.look_at(len(template))
    rest = list(reversed(arguments))
    parts: list[str] = []
    size = done = 0
    for match in _VERB.finditer(template):
        parts += (template[done : match.start()], _replacement(match, rest, budget))
        size += len(parts[-1]) + len(parts[-2])
        budget.part(size)
        done = match.end()
    parts.append(template[done:])
    if rest:
        extra = ", ".join(_with_type(value, budget) for value in reversed(rest))
        parts.append(f"%!(EXTRA {extra})")
    budget.string(size + len(parts[-1]))
    return "".join(parts)


def _replacement(match: re.Match[str], rest: list[Value], budget: Budget) -> str:
    flags, verb = match[1], match[4]
    if verb is None:
        return "%!(NOVERB)"
    width = _number(match[2], rest, "WIDTH")
    has_point = "." in match[0][1 : len(match[0]) - 1]
    precision = _number(match[3], rest, "PREC") if match[3] else 0 if has_point else None
    for bad in (width, precision):
        if isinstance(bad, str):
            return bad
    if isinstance(width, int) and width < 0:
        flags, width = flags + "-", -width
    if verb == "%":
        return "%"
    if not rest:
        return f"%!{verb}(MISSING)"
    spec = _Spec(flags, _checked(width), _checked(precision), verb)
    return _formatted(rest.pop(), spec, budget)


def _number(text: str | None, rest: list[Value], what: str) -> int | str | None:
    if text is None:
        return None
    if text != "*":
        return int(text) if len(text) < 6 else MAX_WIDTH
    value = rest.pop() if rest else None
    return value if isinstance(value, int) and not isinstance(value, bool) else f"%!(BAD{what})"


def _checked(number: int | str | None) -> int | None:
    if isinstance(number, int) and number >= MAX_WIDTH:
        raise TemplateFailedError(f"printf takes widths below {MAX_WIDTH}")
    return number if isinstance(number, int) and number >= 0 else None


def _formatted(value: Value, spec: _Spec, budget: Budget) -> str:
    """One value; lists and dictionaries apply the verb to what they hold only for ``%v``."""
    match spec.verb:
        case "T":
            return _padded(type_name(value), spec)
        case "v":
            return _padded(_any(value, spec, budget), spec)
        case "t" if isinstance(value, bool):
            return _padded("true" if value else "false", spec)
        case "s" | "q" | "x" | "X" if isinstance(value, str):
            return _padded(_string(value, spec, budget), spec)
    if isinstance(value, int) and not isinstance(value, bool):
        text = _integer(value, spec)
    elif isinstance(value, float):
        text = _float(value, spec)
    elif isinstance(value, list):
        text = f"[{' '.join(_items(value, spec, budget))}]"
    else:
        text = None
    return text if text is not None else f"%!{spec.verb}({_with_type(value, budget)})"


def _items(value: list[Value], spec: _Spec, budget: Budget) -> list[str]:
    """A verb for a list goes to its items, of which lists and dictionaries are printed plainly."""
    budget.items(len(value))
    size, shown = 0, []
    for item in value:
        shown.append(to_text(item, budget) if isinstance(item, list | dict) else _formatted(item, spec, budget))
        size += len(shown[-1])
        budget.part(size)
    return shown


def _any(value: Value, spec: _Spec, budget: Budget) -> str:
    if isinstance(value, str) and "#" in spec.flags:
        return quoted(value)
    if isinstance(value, float) and (spec.precision is not None or "+" in spec.flags):
        return _sign(value, spec) + _digits(abs(value), "g", spec.precision)
    if isinstance(value, int) and not isinstance(value, bool) and "+" in spec.flags:
        return f"{value:+d}"
    return to_text(value, budget)


def _string(value: str, spec: _Spec, budget: Budget) -> str:
    budget.string(2 * len(value))
    if spec.precision is not None:
        value = value[: spec.precision]
    match spec.verb:
        case "q":
            return quoted(value)
        case "x":
            return value.encode("utf-8", "replace").hex()
        case "X":
            return value.encode("utf-8", "replace").hex().upper()
    return value


def quoted(value: str) -> str:
    """A string as a Go literal."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\x7f")


def _integer(value: int, spec: _Spec) -> str | None:
    match spec.verb:
        case "c":
            return _padded(chr(value) if 0 <= value <= 0x10FFFF and not 0xD800 <= value < 0xE000 else "\ufffd", spec)
        case "q":
            return _padded(f"'{chr(value)}'" if 0 <= value < 0xD800 else "'\ufffd'", spec)
        case "U":
            return _padded(f"U+{value & ((1 << 64) - 1):04X}", spec)
    base = _BASES.get(spec.verb)
    if base is None:
        return None
    digits = format(abs(value), base)
    if spec.precision is not None:
        digits = digits.rjust(spec.precision, "0")
    if "#" in spec.flags:
        digits = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(spec.verb, "") + digits
    return _zero_padded(_sign(value, spec), digits, spec, zeros=spec.precision is None)


def _float(value: float, spec: _Spec) -> str | None:
    if spec.verb not in "eEfFgG":
        return None
    if not math.isfinite(value):
        text = format_float(value)
        return _padded(text[1:] if text == "+Inf" and "+" not in spec.flags else text, spec)
    return _zero_padded(_sign(value, spec), _digits(abs(value), spec.verb, spec.precision), spec)


def _digits(value: float, verb: str, precision: int | None) -> str:
    """The digits of a finite number that is not negative."""
    if verb in "gG" and precision is None:
        return shortest(value, "e" if verb == "g" else "E")
    return format(value, f".{6 if precision is None else precision}{verb}")


def _sign(value: float, spec: _Spec) -> str:
    if math.copysign(1.0, value) < 0:
        return "-"
    return "+" if "+" in spec.flags else " " if " " in spec.flags else ""


def _zero_padded(sign: str, digits: str, spec: _Spec, *, zeros: bool = True) -> str:
    if zeros and "0" in spec.flags and "-" not in spec.flags and spec.width is not None:
        digits = digits.rjust(spec.width - len(sign), "0")
    return _padded(sign + digits, spec, zeros=False)


def _padded(text: str, spec: _Spec, *, zeros: bool = True) -> str:
    if spec.width is None or len(text) >= spec.width:
        return text
    if "-" in spec.flags:
        return text.ljust(spec.width)
    return text.rjust(spec.width, "0" if zeros and "0" in spec.flags and spec.verb in "sq" else " ")


def _with_type(value: Value, budget: Budget) -> str:
    if value is None:
        return "<nil>"
    return f"{type_name(value)}={to_text(value, budget)}"
