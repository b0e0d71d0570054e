"""Plots as SVG, written by hand: bars and lines need no library."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log2
from pathlib import Path
from typing import Any, Final

_STYLE: Final = (
    "<style>text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
    ".faint{fill:#6e7781;font-size:11px}</style>"
)
OURS: Final = "#2563eb"
THEIRS: Final = "#9ca3af"
BETTER: Final = "#15803d"
WORSE: Final = "#c2410c"
_WIDTH: Final = 1000


@dataclass(frozen=True, slots=True)
class Bar:
    """A label, a value, and what is written behind it."""

    label: str
    value: float
    text: str
    color: str = OURS


@dataclass(frozen=True, slots=True)
class Panel:
    """A curve over time: its name, and (seconds, value) pairs."""

    title: str
    points: Sequence[tuple[float, float]]
    color: str = OURS


def _document(height: int, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">'
    )
    return "\n".join([head, _STYLE, f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>', *parts, "</svg>\n"])


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" fill="{color}" rx="2"/>'


def bars(path: Path, title: str, subtitle: str, rows: Sequence[Bar]) -> None:
    """Horizontal bars from zero."""
    left, right = 330, 150
    most = max(row.value for row in rows)
    parts = [_text(16, 26, title, kind="title"), _text(16, 46, subtitle, kind="faint")]
    for number, row in enumerate(rows):
        y = 62 + number * 26
        width = (_WIDTH - left - right) * row.value / most
        parts += [
            _text(left - 8, y + 14, row.label, anchor="end"),
            _rect(left, y, width, 18, row.color),
            _text(left + width + 6, y + 14, row.text),
        ]
    path.write_text(_document(74 + 26 * len(rows), parts))


def ratios(path: Path, title: str, subtitle: str, rows: Sequence[Bar]) -> None:
    """Bars from 1 on a logarithmic axis: to the right is faster than the reference, to the left slower."""
    left, right = 530, 60
    reach = max(1.0, *(abs(log2(row.value)) for row in rows))
    middle, scale = left + (_WIDTH - left - right) / 2, (_WIDTH - left - right) / 2 / reach
    bottom = 70 + 26 * len(rows)
    parts = [_text(16, 26, title, kind="title"), _text(16, 46, subtitle, kind="faint")]
    for power in range(-int(reach), int(reach) + 1):
        x = middle + power * scale
        parts.append(f'<line x1="{x:.1f}" y1="58" x2="{x:.1f}" y2="{bottom}" stroke="#d0d7de"/>')
        parts.append(_text(x, bottom + 16, f"{2.0**power:g}x", anchor="middle", kind="faint"))
    for number, row in enumerate(rows):
        y, end = 64 + number * 26, middle + log2(row.value) * scale
        parts += [
            _text(left - 24, y + 14, row.label, anchor="end"),
            _rect(min(middle, end), y, abs(end - middle), 18, BETTER if row.value >= 1 else WORSE),
            _text(max(middle, end) + 5, y + 14, row.text),
        ]
    path.write_text(_document(bottom + 26, parts))


def curves(path: Path, title: str, subtitle: str, panels: Sequence[Panel]) -> None:
    """Panels under each other, over the same time; each from zero."""
    left, height = 70, 120
    parts = [_text(16, 26, title, kind="title"), _text(16, 46, subtitle, kind="faint")]
    longest = max((point[0] for panel in panels for point in panel.points), default=1.0) or 1.0
    for number, panel in enumerate(panels):
        top = 70 + number * (height + 40)
        most = max((value for _, value in panel.points), default=1.0) * 1.1 or 1.0
        xs = [(left + (_WIDTH - left - 30) * t / longest, top + height * (1 - v / most)) for t, v in panel.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in xs)
        parts += [
            _text(left, top - 6, panel.title),
            f'<rect x="{left}" y="{top}" width="{_WIDTH - left - 30}" height="{height}" fill="none" stroke="#d0d7de"/>',
            _text(left - 6, top + 10, f"{most:,.0f}", anchor="end", kind="faint"),
            _text(left - 6, top + height, "0", anchor="end", kind="faint"),
            f'<polyline points="{line}" fill="none" stroke="{panel.color}" stroke-width="1.5"/>',
        ]
    bottom = 70 + len(panels) * (height + 40)
    parts.append(_text(left, bottom - 18, "0 s", kind="faint"))
    parts.append(_text(_WIDTH - 30, bottom - 18, f"{longest:,.0f} s", anchor="end", kind="faint"))
    path.write_text(_document(bottom, parts))


def draw(directory: Path, entries: Sequence[dict[str, Any]]) -> list[Path]:
    """``bench-ratios.svg``, ``-redis``, ``-fanout`` and ``-jobs`` from what ``--json`` writes."""
    directory.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    jobs = [entry for entry in entries if entry["benchmark"] == "jobs"]
    compared = [entry for entry in entries if entry["ratio"] and entry["unit"] != "KiB" and entry not in jobs]
    for name, title, is_redis in (
        ("bench-ratios.svg", "gbe against its references", False),
        ("bench-redis.svg", "gbe on Redis against its references", True),
    ):
        some = [entry for entry in compared if entry["benchmark"].startswith("redis") == is_redis]
        if some:
            made.append(directory / name)
            _draw_ratios(made[-1], title, some)
    fanout = [entry for entry in entries if entry["benchmark"] == "fanout" and entry["unit"] == "ms"]
    if fanout:
        made.append(directory / "bench-fanout.svg")
        rows = []
        for entry in fanout:
            rows.append(Bar(_short(f"gbe, {entry['case']}"), entry["gbe"], f"{entry['gbe']:.1f} ms", OURS))
            reference = f"{entry['reference_name']}"
            rows.append(Bar(reference, entry["reference"], f"{entry['reference']:.1f} ms", THEIRS))
        bars(made[-1], "One message to many streams", "publish to the last receipt, median", rows)
    jobs = [entry for entry in entries if entry["benchmark"] == "jobs"]
    if jobs:
        made.append(directory / "bench-jobs.svg")
        _draw_jobs(made[-1], jobs)
    return made


def _draw_jobs(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    name = "orchestrator µs"
    cost = [(entry["case"], entry["gbe_details"][name], entry["gbe"]) for entry in entries]
    rows = [Bar(case, value, f"{value:,.0f} µs, {rate:,.0f} tasks/s") for case, value, rate in cost]
    bars(
        path,
        "What a task of a job costs, by the job's size",
        "CPU time of the orchestrator for each task, median",
        rows,
    )


def _draw_ratios(path: Path, title: str, entries: Sequence[dict[str, Any]]) -> None:
    rows = []
    for entry in entries:
        speed = entry["ratio"] if entry["more_is_better"] else 1 / entry["ratio"]
        rows.append(Bar(_short(f"{entry['benchmark']}: {entry['case']}"), speed, f"{speed:.2f}"))
    subtitle = "speed of gbe over its reference in the same run; see docs/benchmarks.md for what each reference does"
    ratios(path, title, subtitle, rows)


def _short(text: str) -> str:
    return text if len(text) <= 84 else text[:83] + "…"
