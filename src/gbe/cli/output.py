"""What commands print: tables for people, JSON for scripts, and nothing that could move a terminal's cursor."""

import sys
from datetime import datetime

import msgspec
import typer
from rich.console import Console
from rich.table import Table


def moment(ms: int) -> str:
    """Unix milliseconds as the clock of this machine shows them."""
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(sep=" ", timespec="seconds")


def clean(text: str) -> str:
    """Text of others on a terminal: without what could move its cursor or colour it."""
    return "".join(character if character.isprintable() else " " for character in text)


def escaped(text: str) -> str:
    """The same in a table, where brackets mean colours."""
    return clean(text).replace("[", r"\[")


def print_table(table: Table) -> None:
    """A table, as wide as it needs to be where it is not a terminal that it is printed to."""
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def print_json(document: object) -> None:
    """One line of JSON."""
    typer.echo(msgspec.json.encode(document))
