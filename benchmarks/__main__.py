"""``python -m benchmarks [NAME …] [--runs N] [--quick] [--json FILE] …``."""

import argparse
import asyncio
import importlib
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from benchmarks import harness, plot
from benchmarks.harness import Options, Row

NAMES: Final = (
    "archive",
    "publish",
    "consume",
    "http",
    "fanout",
    "topics",
    "poll",
    "startup",
    "redis",
    "redis_topics",
    "state",
    "tasks",
    "retention",
    "events",
    "jobs",
    "validation",
)


def main() -> int:
    """Run what was asked for; non-zero if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--runs", type=int, default=3, help="measured runs of each side (default 3)")
    parser.add_argument("--quick", action="store_true", help="less of everything: shows that it works, proves nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write a table there")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="also draw bench-*.svg there")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # children inherit it
    rows: list[Row] = []
    try:
        for name in arguments.names or NAMES:
            rows += _run(name, arguments.runs, quick=arguments.quick)
    finally:
        if rows:
            harness.show(rows)
            if arguments.json is not None:
                harness.write_json(arguments.json, rows)
            entries = _entries(arguments.json, rows)
            if arguments.markdown is not None:
                arguments.markdown.write_text(harness.markdown(entries))
            if arguments.plots is not None:
                plot.draw(arguments.plots, entries)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    harness.say(f"{os.cpu_count()} cores, load average {load}; trust the ratios, not the numbers")
    return 0 if all(row.met is not False for row in rows) else 1


def _entries(file: Path | None, rows: list[Row]) -> list[dict[str, Any]]:
    """What was measured now, and with ``--json`` what that file has from before."""
    if file is None:
        return harness.as_data(rows)
    entries: list[dict[str, Any]] = msgspec.json.decode(file.read_bytes())
    return entries


def _run(name: str, runs: int, *, quick: bool) -> list[Row]:
    module = importlib.import_module(f"benchmarks.bench_{name}")
    directory = Path(tempfile.mkdtemp(prefix=f"gbe-bench-{name}-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows: list[Row] = runner.run(module.run(Options(runs, quick, directory)))
            return rows
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
