"""Reads the SQLite files of an ntfy server, without changing them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from gbe.errors import ConfigError


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The database, for reading; its rows can be asked by column name.

    Raises:
        ConfigError: there is none, or it is not one.
    """
    if not file.is_file():
        raise ConfigError(f"there is no file {file}")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            # text that is no UTF-8 must not end the whole
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            yield connection
    except sqlite3.Error as exc:
        raise ConfigError(f"{file} cannot be read as a database of ntfy: {exc}") from exc


def columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    """The columns of a table; none: there is no such table."""
    return frozenset(row["name"] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,)))


def schema_version(connection: sqlite3.Connection) -> int:
    """The version that ntfy has noted; 0: none."""
    if not columns(connection, "schemaVersion"):
        return 0
    row = connection.execute("SELECT max(version) AS version FROM schemaVersion").fetchone()
    return int(row["version"] or 0)


def value(row: sqlite3.Row, column: str, default: object = None) -> object:
    """A column that only some versions have; ``default`` for one that is not there, or NULL."""
    found = row[column] if column in row.keys() else None  # noqa: SIM118 - a row looks among its values
    return default if found is None else found
