"""A graph as an SVG picture, with the state of each task if it is a job's. Pure; no I/O."""

from collections.abc import Mapping
from html import escape
from typing import Final

from gbe.graph.definition import JobDefinition
from gbe.graph.layers import layers

MAX_TASKS: Final = 500
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 190, 46, 28, 54, 20
_LONGEST: Final = 24
_COLOURS: Final = {
    "waiting": "#e7e9ee",
    "starting": "#dbe7ff",
    "running": "#b9d2ff",
    "completed": "#c9ecd2",
    "failed": "#ffd0cc",
    "skipped": "#f4f4f4",
    "cancelled": "#ffe3bf",
}
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1c2330;text-anchor:middle}"
    ".s{font-size:11px;fill:#4a5568}path{fill:none;stroke:#8a94a6;stroke-width:1.4}"
    "rect{stroke:#5b6678;stroke-width:1.2}"
)

_ARROW: Final = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" style="fill:#8a94a6;stroke:none"/></marker></defs>'
)


def svg(definition: JobDefinition, states: Mapping[str, str] | None = None) -> str:
    """A picture of at most ``MAX_TASKS`` tasks; a fan-out has a shadow.

    Args:
        states: a line below each name: where each task of a job is. Its first word chooses the colour.
    """
    rows = layers(definition)
    widest = max(map(len, rows))
    width = 2 * _MARGIN + widest * _WIDTH + (widest - 1) * _GAP_X
    height = 2 * _MARGIN + len(rows) * _HEIGHT + (len(rows) - 1) * _GAP_Y
    at: dict[int, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        left = (width - len(row) * _WIDTH - (len(row) - 1) * _GAP_X) / 2
        for place, number in enumerate(row):
            at[number] = (left + place * (_WIDTH + _GAP_X), _MARGIN + level * (_HEIGHT + _GAP_Y))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(definition.name)}</title><style>{_STYLE}</style>",
        _ARROW,
    ]
    for number, node in enumerate(definition.nodes):
        parts += [_edge(at[definition.numbers[name]], at[number]) for name in node.depends_on]
    for number, node in enumerate(definition.nodes):
        parts.append(_box(at[number], node.name, node.for_each is not None, (states or {}).get(node.name)))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + _WIDTH / 2, start[1] + _HEIGHT, end[0] + _WIDTH / 2, end[1]
    bend = (y2 - y1) / 2
    path = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2 - 2:g}"
    return f'<path d="{path}" marker-end="url(#a)"/>'


def _box(place: tuple[float, float], name: str, is_fan_out: bool, state: str | None) -> str:
    x, y = place
    colour = _COLOURS.get((state or "").partition(",")[0], "#ffffff")
    shape = f'width="{_WIDTH}" height="{_HEIGHT}" rx="7" fill="{colour}"'
    shadow = f'<rect x="{x + 5:g}" y="{y + 5:g}" {shape}/>' if is_fan_out else ""
    shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    middle, line = x + _WIDTH / 2, y + (_HEIGHT / 2 + 5 if state is None else 20)
    second = "" if state is None else f'<text class="s" x="{middle:g}" y="{y + 37:g}">{escape(state)}</text>'
    return (
        f'{shadow}<g><title>{escape(name)}</title><rect x="{x:g}" y="{y:g}" {shape}/>'
        f'<text x="{middle:g}" y="{line:g}">{escape(shown)}</text>{second}</g>'
    )
