"""The reference of all configuration keys as Markdown; ``docs/configuration.md`` holds its output, and a test
compares the two."""

from pathlib import Path

from gbe.config import KEYS, Key


def default_of(key: Key) -> str:
    """A default as an operator would write it."""
    value = key.default
    match value:
        case None:
            return ""
        case bool():
            return "`true`" if value else "`false`"
        case tuple():
            return "`[]`" if not value else f"`{', '.join(map(str, value))}`"
        case Path():
            return f"`{value}`"
        case str():
            return f"`{value}`" if value else '`""`'
    if key.kind == "duration" and isinstance(value, int | float):
        return f"`{duration(float(value))}`"
    if key.kind == "size" and isinstance(value, int):
        return f"`{size(value)}`"
    return f"`{value}`"


def duration(seconds: float) -> str:
    """Seconds in the largest unit that keeps them whole."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"


def size(count: int) -> str:
    """Bytes in the largest unit that keeps them whole."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= length and count % length == 0:
            return f"{count // length}{unit}"
    return str(count)


def table() -> str:
    """One Markdown table with every key."""
    rows = ["| key | variable | takes | default | meaning |", "|---|---|---|---|---|"]
    rows += [f"| `{k.name}` | `{k.variable}` | {k.kind} | {default_of(k)} | {k.meaning} |" for k in KEYS]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
