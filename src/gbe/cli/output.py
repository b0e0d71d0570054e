"""Output of commands: tables for people, JSON for scripts, and nothing of strangers that a terminal would obey."""

import sys
from datetime import datetime

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table


def moment(ms: int, *, milliseconds: bool = False) -> str:
    """Unix milliseconds as local time."""
    exact = "milliseconds" if milliseconds else "seconds"
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(sep=" ", timespec=exact)


def clean(text: str) -> str:
    """Text of others on a terminal: without what could move its cursor or colour it."""
    return "".join(character if character.isprintable() else " " for character in text)


def escaped(text: str) -> str:
    """The same in a table, where brackets would be markup."""
    return clean(text).replace("[", r"\[")


def print_table(table: Table) -> None:
    """For people: as wide as the terminal allows, or 200 characters in a pipe."""
    console = Console(soft_wrap=True) if sys.stdout.isatty() else Console(width=200)
    console.print(table)


def print_text(text: RenderableType) -> None:
    """For people, line by line as it is."""
    Console(soft_wrap=True, highlight=False).print(text)


def print_json(document: object) -> None:
    """One document on a line."""
    typer.echo(msgspec.json.encode(document))
