"""``gbe archive query``: one SELECT, printed as a table, JSON lines or CSV."""

import base64
import csv
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final

import typer
from rich.table import Table

from gbe.archive.answer import Answer
from gbe.archive.open import query
from gbe.cli.output import escaped, print_table
from gbe.cli.runtime import run
from gbe.config import Settings
from gbe.connect import archive_folder
from gbe.durations import parse_duration
from gbe.errors import ConfigError
from gbe.sizes import parse_size

_LEAST_MEMORY: Final = 32 * 1024 * 1024
_LONGEST_CELL: Final = 400


class Form(Enum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"

    @classmethod
    def parse(cls, *, json: bool, csv: bool) -> "Form":
        """From the options. Raises ``ConfigError`` if both are given."""
        if json and csv:
            raise ConfigError("--json and --csv exclude each other")
        return cls.JSON if json else cls.CSV if csv else cls.TABLE


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of a query: rows, seconds, bytes."""

    limit: int
    timeout: float
    memory: int

    @classmethod
    def parse(cls, limit: int, timeout: str, memory: str) -> "Bounds":
        """From the options. Raises ``ConfigError``."""
        try:
            found = cls(limit, parse_duration(timeout), parse_size(memory))
        except ValueError as exc:
            raise ConfigError(f"--timeout or --memory: {exc}") from None
        if found.timeout <= 0 or found.memory < _LEAST_MEMORY:
            raise ConfigError("--timeout is above 0, and --memory at least 32MiB")
        return found


def show(settings: Settings, sql: str, form: Form, bounds: Bounds) -> None:
    """Run a query and print its rows."""
    archive = settings.archive
    answer = run(
        query(
            archive,
            settings.objects,
            archive_folder(settings),
            sql,
            limit=bounds.limit,
            timeout=bounds.timeout,
            memory=bounds.memory,
        )
    )
    _PRINTERS[form](answer)
    if answer.is_cut:
        typer.echo(f"there are more than {bounds.limit} rows: --limit, or a condition", err=True)


def _print_table(answer: Answer) -> None:
    table = Table(*(escaped(name) for name in answer.columns), box=None, pad_edge=False)
    for row in answer.rows:
        table.add_row(*(escaped(_text(value)[:_LONGEST_CELL]) for value in row))
    print_table(table)
    typer.echo(f"{len(answer.rows)} rows", err=True)


def _print_csv(answer: Answer) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_text(value) for value in row] for row in answer.rows)


def _print_json(answer: Answer) -> None:
    for document in documents(answer):
        typer.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


_PRINTERS: Final = {Form.TABLE: _print_table, Form.CSV: _print_csv, Form.JSON: _print_json}


def documents(answer: Answer) -> Iterator[dict[str, Any]]:
    """Rows as what JSON knows; a column of JSON is what it says, not text."""
    for row in answer.rows:
        yield {
            name: _value(value, is_json=name in answer.json) for name, value in zip(answer.columns, row, strict=True)
        }


def _value(value: Any, *, is_json: bool = False) -> Any:
    if is_json and isinstance(value, str):
        return json.loads(value)
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date():
            return value.isoformat()
        case dict():
            return {str(key): _value(one) for key, one in value.items()}
        case list() | tuple():
            return [_value(one) for one in value]
    return str(value)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case dict() | list() | tuple() | bool():
            return json.dumps(_value(value), ensure_ascii=False)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value)
