"""What all benchmarks share: contestants that alternate within one run, medians, ratios, a table.

The machine may be small and busy with other things, so an absolute number says little. A comparison runs both sides
in turn (A B A B A B), after a warm-up of each, and compares medians; minimum and maximum show how much to believe.
"""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

console: Final = Console()


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to measure.

    Attributes:
        runs: measured runs of each side, after one warm-up.
        quick: a tenth of the work: to see that it runs, not to believe.
        directory: for data directories and logs; removed by the caller.
    """

    runs: int
    quick: bool
    directory: Path

    def pick(self, full: float, quick: float) -> float:
        """A duration, full or quick."""
        return quick if self.quick else full

    def count(self, full: int, quick: int) -> int:
        """A number of things, full or quick."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one side: the number that counts, and others worth printing, by name."""

    value: float
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the report.

    Attributes:
        benchmark: the name on the command line.
        case: what was measured.
        unit: of the values; of ``ours`` and ``reference`` alike.
        reference_name: what ours was compared with; empty if nothing.
        more_is_better: what the ratio means: ours / reference of a rate, the same of a duration.
        target: for people.
        met: whether the target was met; ``None`` if there is none.
    """

    benchmark: str
    case: str
    unit: str
    ours: Sequence[Sample]
    reference: Sequence[Sample] = ()
    reference_name: str = ""
    more_is_better: bool = True
    target: str = ""
    met: bool | None = None

    @property
    def median(self) -> float:
        """Of our runs."""
        return statistics.median(s.value for s in self.ours)

    @property
    def reference_median(self) -> float | None:
        """Of the other side's runs."""
        return statistics.median(s.value for s in self.reference) if self.reference else None

    @property
    def ratio(self) -> float | None:
        """Our median over the reference's."""
        reference = self.reference_median
        return self.median / reference if reference else None

    def details(self, samples: Sequence[Sample]) -> dict[str, float]:
        """The medians of the numbers beside the one that counts."""
        names = dict.fromkeys(name for sample in samples for name in sample.details)
        return {n: statistics.median(s.details[n] for s in samples if n in s.details) for n in names}


Run = Callable[[], Awaitable[Sample]]


async def alternate(runs: int, *contestants: Run, warm_up: bool = True) -> list[list[Sample]]:
    """Run the contestants in turn, ``runs`` times each, after one round that does not count."""
    if warm_up:
        for contestant in contestants:
            await contestant()
    results: list[list[Sample]] = [[] for _ in contestants]
    for _ in range(runs):
        for contestant, result in zip(contestants, results, strict=True):
            result.append(await contestant())
    return results


def say(text: str) -> None:
    """Progress, for whoever waits."""
    console.print(f"[dim]{text}[/dim]", highlight=False)


def number(value: float) -> str:
    """Three digits that matter."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(samples: Sequence[Sample]) -> str:
    """Minimum to maximum."""
    values = [s.value for s in samples]
    return f"{number(min(values))} - {number(max(values))}"


def show(rows: Sequence[Row]) -> None:
    """Print the report."""
    table = Table(title="gbe benchmarks: medians, minimum - maximum in brackets", title_justify="left", expand=False)
    for heading in ("benchmark", "case", "unit", "gbe", "reference", "ratio", "target", "details of gbe | reference"):
        table.add_column(heading, justify="right" if heading in ("gbe", "reference", "ratio") else "left")
    for row in rows:
        table.add_row(
            row.benchmark,
            row.case,
            row.unit,
            f"{number(row.median)}\n({spread(row.ours)})",
            f"{number(row.reference_median)}\n({spread(row.reference)})\n{row.reference_name}"
            if row.reference_median is not None
            else "",
            f"{row.ratio:.2f}" if row.ratio is not None else "",
            _verdict(row),
            _details(row),
        )
    Console(width=200).print(table)


def _verdict(row: Row) -> str:
    if row.met is None:
        return row.target
    return f"[green]{row.target}: met[/green]" if row.met else f"[red]{row.target}: missed[/red]"


def _details(row: Row) -> str:
    theirs = row.details(row.reference)
    lines = []
    for name, value in row.details(row.ours).items():
        other = f" | {number(theirs[name])}" if name in theirs else ""
        lines.append(f"{name} {number(value)}{other}")
    return "\n".join(lines)


def as_data(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The report for ``--json`` and for plots."""
    return [
        {
            "benchmark": row.benchmark,
            "case": row.case,
            "unit": row.unit,
            "gbe": row.median,
            "gbe_runs": [s.value for s in row.ours],
            "gbe_details": row.details(row.ours),
            "reference": row.reference_median,
            "reference_name": row.reference_name,
            "reference_runs": [s.value for s in row.reference],
            "reference_details": row.details(row.reference),
            "ratio": row.ratio,
            "more_is_better": row.more_is_better,
            "target": row.target,
            "met": row.met,
        }
        for row in rows
    ]


def markdown(entries: Sequence[dict[str, Any]]) -> str:
    """The table of docs/benchmarks.md, from what ``as_data`` gives."""
    lines = ["| | case | gbe | reference | ratio | target | gbe / reference |", "|---|---|---|---|---|---|---|"]
    for entry in entries:
        reference = ""
        if entry["reference"] is not None:
            reference = f"{_with_spread(entry['reference'], entry['reference_runs'])}, {entry['reference_name']}"
        ratio = f"{entry['ratio']:.2f}" if entry["ratio"] else ""
        met = {True: ", met", False: ", **missed**", None: ""}[entry["met"]]
        ours = f"{_with_spread(entry['gbe'], entry['gbe_runs'])} {entry['unit']}"
        target = f"{entry['target']}{met}"
        theirs = entry["reference_details"]
        details = ", ".join(
            f"{name} {number(value)}" + (f" / {number(theirs[name])}" if name in theirs else "")
            for name, value in entry["gbe_details"].items()
        )
        cells = (entry["benchmark"], entry["case"], ours, reference, ratio, target, details)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_spread(median: float, runs: Sequence[float]) -> str:
    return f"**{number(median)}** ({number(min(runs))} to {number(max(runs))})"


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Write the report to a file; what other benchmarks wrote there before stays."""
    kept: list[dict[str, Any]] = []
    if path.exists():
        names = {row.benchmark for row in rows}
        kept = [entry for entry in msgspec.json.decode(path.read_bytes()) if entry["benchmark"] not in names]
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*kept, *as_data(rows)]), indent=2) + b"\n")
